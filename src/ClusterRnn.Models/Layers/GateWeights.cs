// The four tensors of a recurrent level under PyTorch's names, packed for each product that uses them.
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary><c>weight_ih_l*</c> [G H, I], <c>weight_hh_l*</c> [G H, H], <c>bias_ih_l*</c> and <c>bias_hh_l*</c> [G H] of one level with G gates.</summary>
internal sealed unsafe class GateWeights
{
    private readonly int gates;
    private readonly int inputWidth;
    private readonly int hidden;
    private readonly ParameterTensor inputWeight;
    private readonly ParameterTensor stateWeight;
    private readonly ParameterTensor inputBias;
    private readonly ParameterTensor stateBias;
    private PackedMatrix input = null!; // x -> gates, with the bias
    private PackedMatrix? inputBack; // gates -> dx

    public GateWeights(ParameterLayout layout, string name, int level, int gates, int inputWidth, int hidden)
    {
        this.gates = gates;
        this.inputWidth = inputWidth;
        this.hidden = hidden;
        inputWeight = layout[$"{name}.weight_ih_l{level}"];
        stateWeight = layout[$"{name}.weight_hh_l{level}"];
        inputBias = layout[$"{name}.bias_ih_l{level}"];
        stateBias = layout[$"{name}.bias_hh_l{level}"];
        Columns = ColumnGroups.Gates(gates, hidden);
    }

    /// <summary>h -> gates.</summary>
    public PackedMatrix State { get; private set; } = null!;

    /// <summary>Gradients of the gates -> dh; null without training.</summary>
    public PackedMatrix? StateBack { get; private set; }

    /// <summary>How the gates lie in a row.</summary>
    public ColumnGroups Columns { get; }

    /// <summary>Floats from one row of gates to the next.</summary>
    public int GateStride => gates * ColumnGroups.Pad(hidden);

    /// <summary>Declares the four tensors.</summary>
    public static void Declare(ParameterDeclarations declarations, string name, int level, int gates, int inputWidth, RecurrentConfig config, double? forgetBias = null)
    {
        int hidden = config.Units, rows = gates * hidden;
        Initializer Of(InitializerKind kind, int columns) => new(kind, kind == InitializerKind.PyTorch ? hidden : columns, rows, gates);
        declarations.Add($"{name}.weight_ih_l{level}", Of(config.KernelInitializer, inputWidth), rows, inputWidth);
        declarations.Add($"{name}.weight_hh_l{level}", Of(config.RecurrentInitializer, hidden), rows, hidden);
        declarations.Add($"{name}.bias_ih_l{level}", Of(config.BiasInitializer, inputWidth) with { ForgetBias = forgetBias }, rows);
        declarations.Add($"{name}.bias_hh_l{level}", Of(config.BiasInitializer, hidden) with { ForgetBias = forgetBias is null ? null : 0.0 }, rows);
    }

    /// <summary>Takes room for the packed weights.</summary>
    public void Plan(LayerPlan plan, Signal x)
    {
        input = new PackedMatrix(plan.Arena, x.Columns, Columns);
        State = new PackedMatrix(plan.Arena, ColumnGroups.Padded(hidden), Columns);
        if (plan.IsTraining)
        {
            StateBack = new PackedMatrix(plan.Arena, Columns, ColumnGroups.Padded(hidden));
            inputBack = x.HasGradient ? new PackedMatrix(plan.Arena, Columns, ColumnGroups.Padded(inputWidth)) : null;
        }
    }

    /// <summary>Packs all four.</summary>
    public void Pack(float* parameters)
    {
        input.PackTransposed(parameters + inputWeight.Offset, inputWidth);
        input.SetBias(parameters + inputBias.Offset, parameters + stateBias.Offset);
        State.PackTransposed(parameters + stateWeight.Offset, hidden);
        inputBack?.Pack(parameters + inputWeight.Offset, inputWidth);
        StateBack?.Pack(parameters + stateWeight.Offset, hidden);
    }

    /// <summary>gates = b_ih + b_hh + W_ih x, for the whole window.</summary>
    public void ProjectInput(Signal x, float* gates, Workspace workspace) =>
        Product.Multiply(x.Scope.Cells, x.Values, x.Stride, input, gates, GateStride, ProductStart.Bias, workspace);

    /// <summary>The gradients of the four tensors and of the input, from those of all gates of the window.</summary>
    /// <param name="step">Where tensors' gradients go.</param>
    /// <param name="x">The input.</param>
    /// <param name="gateGradients">[T, B, <see cref="GateStride"/>].</param>
    /// <param name="states">[T + 1, B, padded H]: the states, the incoming one first.</param>
    public void Gradients(TrainingStep step, Signal x, float* gateGradients, float* states)
    {
        ShardRows rows = x.Scope.Shards;
        WeightGradient.Compute(step.Merge, rows, gateGradients, GateStride, Columns, x.Values, x.Stride, x.Columns, step.SubtreeGradients, inputWeight.Offset, step.Workspace);
        WeightGradient.Compute(step.Merge, rows, gateGradients, GateStride, Columns, states, ColumnGroups.Pad(hidden), ColumnGroups.Padded(hidden), step.SubtreeGradients, stateWeight.Offset, step.Workspace);
        WeightGradient.ColumnSums(step.Merge, rows, gateGradients, GateStride, Columns, step.SubtreeGradients, inputBias.Offset, step.Workspace);
        step.CopyGradient(inputBias, stateBias);
        if (inputBack is not null)
        {
            Product.Multiply(x.Scope.Cells, gateGradients, GateStride, inputBack, x.Gradient, x.Stride, ProductStart.Zero, step.Workspace, flush: true);
        }
    }
}
