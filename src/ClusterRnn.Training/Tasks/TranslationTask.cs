// Translation: from one text to another, line by line. The model's translations of pairs that it was not trained on stand beside
// the references, with their BLEU.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>Pairs of texts.</summary>
public sealed class TranslationTask : SequenceTask
{
    private const int MostPairs = 2000;
    private const int ShownPairs = 10;

    /// <inheritdoc/>
    public override bool ReadsLines => true;

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        (PairTexts texts, string part) = TextsOf(data);
        texts = texts.Part(0, Math.Min(MostPairs, texts.Sources.Count));
        string[] written = Translate(trained, texts.Sources, trained.Job.Generate, CancellationToken.None);
        var bleu = BleuScore.Of(written, texts.Targets);
        double right = written.Zip(texts.Targets).Count(pair => pair.First == pair.Second) / (double)written.Length;
        string precisions = string.Join('/', bleu.Precisions.Select(value => value.ToString("F1", CultureInfo.InvariantCulture)));
        Figure[] figures =
        [
            new(
                $"{part}Bleu",
                $"Corpus BLEU, {part} part",
                bleu.Score,
                bleu.Score.ToString("F2", CultureInfo.InvariantCulture),
                string.Create(CultureInfo.InvariantCulture, $"{written.Length} pairs, 1 to 4 tokens {precisions}, brevity penalty {bleu.BrevityPenalty:F3}")),
            new($"{part}WhollyRight", $"Translations equal to the reference, {part} part", right, string.Create(CultureInfo.InvariantCulture, $"{100.0 * right:F1} %")),
        ];
        return new TaskOutcome(figures, [Table($"Translations of the {part} part", texts.Sources, written, texts.Targets)], [], null);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        if (request.Input is { } input)
        {
            string[] lines = input.ReplaceLineEndings("\n").Split('\n');
            lines = lines[^1].Length == 0 ? lines[..^1] : lines; // the end of the last line begins no other
            string text = string.Concat(Translate(trained, lines, request.Generate, cancellation).Select(line => line + "\n"));
            request.OnText?.Invoke(text);
            return new Prediction(text, [], []);
        }

        BatchConfig batch = trained.Job.Batch;
        Dataset data = Dataset.Open(
            trained.Job.Data, new Batching(batch.Size, batch.Span, batch.LookBack ?? batch.Span, batch.CarryState, trained.Job.Seed), trained.BaseFolder, trained.Artefact);
        (PairTexts texts, string part) = TextsOf(data);
        texts = texts.Part(0, Math.Min(request.Steps ?? ShownPairs, texts.Sources.Count));
        string[] written = Translate(trained, texts.Sources, request.Generate, cancellation);
        return new Prediction(null, [Table($"Translations of the {part} part", texts.Sources, written, texts.Targets, texts.Sources.Count)], []);
    }

    /// <inheritdoc/>
    public override unsafe Explanation Explain(TaskModel trained, string? input)
    {
        ArgumentNullException.ThrowIfNull(trained);
        int[] source = [.. (input ?? "").Split('\n').Select(line => Encode(trained, line)).FirstOrDefault(ids => ids.Length > 0) ?? []];
        if (source.Length == 0)
        {
            throw new DataException("predict --explain", "a line of text to translate", "none", "Give one: predict RUN 'a line' --explain");
        }

        var target = new SequenceVocabulary(VocabularyOf(trained.Artefact.TargetVocabulary));
        int[] written = Write(trained, [source], trained.Job.Generate, CancellationToken.None)[0];
        int[] targets = [.. written, SequenceTokens.End];
        int time = Math.Max(source.Length, targets.Length);
        using var row = new SpanBatch(time, 1, 0, 0) { Time = time, TargetTime = targets.Length, Rows = 1 };
        row.Lengths[0] = source.Length;
        source.CopyTo(new Span<int>(row.Tokens, time));
        targets.CopyTo(new Span<int>(row.TargetTokens, time));
        return Explanation.OfPair(trained.Model, row, [.. source.Select(trained.Artefact.Vocabulary!.NameOf)], [.. targets.Select(target.Vocabulary.NameOf)], target.Decode(written));
    }

    private static string[] Translate(TaskModel trained, IReadOnlyList<string> lines, GenerateConfig generate, CancellationToken cancellation)
    {
        var target = new SequenceVocabulary(VocabularyOf(trained.Artefact.TargetVocabulary));
        return [.. Write(trained, [.. lines.Select(line => Encode(trained, line))], generate, cancellation).Select(ids => target.Decode(ids))];
    }

    private static int[] Encode(TaskModel trained, string line)
    {
        bool lowercase = trained.Job.Data is TranslationData { Lowercase: true };
        string text = line.Trim();
        return text.Length == 0 ? [] : new SequenceVocabulary(VocabularyOf(trained.Artefact.Vocabulary)).Encode(lowercase ? text.ToLowerInvariant() : text);
    }

    private static int[][] Write(TaskModel trained, IReadOnlyList<int[]> sources, GenerateConfig generate, CancellationToken cancellation) =>
        TranslationSearch.Write(trained.Model, sources, new SearchOptions(generate.Beam, generate.MaximumLength, generate.LengthPenalty), cancellation);

    private static Vocabulary VocabularyOf(Vocabulary? vocabulary) => vocabulary
        ?? throw new DataException("checkpoint", "two vocabularies", "none", "Take a run that was trained on pairs of texts");

    private static (PairTexts Texts, string Part) TextsOf(Dataset data)
    {
        (IBatchSource source, string part) = data.Test is not null ? (data.Test, "test") : data.Validation is not null ? (data.Validation, "validation") : (data.Training, "training");
        return (((PairExamples)((IExampleSource)source).Examples).Texts, part);
    }

    private static FigureTable Table(string title, IReadOnlyList<string> sources, string[] written, IReadOnlyList<string> references, int most = ShownPairs)
    {
        IReadOnlyList<string>[] rows = [.. Enumerable.Range(0, Math.Min(most, written.Length)).Select(i => (string[])[sources[i], written[i], references[i]])];
        return new FigureTable(title, ["source", "translation", "reference"], rows) { IsText = true };
    }
}
