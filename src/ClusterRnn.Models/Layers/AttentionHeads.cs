// What attention of several heads needs whoever its keys belong to, the sequence itself (SelfAttention) or an encoder's
// (CrossAttention): the heads' results with their gradients and statistics, and the operands that only say where they lie.
using ClusterRnn.Kernels.Attention;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>Heads side by side.</summary>
/// <param name="width">E.</param>
/// <param name="heads">How many; they divide E.</param>
/// <param name="dropout">What is dropped of the weights.</param>
internal sealed unsafe class AttentionHeads(int width, int heads, DropoutPart dropout)
{
    private readonly float scale = (float)(1.0 / Math.Sqrt(width / heads));
    private float* statistics; // [T, B, heads, 2]

    /// <summary>How many.</summary>
    public int Count => heads;

    /// <summary>E / heads.</summary>
    public int Width { get; } = width / heads;

    /// <summary>Floats from one cell's results to the next.</summary>
    public int Stride { get; } = ColumnGroups.Pad(width);

    /// <summary>The heads' results.</summary>
    public float* Results { get; private set; } // [T, B, Stride]

    /// <summary>Their gradients.</summary>
    public float* ResultGradients { get; private set; } // [T, B, Stride]

    /// <summary>Where a head is rearranged.</summary>
    public AttentionScratch Scratch { get; private set; } = null!;

    /// <summary>Takes the buffers.</summary>
    /// <param name="plan">Where they come from.</param>
    /// <param name="mostKeys">The most keys of a row.</param>
    public void Plan(LayerPlan plan, int mostKeys)
    {
        Scratch = new AttentionScratch(plan.Arena, mostKeys, Width, plan.IsTraining);
        Results = plan.Arena.Floats(plan.MaximumCells * Stride);
        ResultGradients = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * Stride) : null;
        statistics = plan.Arena.Floats(plan.MaximumCells * heads * 2);
    }

    /// <summary>The operands of a row's head, but for keys, values and where the queries lie.</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The queries' time axis.</param>
    /// <param name="place">The row's place.</param>
    /// <param name="head">Which head.</param>
    /// <param name="first">The first time step that is a query.</param>
    public AttentionArguments Arguments(TrainingStep step, StepScope scope, int place, int head, int first)
    {
        nint cell = ((nint)first * scope.Rows) + place, result = (cell * Stride) + (head * Width);
        bool drops = dropout.IsActive(step);
        return new AttentionArguments
        {
            Queries = scope.Lengths[place] - first,
            HeadWidth = Width,
            Scale = scale,
            Result = Results + result,
            ResultGradient = ResultGradients + result,
            ResultStride = (nint)scope.Rows * Stride,
            Statistics = statistics + (((cell * heads) + head) * 2),
            StatisticsStride = (nint)scope.Rows * heads * 2,
            DropThreshold = drops ? Dropout.ThresholdOf(dropout.Rate) : 0,
            KeptScale = Dropout.ScaleOf(dropout.Rate),
            DropKey = drops ? dropout.Key(step).Key : 0,
            Slot = scope.SlotOf(place),
            Time = scope.StartTime + first,
            FirstElement = head << 20,
        };
    }
}
