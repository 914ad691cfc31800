// Language modelling: predict the next character, byte or word of a text read as endless streams; then write.
// On a generated grammar the loss stands beside the text's true entropy, and what is written is checked.
using System.Globalization;
using System.Text;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>A language model on a text.</summary>
public sealed class TextTask : SequenceTask
{
    // Enough sentences that the share of right sums is known to about a percent.
    private const int CheckedTexts = 32;
    private const int CheckedLength = 600;

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        Vocabulary vocabulary = VocabularyOf(trained);
        string unit = vocabulary.Level switch { TokenLevel.Character => "character", TokenLevel.Byte => "byte", _ => "word" };
        var figures = new List<Figure>();
        double? loss = validationLoss ?? trainLoss;
        if (loss is double nats)
        {
            figures.Add(Entropy("loss", validationLoss is null ? "Training loss" : "Validation loss", nats, unit, null));
        }

        if (data.UnigramEntropy is double unigram)
        {
            figures.Add(Entropy("unigramEntropy", "Unigram entropy", unigram, unit, $"knowing only how often each {unit} occurs"));
        }

        if (data.TrueEntropy is GrammarEntropy floor)
        {
            figures.Add(Entropy("trueEntropy", "True entropy", floor.NatsPerCharacter, unit, "no model can do better"));
            if (loss is double reached)
            {
                double gap = reached - floor.NatsPerCharacter;
                figures.Add(new Figure("gapToFloor", "Above the true entropy", gap, string.Create(CultureInfo.InvariantCulture, $"{gap:F4} nats per {unit}")));
            }

            AddCheckedSentences(trained, vocabulary, figures);
        }

        GenerateConfig generate = trained.Job.Generate with { Seed = SeedOf(trained) };
        return new TaskOutcome(figures, [], [], Predict(trained, new PredictionRequest(null, generate)).Text);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        Vocabulary vocabulary = VocabularyOf(trained);
        GenerateConfig generate = request.Generate;
        string prompt = request.Input ?? generate.Prompt;
        int[] ids = prompt.Length > 0 ? vocabulary.Encode(prompt) : [Beginning(vocabulary)];
        var sampler = new TokenSampler(vocabulary.Size, generate.Temperature, generate.TopK, generate.TopP, generate.Seed ?? SeedOf(trained));
        Decoder decoder = Encoding.UTF8.GetDecoder();
        var written = new StringBuilder();
        char[] characters = new char[256];
        Append(prompt);
        TextGenerator.Write(trained.Model, ids, request.Steps ?? generate.Length, 1, sampler, OnToken, cancellation, ContextOf(trained));
        return new Prediction(written.ToString(), [], []);

        void OnToken(int token)
        {
            // Bytes of one character may come as several tokens; the decoder keeps what is not whole yet.
            ReadOnlySpan<byte> bytes = vocabulary.BytesOf(token).Span;
            while (!bytes.IsEmpty)
            {
                decoder.Convert(bytes, characters, flush: false, out int used, out int made, out _);
                Append(new string(characters, 0, made));
                bytes = bytes[used..];
            }
        }

        void Append(string piece)
        {
            if (piece.Length > 0)
            {
                written.Append(piece);
                request.OnText?.Invoke(piece);
            }
        }
    }

    /// <inheritdoc/>
    public override Explanation Explain(TaskModel trained, string? input)
    {
        ArgumentNullException.ThrowIfNull(trained);
        Vocabulary vocabulary = VocabularyOf(trained);
        string prompt = input ?? trained.Job.Generate.Prompt;
        int[] ids = prompt.Length > 0 ? vocabulary.Encode(prompt) : [Beginning(vocabulary)];
        if (trained.Model.Model.NeedsContext && ids.Length > ContextOf(trained))
        {
            ids = ids[^ContextOf(trained)..]; // attention sees no further
        }

        using SpanBatch row = SingleRow.Of(ids, targets: ids.Length);
        return Explanation.Of(trained.Model, row, [.. ids.Select(vocabulary.Show)], outputs => Say(vocabulary, outputs));
    }

    // The likeliest tokens with their probabilities.
    private static string Say(Vocabulary vocabulary, float[] logits)
    {
        int[] order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id).Take(4)];
        double sum = 0;
        foreach (float logit in logits)
        {
            sum += ScalarMath.Exp((double)logit - logits[order[0]]);
        }

        string[] texts = [.. order.Select(id => string.Create(CultureInfo.InvariantCulture, $"'{vocabulary.Show(id)}' {100 * ScalarMath.Exp((double)logits[id] - logits[order[0]]) / sum:F1} %"))];
        return $"next {texts[0]} (then {string.Join(", ", texts.Skip(1))})";
    }

    private static Vocabulary VocabularyOf(TaskModel trained) => trained.Artefact.Vocabulary
        ?? throw new DataException("checkpoint", "a vocabulary", "none", "Take a run that was trained on text");

    private static int ContextOf(TaskModel trained) => trained.Job.Batch.LookBack ?? trained.Job.Batch.Span;

    private static ulong SeedOf(TaskModel trained) => trained.Job.Generate.Seed ?? trained.Job.Seed;

    private static void AddCheckedSentences(TaskModel trained, Vocabulary vocabulary, List<Figure> figures)
    {
        var sampler = new TokenSampler(vocabulary.Size, 1.0, 0, 1.0, SeedOf(trained));
        int[][] texts = TextGenerator.Write(trained.Model, [Beginning(vocabulary)], CheckedLength, CheckedTexts, sampler, contextTime: ContextOf(trained));
        var report = default(GrammarReport);
        foreach (int[] written in texts)
        {
            report += GrammarChecker.Check(vocabulary.Decode(written));
        }

        if (report.Sums > 0)
        {
            figures.Add(Share("sumsRight", "Generated sums that are right", report.SumsRight, report.Sums));
        }

        if (report.Dates > 0)
        {
            figures.Add(Share("datesRight", "Generated dates that are right", report.DatesRight, report.Dates));
        }
    }

    private static Figure Share(string key, string label, int right, int all) =>
        new(key, label, (double)right / all, string.Create(CultureInfo.InvariantCulture, $"{100.0 * right / all:F1} % ({right} of {all})"));

    private static Figure Entropy(string key, string label, double nats, string unit, string? note) =>
        new(key, label, nats, string.Create(CultureInfo.InvariantCulture, $"{nats:F4} nats = {nats / ScalarMath.Log(2.0):F4} bits per {unit}"), note);

    /// <summary>Where a text without a prompt begins: after a line's end where the vocabulary has one, else after token 0.</summary>
    private static int Beginning(Vocabulary vocabulary) =>
        vocabulary.Level == TokenLevel.Byte ? '\n' : Math.Max(0, vocabulary.IdOf("\n"));
}
