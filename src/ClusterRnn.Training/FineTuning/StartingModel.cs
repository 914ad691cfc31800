// Fine-tuning: what a training takes over from the model of another run before its first step.
//
// A tensor is taken when the other model has one of the same name and shape; everything else is drawn as always, by the
// same key, so the start is a pure function of config, seed and the other model. A text keeps the numbers that the other
// vocabulary gave its tokens; tokens that are new come after them, and of tensors with a row or column for each token
// the old part is taken. Optimizer, schedule, streams and cursor start from the beginning.
//
//     StartingModel.Pin            which checkpoint, by path and hash: from then on the config names no other
//     StartingModel.ArtefactFor    the vocabulary of the two
//     start.Plan(layout)           what is taken, what is new and why: the table that train prints
//     start.Take(layout, vector)   does it
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Training.FineTuning;

/// <summary>Where a tensor's first values come from.</summary>
public enum TensorOrigin
{
    /// <summary>The other model.</summary>
    Taken,

    /// <summary>The other model where it has the token, else drawn.</summary>
    TakenInPart,

    /// <summary>Drawn: the other model has no such tensor.</summary>
    New,

    /// <summary>Drawn: the other model's has another shape.</summary>
    OtherShape,

    /// <summary>Drawn because the config says so.</summary>
    Fresh,

    /// <summary>Only the other model has it.</summary>
    Unused,
}

/// <summary>A line of the plan.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="Origin">Where its values come from.</param>
/// <param name="From">The other model's shape, empty without one.</param>
/// <param name="To">This model's shape, empty without one.</param>
/// <param name="IsFrozen">Whether it then stays as it is.</param>
public sealed record TensorStart(string Name, TensorOrigin Origin, string From, string To, bool IsFrozen)
{
    /// <summary>The line in words.</summary>
    public string Text => Origin switch
    {
        TensorOrigin.Taken => "taken",
        TensorOrigin.TakenInPart => $"taken for the tokens that were known: {From} of {To}",
        TensorOrigin.New => "new: the run's model has none of this name",
        TensorOrigin.OtherShape => $"new: doesn't fit, {From} there, {To} here",
        TensorOrigin.Fresh => "new, as asked for (initFrom.fresh)",
        _ => $"not used: {From} there, none of this name here",
    };
}

/// <summary>The model of another run, as a start.</summary>
public sealed unsafe class StartingModel
{
    private readonly InitFromConfig _config;
    private readonly string _baseFolder;
    private readonly Vocabulary? _vocabulary;

    /// <summary>Names a start; nothing is read yet.</summary>
    /// <param name="config">Which run.</param>
    /// <param name="baseFolder">Where its relative path starts.</param>
    /// <param name="vocabulary">The vocabulary of the job that starts, or null.</param>
    public StartingModel(InitFromConfig config, string baseFolder, Vocabulary? vocabulary)
    {
        ArgumentNullException.ThrowIfNull(config);
        _config = config;
        _baseFolder = baseFolder;
        _vocabulary = vocabulary;
    }

    /// <summary>Which run.</summary>
    public InitFromConfig Config => _config;

    /// <summary>Names the checkpoint that is taken by its folder and its model's hash, if that has not been done.</summary>
    /// <exception cref="TrainingException">There is none.</exception>
    /// <exception cref="CheckpointException">It is not whole.</exception>
    public static InitFromConfig Pin(InitFromConfig config, string baseFolder)
    {
        ArgumentNullException.ThrowIfNull(config);
        Checkpoint found = Find(config, baseFolder);
        return config with { Run = found.Path, ModelSha256 = found.Info.ModelSha256 };
    }

    /// <summary>
    /// The vocabulary for a text job: the other run's with the tokens it doesn't know behind it, so that the known ones
    /// keep their numbers; null where there is nothing to keep.
    /// </summary>
    /// <exception cref="TrainingException">The run is not there.</exception>
    /// <exception cref="DataException">The data can't be used as asked.</exception>
    public static DataArtefact? ArtefactFor(JobConfig config, string baseFolder)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (config.InitFrom is not { } from || config.Data is not TextData { Level: not TokenLevel.Byte } text || VocabularyOf(Find(from, baseFolder)) is not { } known || known.Level != text.Level)
        {
            return null;
        }

