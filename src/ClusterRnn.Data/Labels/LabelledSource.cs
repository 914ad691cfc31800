// From raw examples to a data set: which of them train, validate and test, the vocabulary or scaler of those that train, and the
// classes there are. What belongs to one application (how a file is read, how an example is generated) lies beside it.
using System.Security.Cryptography;
using System.Text;

namespace ClusterRnn.Data;

/// <summary>One example as it was read: pieces of text or values, and labels as they are called.</summary>
/// <param name="Name">Where it comes from: file and line.</param>
/// <param name="Line">The line, or null.</param>
/// <param name="Pieces">Its tokens' texts, or null.</param>
/// <param name="Values">Its values [time, width], or null.</param>
/// <param name="Labels">Its label, or one for each time step.</param>
internal sealed record RawExample(string Name, int? Line, string[]? Pieces, float[]? Values, string[] Labels)
{
    /// <summary>Whether it is for testing, whatever the shares say.</summary>
    public bool IsTest { get; init; }

    /// <summary>Of a question the wrong answers that the data has, or none.</summary>
    public IReadOnlyList<string[]> Wrong { get; init; } = [];
}

/// <summary>What was read of some files, or generated.</summary>
/// <param name="Name">What it is called.</param>
/// <param name="Examples">The examples.</param>
/// <param name="Sha256">The SHA-256 of the data.</param>
/// <param name="Notes">What was left out, and why.</param>
internal sealed record RawExamples(string Name, IReadOnlyList<RawExample> Examples, string Sha256, IReadOnlyList<string> Notes);

