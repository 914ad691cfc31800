// What is benchmarked: a cell and the sizes of a training step, and how much arithmetic such a step asks for.
using System.Globalization;

namespace ClusterRnn.Cli.Bench;

/// <summary>What a model's layers are.</summary>
public enum BenchCell
{
    /// <summary>LSTM.</summary>
    Lstm,

    /// <summary>GRU, reset gate after the product as in PyTorch.</summary>
    Gru,

    /// <summary>RNN with tanh.</summary>
    Rnn,

    /// <summary>Transformer encoder: causal, norm before, GELU, sinusoidal positions, heads of 64.</summary>
    Transformer,
}

/// <summary>The sizes of a training step.</summary>
/// <param name="Batch">B: rows.</param>
/// <param name="Span">T: time steps.</param>
/// <param name="Input">I: the embedding's width, or the features' where there are no classes; a Transformer's width.</param>
/// <param name="Hidden">H: the state's width; that of a Transformer's feed-forward network.</param>
/// <param name="Classes">V: tokens of input and output; 0: features in, one value out after the last time step, mean squared error.</param>
/// <param name="Layers">Recurrent layers, or a Transformer's.</param>
public sealed record BenchShape(int Batch, int Span, int Input, int Hidden, int Classes, int Layers)
{
    private const int LargestSize = 1 << 16;
    private const string BidirectionalWord = "bidirectional", RaggedWord = "ragged";

    /// <summary>Whether recurrent layers read both ways; then no state is carried.</summary>
    public bool Bidirectional { get; init; }

    /// <summary>Whether rows are of different lengths, from the span down to a quarter of it; then no state is carried.</summary>
    public bool Ragged { get; init; }

    /// <summary>Four models from small to large, and one so small that the overhead of a step decides.</summary>
    public static readonly IReadOnlyList<BenchShape> Standard =
    [
        new(64, 64, 128, 256, 96, 1),
        new(32, 128, 64, 512, 96, 1),
        new(64, 64, 512, 512, 96, 2),
        new(128, 32, 1024, 1024, 96, 1),
        new(32, 10, 1, 50, 0, 1),
    ];

    /// <summary>The Transformer that is measured where no shape is asked for.</summary>
    public static readonly BenchShape StandardTransformer = new(16, 128, 256, 1024, 96, 2);

    /// <summary>The shapes of a cell where none is asked for.</summary>
    public static IReadOnlyList<BenchShape> StandardOf(BenchCell cell) => cell == BenchCell.Transformer ? [StandardTransformer] : Standard;

    /// <summary>A Transformer's heads: of 64 where that divides the width, else one.</summary>
    public int Heads => Input % 64 == 0 ? Input / 64 : 1;

    /// <summary>The first standard shape with batch, hidden and span varied one at a time.</summary>
    public static IReadOnlyList<BenchShape> Sweep
    {
        get
        {
            BenchShape middle = Standard[0];
            return
            [
                .. new[] { 8, 16, 32, 128, 256 }.Select(batch => middle with { Batch = batch }),
                middle,
                .. new[] { 32, 64, 128, 512, 1024 }.Select(hidden => middle with { Hidden = hidden }),
                .. new[] { 16, 32, 128, 256, 512 }.Select(span => middle with { Span = span }),
            ];
        }
    }

    /// <summary>The cells of a step, by which speed is counted: B x T, or what the rows really have.</summary>
    public long Tokens => Ragged ? Enumerable.Range(0, Batch).Sum(row => (long)LengthOf(row)) : (long)Batch * Span;

    /// <summary>The time steps of a row: spread evenly, neighbours far apart.</summary>
    public int LengthOf(int row)
    {
        const int Stride = 7919; // a prime that no batch is a multiple of: every place once
        return Ragged ? Span - (int)((long)row * Stride % Batch * (Span - Math.Max(1, Span / 4)) / Math.Max(1, Batch - 1)) : Span;
    }

