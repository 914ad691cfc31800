// A model read back from a checkpoint, without the data it was trained on: the config, the vocabulary or scaler and the
// widths all lie in the checkpoint.
using System.Text;
using System.Text.Json;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Tasks;

/// <summary>What the model of a checkpoint reads and writes: <c>artefacts/model.json</c>.</summary>
/// <param name="Input">What it reads.</param>
/// <param name="InputWidth">The vocabulary's size, or values a time step.</param>
/// <param name="OutputWidth">Classes, or values a target.</param>
/// <param name="DocumentStart">The token that begins a document, or null.</param>
public sealed record ModelWidths(InputKind Input, int InputWidth, int OutputWidth, int? DocumentStart = null)
{
    /// <summary>The file in a checkpoint's artefact folder.</summary>
    public const string File = "model.json";

    /// <summary>The widths of <paramref name="model"/>.</summary>
    public static ModelWidths OfModel(Model model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new ModelWidths(model.Input, model.InputWidth, model.TargetWidth, model.DocumentStart < 0 ? null : model.DocumentStart);
    }

    /// <summary>The widths of <paramref name="model"/>, as they are saved.</summary>
    public static byte[] Of(Model model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return JsonSerializer.SerializeToUtf8Bytes(OfModel(model), ConfigJson.Options);
    }
}

/// <summary>Opens models from checkpoints.</summary>
public static class SavedModel
{
    /// <summary>The config of <paramref name="checkpoint"/>.</summary>
    /// <exception cref="CheckpointException">It is not one that this version understands.</exception>
    public static JobConfig ConfigOf(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        string path = Path.Combine(checkpoint.Path, CheckpointStore.StateFile);
        try
        {
            return ConfigLoader.FromJson<JobConfig>(checkpoint.Info.Config, path);
        }
        catch (ConfigException error)
        {
            throw new CheckpointException(CheckpointFault.Foreign, $"{path}: its config is not one that this version understands: {error.Message}", error);
        }
    }

    /// <summary>Opens the model of <paramref name="checkpoint"/>; the caller disposes of its <see cref="TaskModel.Model"/>.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="baseFolder">Where the config's relative paths start.</param>
    /// <exception cref="CheckpointException">A file is missing, damaged or of another version.</exception>
    public static unsafe TaskModel Open(Checkpoint checkpoint, string baseFolder)
    {
        JobConfig config = ConfigOf(checkpoint);
        IReadOnlyDictionary<string, byte[]> artefacts = CheckpointStore.ReadArtefacts(checkpoint);
        ModelWidths widths = JsonSerializer.Deserialize<ModelWidths>(Artefact(ModelWidths.File), ConfigJson.Options)!;
        DataArtefact data = DataArtefact.FromJson(Encoding.UTF8.GetString(Artefact(ResolvedJob.ArtefactFile)));
        var model = Model.Build(config.Model, widths.Input, widths.InputWidth, widths.OutputWidth, documentStart: widths.DocumentStart ?? -1);
        using var parameters = new NativeBuffer<float>(model.Layout.Length);
        CheckpointStore.ReadParameters(checkpoint.ModelPath, model.Layout, parameters.Pointer);
        return new TaskModel(config, new TrainedModel(model, parameters.AsSpan()), data, baseFolder);

        byte[] Artefact(string name) => artefacts.TryGetValue(name, out byte[]? bytes)
            ? bytes
            : throw new CheckpointException(CheckpointFault.Foreign, $"{checkpoint.Path}: expected {CheckpointStore.ArtefactFolder}/{name}, found none: the checkpoint was written by another version of the program.");
    }
}