/// <summary>Opens data with labels.</summary>
internal static class LabelledSource
{
    /// <summary>Opens the data of a section.</summary>
    /// <exception cref="DataException">The data can't be used as asked.</exception>
    public static Dataset Open(LabelledData config, Batching batching, string baseFolder, DataArtefact? artefact)
    {
        ILabelledReader reader = config switch
        {
            ClassifiedTextData text => new ClassifiedTextReader(text),
            AnswerSelectionData answers => new AnswerReader(answers),
            RecommendationData sessions => new SessionReader(sessions),
            TaggingData tagging => new TaggingReader(tagging),
            SpokenWordsData spoken => new SpokenWordsReader(spoken),
            SpeechData speech => new SpeechReader(speech, baseFolder),
            _ => throw new ArgumentException($"No reader for {config.GetType().Name}.", nameof(config)),
        };
        RawExamples main = Read(config.Path);
        RawExamples? validation = config.ValidationPath is null ? null : Read(config.ValidationPath), test = config.TestPath is null ? null : Read(config.TestPath);
        (List<RawExample> trained, List<RawExample> validated, List<RawExample> tested) = Split(config, reader.KeepsOrder, main, validation, test);
        if (artefact is null)
        {
            Vocabulary? vocabulary = reader.VocabularyOf(trained);
            artefact = new DataArtefact(vocabulary, reader.ScalerOf(trained)) { Labels = reader.LabelsOf(trained, vocabulary) };
        }

        if (artefact.Labels is not { } labels)
        {
            throw new DataException(main.Name, "labels in the data artefact", "none", "Take the artefact the training wrote");
        }

        string sha256 = string.Join('\0', new[] { main, validation, test }.OfType<RawExamples>().Select(part => part.Sha256));
        sha256 = sha256.Contains('\0') ? Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(sha256))) : sha256;
        var indices = new Dictionary<string, int>(labels.Select((label, index) => new KeyValuePair<string, int>(label, index)), StringComparer.Ordinal);
        var notes = new List<string>();
        LabelledExamples? Part(List<RawExample> examples, string name, bool trains)
        {
            IReadOnlyList<RawExample> finished = reader.Finish(examples, trains, artefact, what => notes.Add($"{main.Name}, {name} part: {what}"));
            return finished.Count == 0 ? null
                : new LabelledExamples([.. finished.Select(example => Encode(reader, example, artefact, labels, indices))], reader.FeatureWidth, reader.Places, sha256);
        }

        LabelledExamples training = Part(trained, "training", trains: true)
            ?? throw new DataException(main.Name, $"{reader.Unit}s to train on", $"none of {trained.Count} that can be used", "Take more data, or a smaller data.minimumCount");
        int evaluationRows = batching.EvaluationRows ?? batching.Rows;
        WindowSource? Evaluated(List<RawExample> examples, string name) => Part(examples, name, trains: false) is { } part ? new WindowSource(part, evaluationRows, batching.Seed, shuffled: false) : null;
        return new Dataset
        {
            Config = config,
            Training = training.DifferInLength && batching.Buckets ? new BucketSource(training, batching.Rows, batching.Seed) : new WindowSource(training, batching.Rows, batching.Seed, shuffled: true),
            Validation = Evaluated(validated, "validation"),
            Test = Evaluated(tested, "test"),
            Sha256 = sha256,
            InputVocabulary = artefact.Vocabulary?.Size ?? 0,
            FeatureWidth = reader.FeatureWidth,
            OutputWidth = labels.Count,
            PredictsNext = reader.PredictsNext,
            HasLabels = reader.Places == LabelPlaces.Somewhere,
            Artefact = artefact,
            Notes =
            [
                $"{main.Name}: {trained.Count} {reader.Unit}s to train, {validated.Count} to validate and {tested.Count} to test on, up to {training.Time} time steps; "
                + $"{labels.Count} {reader.LabelUnits}" + (artefact.Vocabulary is { } known && !reader.PredictsNext ? $", {known.Size} different tokens" : ""),
                .. new[] { main, validation, test }.OfType<RawExamples>().SelectMany(part => part.Notes),
                .. notes,
            ],
        };

        RawExamples Read(string? path)
        {
            RawExamples read = path is null ? reader.Generate(config.Seed, config.Examples) : reader.Read(Corpus.Open(path, baseFolder));
            return read.Examples.Count > 0 ? read : throw new DataException(
                read.Name, $"{reader.Unit}s with labels", string.Join("; ", ["none", .. read.Notes]), "Name a file that has some");
        }
    }

    // A keyed order, so that files sorted by class are no trouble, or the examples' own: its end tests, what comes before validates.
    private static (List<RawExample> Training, List<RawExample> Validation, List<RawExample> Test) Split(LabelledData config, bool keepsOrder, RawExamples main, RawExamples? validation, RawExamples? test)
    {
        List<RawExample> trained = [], validated = [.. validation?.Examples ?? []], tested = [.. test?.Examples ?? []];
        List<RawExample> dealt = [];
        foreach (RawExample example in main.Examples)
        {
            (example.IsTest ? tested : dealt).Add(example);
        }

        bool namesTest = test is not null || tested.Count > 0;
        int count = dealt.Count, forTest = namesTest ? 0 : (int)(count * config.Test);
        int forValidation = validation is null ? (int)(count * config.Validation) : 0;
        Range kept = config.Fold is { } fold ? TokenizedText.Part(count - forTest, fold) : Math.Max(0, count - forTest - forValidation)..(count - forTest);
        var order = new Kernels.Random.KeyedPermutation(config.Seed, Kernels.Random.RandomPurpose.Split, 0, count);
        int[] part = new int[count]; // by example: 0 trains, 1 validates, 2 tests
        for (int place = 0; place < count; place++)
        {
            part[keepsOrder ? place : order.At(place)] = place >= count - forTest ? 2 : place >= kept.Start.Value && place < kept.End.Value ? 1 : 0;
        }

        for (int i = 0; i < count; i++)
        {
            (part[i] == 0 ? trained : part[i] == 1 ? validated : tested).Add(dealt[i]);
        }

        return trained.Count > 0 ? (trained, validated, tested) : throw new DataException(
            main.Name, "examples to train on", $"{validated.Count} for validation and {tested.Count} for testing of {main.Examples.Count}", "Make data.validation and data.test smaller");
    }

    private static LabelledExample Encode(ILabelledReader reader, RawExample example, DataArtefact artefact, IReadOnlyList<string> labels, Dictionary<string, int> indices)
    {
        int[] classes = new int[example.Labels.Length];
        for (int i = 0; i < classes.Length; i++)
        {
            if (!indices.TryGetValue(example.Labels[i], out classes[i]))
            {
                throw new DataException(
                    example.Name, $"one of the {labels.Count} labels of the training part ({string.Join(", ", labels.Take(10))}{(labels.Count > 10 ? ", ..." : "")})", $"'{example.Labels[i]}'", "Correct it, or keep another part for validation", example.Line + (reader.Places == LabelPlaces.EveryStep ? i : 0));
            }
        }

        return new LabelledExample(
            example.Line is { } line ? $"{example.Name}:{line}" : example.Name,
            example.Pieces is null ? null : reader.Encode(example.Pieces, artefact.Vocabulary!),
            example.Values is null ? null : Scaled(example.Values, artefact.Scaler!),
            classes);
    }

    internal static float[] Scaled(float[] values, SeriesScaler scaler)
    {
        int width = scaler.Columns.Count;
        float[] scaled = new float[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            scaled[i] = (float)scaler.Scale(i % width, values[i]);
        }

        return scaled;
    }
}

