// A trained model made ready to be looked into: the same parameters and layers, with its first layer's output where it can be
// seen. Where it, or its encoder, reads values, an identity goes before the first layer, so that dL/dx is the gradient of that
// one's output; where it reads tokens, the embedding (or one-hot) is the first layer and gives its vectors as they are.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Training.Insight;

/// <summary>A model that can be looked into.</summary>
public sealed unsafe class GlassModel : IDisposable
{
    private readonly Model _seen;
    private readonly NativeBuffer<float> _parameters;
    private readonly int _before; // layers that the original doesn't have

    /// <summary>Copies a model's parameters.</summary>
    public GlassModel(TrainedModel trained)
    {
        ArgumentNullException.ThrowIfNull(trained);
        Original = trained.Model;
        ModelConfig config = Original.Config with { Freeze = [] };
        _before = Original.Input == InputKind.Features ? 1 : 0;
        if (_before > 0)
        {
            LayerConfig identity = new DenseConfig { Name = "identity of the input", Units = Original.InputWidth };
            config = config.Encoder is { } encoder ? config with { Encoder = [identity, .. encoder] } : config with { Layers = [identity, .. config.Layers] };
        }

        // Each token through the embedding by itself: no table of projected tokens, which has no vectors.
        _seen = Model.Build(config, Original.Input, Original.InputWidth, Original.TargetWidth, documentStart: Original.DocumentStart);
        _parameters = new NativeBuffer<float>(_seen.Layout.Length);
        for (int i = 0; i < Original.InputWidth && _before > 0; i++)
        {
            _parameters.Pointer[_seen.Layout.Tensors[0].Offset + ((long)i * Original.InputWidth) + i] = 1;
        }

        int added = _seen.Layout.Tensors.Count - Original.Layout.Tensors.Count; // in front; the others keep their order, not always their names
        for (int i = 0; i < Original.Layout.Tensors.Count; i++)
        {
            ParameterTensor from = Original.Layout.Tensors[i], to = _seen.Layout.Tensors[i + added];
            trained.Parameters.Slice((int)from.Offset, (int)from.Count).CopyTo(_parameters.AsSpan(to.Offset, (int)to.Count));
        }
    }

    /// <summary>The model that is looked into.</summary>
    public Model Original { get; }

    /// <summary>Reads one row from the beginning, and goes back from its loss.</summary>
    /// <param name="row">One row with its targets.</param>
    /// <param name="lastTargetAlone">Whether the loss looked at is that of the row's last target, and not the sum over all of them.</param>
    /// <returns>What there is to be seen; layers have the numbers of <see cref="Original"/>.</returns>
    public ModelView Look(SpanBatch row, bool lastTargetAlone = false)
    {
        ArgumentNullException.ThrowIfNull(row);
        using var executor = new ModelExecutor(_seen, row.Time, row.TargetTime, 1, training: true, maximumShards: 1);
        executor.LoadParameters(_parameters.Pointer);
        ModelView view = executor.Look(row, lastTargetAlone);
        string[] names = [.. _seen.LayerNames];
        return view with
        {
            Gradients = [.. view.Gradients.Select(layer => layer with { Layer = layer.Layer - _before })],
            Attention = [.. view.Attention.Select(map => map with { Layer = Original.LayerNames[Array.IndexOf(names, map.Layer) - _before] })],
        };
    }

    /// <summary>What the model gives for one row at its last target.</summary>
    /// <param name="row">The row.</param>
    /// <param name="logits">Whether to leave out the last function that the loss takes over.</param>
    public float[] Predict(SpanBatch row, bool logits = false)
    {
        ArgumentNullException.ThrowIfNull(row);
        using var executor = new ModelExecutor(_seen, row.Time, row.TargetTime, 1, training: false);
        using var outputs = new NativeBuffer<float>((long)row.TargetTime * _seen.OutputWidth);
        executor.LoadParameters(_parameters.Pointer);
        executor.Predict(row, null, null, outputs.Pointer, logits);
        return outputs.AsSpan((row.TargetTime - 1L) * _seen.OutputWidth, _seen.OutputWidth).ToArray();
    }

    /// <inheritdoc/>
    public void Dispose() => _parameters.Dispose();
}