    /// <summary>Reads <c>B,T,I,H[,V[,layers]]</c>, or the number of a standard shape, with <c>,bidirectional</c> or <c>,ragged</c> behind it.</summary>
    /// <exception cref="UsageException">It is neither.</exception>
    public static BenchShape Parse(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
        string[] words = [.. parts.Where(part => part is BidirectionalWord or RaggedWord)];
        if (words.Length > 0)
        {
            BenchShape plain = Parse(string.Join(',', parts.Where(part => !words.Contains(part))));
            return plain.Classes == 0
                ? throw new UsageException($"--shape {text}: {string.Join(" and ", words)} is measured with tokens; give V")
                : plain with { Bidirectional = words.Contains(BidirectionalWord), Ragged = words.Contains(RaggedWord) };
        }

        int[] sizes = [.. parts.Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int size) ? size : -1)];
        if (sizes.Length == 1 && sizes[0] >= 1 && sizes[0] <= Standard.Count)
        {
            return Standard[sizes[0] - 1];
        }

        if (sizes.Length is < 4 or > 6 || sizes.Where((size, i) => size > LargestSize || size < (i == 4 ? 0 : 1)).Any())
        {
            throw new UsageException($"--shape {text}: expected B,T,I,H[,V[,LAYERS]] such as 64,64,128,256,96,1 (V 0: mean squared error), or a number from 1 to {Standard.Count}, and {BidirectionalWord} or {RaggedWord} behind it");
        }

        return new BenchShape(sizes[0], sizes[1], sizes[2], sizes[3], sizes.Length > 4 ? sizes[4] : 96, sizes.Length > 5 ? sizes[5] : 1);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Batch},{Span},{Input},{Hidden},{Classes},{Layers}{(Bidirectional ? "," + BidirectionalWord : "")}{(Ragged ? "," + RaggedWord : "")}");
}

/// <summary>The multiply-adds of a step's products, two operations each. Gates, losses and updates are not counted.</summary>
/// <param name="Asked">What the step asks for: every product of the textbook, over every cell.</param>
/// <param name="Done">What is carried out: an embedding's projection is computed once a token instead of once a cell where that is less.</param>
public readonly record struct StepOperations(double Asked, double Done)
{
    /// <summary>Counts a step's operations.</summary>
    /// <param name="cell">The cell.</param>
    /// <param name="shape">The sizes.</param>
    /// <param name="shards">S: gradients are formed per shard, so the table's are summed once a shard and token.</param>
    /// <param name="workers">Each worker projects the table for itself.</param>
    public static StepOperations Of(BenchCell cell, BenchShape shape, int shards, int workers)
    {
        if (cell == BenchCell.Transformer)
        {
            return OfTransformer(shape);
        }

        int gates = cell switch { BenchCell.Lstm => 4, BenchCell.Gru => 3, _ => 1 }, directions = shape.Bidirectional ? 2 : 1;
        double cells = shape.Tokens, gateWidth = (double)gates * shape.Hidden * directions, asked = 0, done = 0;
        for (int layer = 0; layer < shape.Layers; layer++)
        {
            double input = gateWidth * (layer == 0 ? shape.Input : shape.Hidden * directions);
            bool hasInputGradient = layer > 0 || shape.Classes > 0;
            double projection = input * cells * (hasInputGradient ? 3 : 2);
            double recurrent = gateWidth * shape.Hidden * (cells + cells + (cells - shape.Batch)); // the first time step hands no gradient on
            asked += projection + recurrent;
            bool throughTable = layer == 0 && shape.Classes > 0 && shape.Classes <= shape.Tokens / shards;
            done += recurrent + (throughTable ? input * ((double)workers * shape.Classes + 2 * shards * DistinctTokens(shape, shards)) : projection);
        }

        double outputs = shape.Classes > 0 ? 3 * cells * shape.Hidden * directions * shape.Classes : 3.0 * shape.Batch * shape.Hidden;
        return new StepOperations(2 * (asked + outputs), 2 * (done + outputs));
    }

    // Asked: scores and results over the keys that a causal mask leaves, once forward and twice backward. Done: over whole blocks of keys, and the scores once more.
    private static StepOperations OfTransformer(BenchShape shape)
    {
        const int Block = 32;
        double cells = shape.Tokens, width = shape.Input, products = 3 * cells * shape.Layers * ((4 * width * width) + (2 * width * shape.Hidden)) + (3 * cells * width * shape.Classes);
        double keys = 0;
        for (int time = 0; time < shape.Span; time++)
        {
            keys += Math.Min(shape.Span, ((time / Block) + 1) * Block);
        }

        double asked = 6 * shape.Batch * shape.Layers * width * (shape.Span * (shape.Span + 1.0) / 2), done = 7 * shape.Batch * shape.Layers * width * keys;
        return new StepOperations(2 * (products + asked), 2 * (products + done));
    }

    // Tokens are uniform: of V tokens so many are expected in a shard's cells.
    private static double DistinctTokens(BenchShape shape, int shards)
        => shape.Classes * (1 - Math.Pow(1 - 1.0 / shape.Classes, (double)shape.Tokens / shards));
}
