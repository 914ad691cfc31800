using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Training.Insight;

/// <summary>What a report shows of a model's inside.</summary>
/// <param name="Gradients">Gradients by lag, of each recurrent layer and each with attention.</param>
/// <param name="Sample">What each time step of the sample reads, in words; empty without attention.</param>
/// <param name="Written">What a decoder is to write for the sample, in words; empty in a model without one.</param>
/// <param name="Attention">What the sample's time steps attend to.</param>
public sealed record ModelInsight(IReadOnlyList<LagLine> Gradients, IReadOnlyList<string> Sample, IReadOnlyList<string> Written, IReadOnlyList<AttentionMap> Attention)
{
    private const int SampleTime = 40;

    /// <summary>Nothing to see.</summary>
    public static ModelInsight Nothing { get; } = new([], [], [], []);

    /// <summary>Looks into a model with the first rows of the validation data, or of the training data where there is none.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="artefact">Its vocabulary or scaler.</param>
    /// <param name="data">Its data.</param>
    public static unsafe ModelInsight Of(TrainedModel trained, DataArtefact artefact, Dataset data)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(artefact);
        ArgumentNullException.ThrowIfNull(data);
        ModelConfig config = trained.Model.Config;
        IReadOnlyList<LayerConfig> layers = [.. config.Layers, .. config.Encoder ?? [], .. config.Decoder ?? []];
        if (!layers.Any(layer => layer is RecurrentConfig or AttentionConfig or TransformerConfig) || layers.Any(layer => layer is FlattenConfig))
        {
            return Nothing; // no time lags, or windows that can't be cut
        }

        IBatchSource source = data.Validation ?? data.Training;
        IReadOnlyList<LagLine> gradients = GradientFlow.Of(trained, source);
        IReadOnlyList<SpanBatch> rows = trained.Model.NeedsContext || trained.Model.IsEncoderDecoder ? SingleRow.Of(trained.Model, source, 1, SampleTime) : [];
        foreach (SpanBatch row in rows)
        {
            using (row)
            using (var glass = new GlassModel(trained))
            {
                IReadOnlyList<AttentionMap> maps = glass.Look(row).Attention;
                string[] read = [.. Enumerable.Range(0, row.Lengths[0]).Select(time => row.Tokens is null ? $"{time + 1}" : Word(artefact.Vocabulary, row.Tokens[time]))];
                string[] written = trained.Model.IsEncoderDecoder ? [.. Enumerable.Range(0, row.TargetTime).Select(time => Word(artefact.TargetVocabulary, row.TargetTokens[time]))] : [];
                return maps.Count == 0 ? new ModelInsight(gradients, [], [], []) : new ModelInsight(gradients, read, written, maps);
            }
        }

        return new ModelInsight(gradients, [], [], []);
    }

    private static string Word(Vocabulary? vocabulary, int id) => vocabulary?.NameOf(id) ?? $"{id}";
}
