// What an LSTM with layer normalisation (GateNormalization) lets its output see of the cell: LN(c; gain_c, bias_c), the cell
// itself going on as it is (Ba, Kiros and Hinton 2016, equation 22).
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>The normalisation of the cells of one direction of an LSTM level: <c>gain_c_l*</c> and <c>bias_c_l*</c> [H].</summary>
/// <param name="name">The layer's name.</param>
/// <param name="suffix">The last part of its tensors' names.</param>
/// <param name="hidden">H.</param>
internal sealed unsafe class CellNormalization(string name, string suffix, int hidden)
{
    private readonly int stride = ColumnGroups.Pad(hidden);
    private ParameterTensor gain = null!;
    private ParameterTensor bias = null!;
    private float* gains; // [H], in the flat vector
    private float* padded; // [2, stride]: gain, bias
    private float* normals; // [T, B, stride]
    private float* inverses; // [T, B]
    private float* gradients; // [T, B, stride]: of LN(c)

    /// <summary>Declares the tensors: ones and zeros at first.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        declarations.Add($"{name}.gain_c_{suffix}", Initializer.Of(1.0), hidden);
        declarations.Add($"{name}.bias_c_{suffix}", Initializer.Of(0.0), hidden);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        gain = layout[$"{name}.gain_c_{suffix}"];
        bias = layout[$"{name}.bias_c_{suffix}"];
    }

    /// <summary>Takes the buffers.</summary>
    public void Plan(LayerPlan plan)
    {
        padded = plan.Arena.Floats(2L * stride);
        normals = plan.Arena.Floats(plan.MaximumCells * stride);
        inverses = plan.Arena.Floats(plan.MaximumCells);
        gradients = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * stride) : null;
    }

    /// <summary>Takes over new parameters.</summary>
    public void Pack(float* parameters)
    {
        gains = parameters + gain.Offset;
        new ReadOnlySpan<float>(gains, hidden).CopyTo(new Span<float>(padded, hidden));
        new ReadOnlySpan<float>(parameters + bias.Offset, hidden).CopyTo(new Span<float>(padded + stride, hidden));
    }

    /// <summary>What a time step's kernels need, from its first cell on.</summary>
    public CellNorm At(long cell) => new(gains, padded, normals + (cell * stride), inverses + cell, GateNormalization.Epsilon);

    /// <summary>Room for the gradients of a time step's LN(c), from its first cell on.</summary>
    public float* GradientAt(long cell) => gradients + (cell * stride);

    /// <summary>The gradients of both tensors.</summary>
    public void Tensors(TrainingStep step, ShardRows shards)
    {
        ColumnGroups columns = ColumnGroups.Padded(hidden);
        WeightGradient.ColumnSums(step.Merge, shards, gradients, stride, columns, step.SubtreeGradients, bias.Offset, step.Workspace, !step.IsEnd);
        WeightGradient.ColumnProducts(step.Merge, shards, gradients, stride, columns, normals, stride, step.SubtreeGradients, gain.Offset, step.Workspace, !step.IsEnd);
    }
}
