// x + layer(x) (He et al. 2016; between recurrent layers Wu et al. 2016): what the layer computes is added to what it read,
// and the output's gradient goes to both.
using ClusterRnn.Kernels.Elementwise;

namespace ClusterRnn.Models;

/// <summary>A layer whose output is added to its input; both have the same width.</summary>
internal sealed unsafe class ResidualLayer(Layer inner) : Layer(inner.Name)
{
    /// <summary>The layer whose output is added.</summary>
    public Layer Inner => inner;

    /// <inheritdoc/>
    public override int OutputWidth => inner.OutputWidth;

    /// <inheritdoc/>
    public override bool CouplesTime => inner.CouplesTime;

    /// <inheritdoc/>
    public override bool ReadsAhead => inner.ReadsAhead;

    /// <inheritdoc/>
    public override int StateWidth => inner.StateWidth;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) => inner.Declare(declarations);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => inner.Bind(layout);

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        inner.Index = Index;
        inner.Input = Input;
        inner.Output = new Signal(OutputWidth) { Scope = Output.Scope, MaximumTime = Output.MaximumTime };
        inner.Plan(plan);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters) => inner.Pack(parameters);

    /// <inheritdoc/>
    public override void LoadState(float* states, nint stride) => inner.LoadState(states, stride);

    /// <inheritdoc/>
    public override void StoreState(int time, float* states, nint stride) => inner.StoreState(time, states, stride);

    /// <inheritdoc/>
    public override void ReadMemory(TrainingStep step) => inner.ReadMemory(step);

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        inner.Forward(step);
        for (int time = Output.Scope.From; time < Output.Scope.Time; time++)
        {
            Add(time, Input.At(time), Input.Stride, inner.Output.At(time), Output.At(time));
        }

        Output.Scope.ClearEnded(Output.Values, Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        long first = (long)scope.FirstCell * Output.Stride, count = (long)scope.Cells * Output.Stride;
        Buffer.MemoryCopy(Output.Gradient + first, inner.Output.Gradient + first, count * sizeof(float), count * sizeof(float));
        inner.Backward(step);
        for (int time = scope.From; Input.HasGradient && time < scope.Time; time++)
        {
            Add(time, Input.GradientAt(time), Input.Stride, Output.GradientAt(time), Input.GradientAt(time));
        }
    }

    // The input's rows may lie closer than the output's, where they are the data's own.
    private void Add(int time, float* input, int inputStride, float* other, float* into)
    {
        int rows = Output.Scope.RowsAt(time);
        if (inputStride == Output.Stride)
        {
            ElementwiseFunctions.Add((long)rows * Output.Stride, input, other, into);
            return;
        }

        for (int row = 0; row < rows; row++)
        {
            ElementwiseFunctions.Add(OutputWidth, input + ((long)row * inputStride), other + ((long)row * Output.Stride), into + ((long)row * Output.Stride));
        }
    }
}