        var batching = new Batching(config.Batch.Size, config.Batch.Span, config.Batch.LookBack ?? config.Batch.Span, config.Batch.CarryState, config.Seed);
        Vocabulary own = Dataset.Open(config.Data, batching, baseFolder).Artefact.Vocabulary!;
        string[] more = known.HasUnknown ? [] : [.. own.Entries.Where(entry => known.IdOf(entry) < 0)];
        return new DataArtefact(more.Length == 0 ? known : new Vocabulary(known.Level, [.. known.Entries, .. more], known.HasUnknown), null);
    }

    /// <summary>What is taken and what is new, tensor by tensor; what only the other model has comes last.</summary>
    /// <param name="layout">This model's tensors.</param>
    /// <exception cref="TrainingException">The run is not there, its model was exchanged, or nothing of it fits.</exception>
    /// <exception cref="CheckpointException">It can't be read.</exception>
    public IReadOnlyList<TensorStart> Plan(ParameterLayout layout)
    {
        ArgumentNullException.ThrowIfNull(layout);
        Checkpoint checkpoint = Find(_config, _baseFolder);
        using SafetensorsFile file = SafetensorsFile.Open(checkpoint.ModelPath);
        return Plan(layout, checkpoint, file);
    }

    /// <summary>Puts what is taken over what was drawn.</summary>
    /// <param name="layout">This model's tensors.</param>
    /// <param name="parameters">The flat vector, as drawn.</param>
    /// <inheritdoc cref="Plan(ParameterLayout)" path="/exception"/>
    public void Take(ParameterLayout layout, Span<float> parameters)
    {
        ArgumentNullException.ThrowIfNull(layout);
        Checkpoint checkpoint = Find(_config, _baseFolder);
        using SafetensorsFile file = SafetensorsFile.Open(checkpoint.ModelPath);
        fixed (float* into = parameters)
        {
            foreach (TensorStart start in Plan(layout, checkpoint, file))
            {
                if (start.Origin == TensorOrigin.Taken)
                {
                    file.Read(start.Name, layout[start.Name].Shape.Span, into + layout[start.Name].Offset);
                }
                else if (start.Origin == TensorOrigin.TakenInPart)
                {
                    TakePart(file, file.Find(start.Name)!, layout[start.Name], into);
                }
            }
        }
    }

    private IReadOnlyList<TensorStart> Plan(ParameterLayout layout, Checkpoint checkpoint, SafetensorsFile file)
    {
        for (int i = 0; i < _config.Fresh.Count; i++)
        {
            if (!layout.Tensors.Any(tensor => TensorNames.Matches(_config.Fresh[i], tensor.Name)))
            {
                throw new TrainingException($"initFrom.fresh: '{_config.Fresh[i]}' matches none of the model's tensors: expected a layer's name or a tensor's, with * and ?; there are {string.Join(", ", layout.Tensors.Select(tensor => tensor.Name))}.");
            }
        }

        int known = VocabularyOf(checkpoint) is { } vocabulary && _vocabulary is not null && vocabulary.Level == _vocabulary.Level ? vocabulary.Size : 0;
        var plan = new List<TensorStart>();
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            StoredTensor? stored = file.Find(tensor.Name);
            TensorOrigin origin = stored is null ? TensorOrigin.New
                : _config.Fresh.Any(pattern => TensorNames.Matches(pattern, tensor.Name)) ? TensorOrigin.Fresh
                : stored.Shape.SequenceEqual(tensor.Shape.ToArray()) ? TensorOrigin.Taken
                : GrowsWithTokens(stored, tensor, known) ? TensorOrigin.TakenInPart
                : TensorOrigin.OtherShape;
            plan.Add(new TensorStart(tensor.Name, origin, stored is null ? "" : ShapeText(stored), tensor.ShapeText, tensor.IsFrozen));
        }

        if (!plan.Any(start => start.Origin is TensorOrigin.Taken or TensorOrigin.TakenInPart))
        {
            string why = string.Join("; ", plan.Take(3).Select(start => $"{start.Name}: {start.Text}"));
            throw new TrainingException(
                $"initFrom.run: none of the {plan.Count} tensors can be taken from {checkpoint.Path} ({why}{(plan.Count > 3 ? "; …" : "")}). Expected a run with layers of the same names and sizes; give the layers its names (`clusterrnn inspect` shows them), or leave initFrom out.");
        }

        plan.AddRange(file.Tensors
            .Where(stored => layout.Find(stored.Name) is null)
            .OrderBy(stored => stored.Name, StringComparer.Ordinal)
            .Select(stored => new TensorStart(stored.Name, TensorOrigin.Unused, ShapeText(stored), "", false)));
        return plan;
    }

    // One dimension counts tokens, and there are more of them now.
    private bool GrowsWithTokens(StoredTensor stored, ParameterTensor tensor, int known)
    {
        ReadOnlySpan<long> shape = tensor.Shape.Span;
        if (known == 0 || stored.Shape.Count != shape.Length || _vocabulary!.Size <= known)
        {
            return false;
        }

        int grown = 0, others = 0;
        for (int i = 0; i < shape.Length; i++)
        {
            grown += stored.Shape[i] == known && shape[i] == _vocabulary.Size ? 1 : 0;
            others += stored.Shape[i] == shape[i] ? 1 : 0;
        }

        return grown == 1 && grown + others == shape.Length;
    }

    private static void TakePart(SafetensorsFile file, StoredTensor stored, ParameterTensor tensor, float* parameters)
    {
        long[] shape = [.. stored.Shape];
        long rows = 1;
        foreach (long dimension in shape.AsSpan(0, shape.Length - 1))
        {
            rows *= dimension;
        }

        using var values = new NativeBuffer<float>(rows * shape[^1]);
        file.Read(stored.Name, shape, values.Pointer);
        long columns = shape[^1], into = tensor.Shape.Span[^1];
        for (long row = 0; row < rows; row++)
        {
            Buffer.MemoryCopy(values.Pointer + (row * columns), parameters + tensor.Offset + (row * into), columns * sizeof(float), columns * sizeof(float));
        }
    }

    private static string ShapeText(StoredTensor stored) => string.Join(" x ", stored.Shape);

    private static Vocabulary? VocabularyOf(Checkpoint checkpoint) =>
        CheckpointStore.ReadArtefacts(checkpoint).TryGetValue(ResolvedJob.ArtefactFile, out byte[]? bytes) ? DataArtefact.FromJson(System.Text.Encoding.UTF8.GetString(bytes)).Vocabulary : null;

    private static Checkpoint Find(InitFromConfig config, string baseFolder)
    {
        string path = Path.GetFullPath(config.Run, Path.GetFullPath(baseFolder));
        Checkpoint found;
        if (File.Exists(Path.Combine(path, CheckpointStore.ManifestFile)))
        {
            found = CheckpointStore.Open(path);
        }
        else if (!Directory.Exists(path))
        {
            throw new TrainingException($"initFrom.run: expected a run's or a checkpoint's folder at {path}, found {(File.Exists(path) ? "a file" : "nothing")}.");
        }
        else
        {
            CheckpointSearch search = new CheckpointStore(new RunFolder(path).CheckpointsPath, new CheckpointConfig()).FindNewest();
            found = search.Found ?? throw new TrainingException(search.PassedOver.Count == 0
                ? $"initFrom.run: expected a run with checkpoints at {path}, found none in it."
                : $"initFrom.run: none of the {search.PassedOver.Count} checkpoints of {path} can be used; of the newest: {search.PassedOver[0].Reason}");
        }

        return config.ModelSha256 is null || config.ModelSha256 == found.Info.ModelSha256
            ? found
            : throw new TrainingException($"initFrom.run: expected the model {config.ModelSha256} in {path}, found {found.Info.ModelSha256}: it is not the one that was named (initFrom.modelSha256). Restore it, or start a new run.");
    }
}