/// <summary>How the examples of one application are read.</summary>
internal interface ILabelledReader
{
    /// <summary>What one example is called.</summary>
    string Unit { get; }

    /// <summary>Where labels lie.</summary>
    LabelPlaces Places => LabelPlaces.Last;

    /// <summary>What labels are called.</summary>
    string LabelUnits => Places switch { LabelPlaces.EveryStep => "tags", LabelPlaces.Somewhere => "labels, the blank among them", _ => "classes" };

    /// <summary>Values a time step, 0 for tokens.</summary>
    int FeatureWidth => 0;

    /// <summary>Whether the last examples validate and test, instead of some drawn at random.</summary>
    bool KeepsOrder => false;

    /// <summary>Whether each target is what the next time step reads.</summary>
    bool PredictsNext => false;

    /// <summary>Reads files.</summary>
    /// <exception cref="DataException">They are not well formed.</exception>
    RawExamples Read(Corpus corpus);

    /// <summary>Makes examples from a seed.</summary>
    RawExamples Generate(ulong seed, int count);

    /// <summary>The vocabulary of the examples that train, or null.</summary>
    Vocabulary? VocabularyOf(IReadOnlyList<RawExample> examples) => null;

    /// <summary>The scaler of the examples that train, or null.</summary>
    SeriesScaler? ScalerOf(IReadOnlyList<RawExample> examples) => null;

    /// <summary>What the classes are called, from the examples that train.</summary>
    IReadOnlyList<string> LabelsOf(IReadOnlyList<RawExample> examples, Vocabulary? vocabulary) => LabelsIn(examples);

    /// <summary>All labels of some examples, in ordinal order.</summary>
    static IReadOnlyList<string> LabelsIn(IReadOnlyList<RawExample> examples) =>
        [.. examples.SelectMany(example => example.Labels).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    /// <summary>Makes of a part what the model reads, once it is known what trains.</summary>
    /// <param name="part">The examples as they were read.</param>
    /// <param name="trains">Whether they train.</param>
    /// <param name="artefact">What was computed from those that train.</param>
    /// <param name="note">Takes what was left out, and why.</param>
    IReadOnlyList<RawExample> Finish(IReadOnlyList<RawExample> part, bool trains, DataArtefact artefact, Action<string> note) => part;

    /// <summary>The ids of an example's tokens.</summary>
    int[] Encode(string[] pieces, Vocabulary vocabulary) => [.. pieces.Select(vocabulary.IdOf)];
}
