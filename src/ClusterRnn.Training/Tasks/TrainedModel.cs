using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>A model with its parameters: what a training yields and what predictions start from.</summary>
public sealed unsafe class TrainedModel : IDisposable
{
    private readonly NativeBuffer<float> parameters;

    /// <summary>Copies <paramref name="parameters"/>.</summary>
    /// <param name="model">The model.</param>
    /// <param name="parameters">The flat vector of <see cref="Model.Layout"/>.</param>
    /// <exception cref="ArgumentException">The vector has another length than the layout.</exception>
    public TrainedModel(Model model, ReadOnlySpan<float> parameters)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (parameters.Length != model.Layout.Length)
        {
            throw new ArgumentException($"The layout has {model.Layout.Length} floats, the vector {parameters.Length}.", nameof(parameters));
        }

        Model = model;
        this.parameters = new NativeBuffer<float>(parameters.Length);
        parameters.CopyTo(this.parameters.AsSpan());
    }

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <summary>The flat vector of the model's layout.</summary>
    public ReadOnlySpan<float> Parameters => parameters.AsSpan();

    /// <summary>An executor for prediction with these parameters; it must not outlive them.</summary>
    /// <param name="time">The longest window.</param>
    /// <param name="targetTime">The most time steps with outputs.</param>
    /// <param name="rows">The most rows.</param>
    /// <param name="contextTime">The most time steps that are kept to go on from, or 0.</param>
    public ModelExecutor CreateExecutor(int time, int targetTime, int rows, int contextTime = 0)
    {
        var executor = new ModelExecutor(Model, time, targetTime, rows, training: false, contextTime: contextTime);
        executor.LoadParameters(parameters.Pointer);
        return executor;
    }

    /// <inheritdoc/>
    public void Dispose() => parameters.Dispose();
}
