// What a parameter server holds of its range: parameters, the optimizer's vectors, the gradient being formed and the one
// being accumulated; all in native memory, nothing allocated per step.
//
//     range.Reduce(segment, pieces)      finish the canonical tree: pieces -> summed gradient (+ what was accumulated)
//     range.SumSquares(segment, squares) per block, for the global norm; says whether all is finite
//     range.Apply(numbers)               the verdict: divide, clip, penalise, update; or keep accumulating
//
// Until Apply nothing of the committed version changes, so a step can be reduced again or dropped at any time.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Training.Optimizers;

/// <summary>A summed gradient of a subtree of shards.</summary>
public readonly unsafe struct GradientPiece
{
    /// <summary>Names a piece.</summary>
    /// <param name="shards">The shards it sums: a node of the canonical tree.</param>
    /// <param name="values">The gradient of the blocks in question; it is only read.</param>
    public GradientPiece(ShardRange shards, float* values)
    {
        Shards = shards;
        Values = values;
    }

    /// <summary>The shards it sums.</summary>
    public ShardRange Shards { get; }

    /// <summary>The gradient of the blocks in question.</summary>
    public float* Values { get; }
}

/// <summary>The parameters and the optimizer's state of a range of blocks.</summary>
public sealed unsafe class ParameterRange : IDisposable
{
    private const int BlockSize = ParameterLayout.BlockSize;
    private const int LargestStack = 32;

    private readonly NativeBuffer<float> memory;
    private readonly OptimizerUpdate update;
    private readonly int shards;
    private readonly int accumulator;

    /// <summary>Reserves the memory of a range; all is zero.</summary>
    /// <param name="layout">The parameters.</param>
    /// <param name="blocks">The range's blocks; for optimizers that need whole tensors, cut between tensors.</param>
    /// <param name="settings">The optimizer and its constants.</param>
    /// <param name="shards">S: the shards of the global batch.</param>
    /// <exception cref="ArgumentException">The optimizer needs whole tensors and the range cuts one.</exception>
    public ParameterRange(ParameterLayout layout, BlockRange blocks, TrainingSettings settings, int shards)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(blocks.First);
        ArgumentOutOfRangeException.ThrowIfNegative(blocks.Count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(blocks.End, layout.BlockCount);
        Blocks = blocks;
        this.shards = shards;
        SectionNames = SectionNamesOf(settings);
        accumulator = settings.Accumulate > 1 ? SectionNames.Count - 1 : -1;
        memory = new NativeBuffer<float>((SectionNames.Count + 1) * Floats);
        update = new OptimizerUpdate(layout, blocks, settings);
    }

    /// <summary>The blocks.</summary>
    public BlockRange Blocks { get; }

    /// <summary>How many floats the range has, padding included.</summary>
    public long Floats => Blocks.Floats;

    /// <summary>The names of the vectors that make up the range's state: <c>parameters</c>, the optimizer's, and <c>accumulator</c> where gradients are accumulated.</summary>
    public IReadOnlyList<string> SectionNames { get; }

    /// <summary>How many floats <see cref="Save"/> writes.</summary>
    public long SnapshotFloats => SectionNames.Count * Floats;

    /// <summary>The parameters of the committed version.</summary>
    public float* Parameters => memory.Pointer; // [Floats]

    /// <summary>The reduced gradient: a sum over targets, what was accumulated included. A replica is handed it instead of reducing.</summary>
    public float* Gradient => Section(SectionNames.Count); // [Floats]

    /// <summary>The names of the vectors a range keeps.</summary>
    public static IReadOnlyList<string> SectionNamesOf(TrainingSettings settings) =>
        ["parameters", .. settings.Optimizer.Moments, .. settings.Accumulate > 1 ? new[] { "accumulator" } : []];

    /// <summary>One of the vectors in <see cref="SectionNames"/>.</summary>
    public float* Section(int index) => memory.Pointer + index * Floats; // [Floats]

    /// <summary>Sets the parameters, and the optimizer's state to zero.</summary>
    /// <param name="parameters">The whole flat vector.</param>
    public void Initialize(ReadOnlySpan<float> parameters)
    {
        Clear(memory.Pointer, memory.Length);
        parameters.Slice(checked((int)Blocks.FirstFloat), checked((int)Floats)).CopyTo(new Span<float>(Parameters, (int)Floats));
    }

    /// <summary>
    /// Finishes the canonical tree for some of the range's blocks. It may run at the same time on several threads for
    /// blocks that don't overlap, and again for the same blocks.
    /// </summary>
    /// <param name="segment">Blocks within the range.</param>
    /// <param name="pieces">Nodes of the tree that together cover all shards, ascending; their values begin with the segment's first block.</param>
    /// <exception cref="ArgumentException">The pieces don't cover all shards exactly once, or one is not a node of the tree.</exception>
    public void Reduce(BlockRange segment, ReadOnlySpan<GradientPiece> pieces)
    {
        CheckSegment(segment);
        Span<int> merges = stackalloc int[Math.Min(pieces.Length, shards)];
        int depth = PlanMerges(pieces, merges);
        Span<nint> stack = stackalloc nint[depth];
        float* scratch = stackalloc float[Math.Max(0, depth - 1) * BlockSize]; // slot 0 lies in the gradient itself
        float* target = Gradient + (segment.FirstFloat - Blocks.FirstFloat);
        float* accumulated = accumulator < 0 ? null : Section(accumulator) + (segment.FirstFloat - Blocks.FirstFloat);
        for (long at = 0; at < segment.Floats; at += BlockSize)
        {
            int top = 0;
            for (int piece = 0; piece < pieces.Length; piece++)
            {
                stack[top++] = (nint)(pieces[piece].Values + at);
                for (int merge = 0; merge < merges[piece]; merge++)
                {
                    top--;
                    float* sum = top == 1 ? target + at : scratch + (top - 2) * BlockSize;
                    ElementwiseFunctions.Add(BlockSize, (float*)stack[top - 1], (float*)stack[top], sum);
                    stack[top - 1] = (nint)sum;
                }
            }

            if (accumulated is not null)
            {
                ElementwiseFunctions.Add(BlockSize, accumulated + at, (float*)stack[0], target + at);
            }
            else if (stack[0] != (nint)(target + at))
            {
                Copy((float*)stack[0], target + at, BlockSize);
            }
        }
    }

    /// <summary>The sum of squares of each block of the reduced gradient, undivided.</summary>
    /// <param name="segment">Blocks within the range.</param>
    /// <param name="squares">[segment.Count], overwritten.</param>
    /// <returns>Whether every element is finite.</returns>
    public bool SumSquares(BlockRange segment, Span<double> squares)
    {
        CheckSegment(segment);
        float* gradient = Gradient + (segment.FirstFloat - Blocks.FirstFloat);
        bool finite = true;
        for (int block = 0; block < segment.Count; block++)
        {
            // A float's square can't overflow a double, nor can 1,024 of them: the sum is finite if and only if all are.
            squares[block] = Sums.SquareSum(BlockSize, gradient + (long)block * BlockSize);
            finite &= double.IsFinite(squares[block]);
        }

        return finite;
    }

    /// <summary>Takes the reduced gradient into the parameters, or into the accumulator if the numbers say so.</summary>
    public void Apply(in UpdateNumbers numbers)
    {
        if (!numbers.Apply)
        {
            if (accumulator >= 0)
            {
                Copy(Gradient, Section(accumulator), Floats);
            }

            return;
        }

        update.Run(numbers, Parameters, Gradient, Section(1), Floats);
        if (accumulator >= 0)
        {
            Clear(Section(accumulator), Floats);
        }
    }

    /// <summary>Copies the range's state.</summary>
    /// <param name="into">[SectionNames.Count, Floats], overwritten.</param>
    public void Save(float* into) => Copy(memory.Pointer, into, SnapshotFloats);

    /// <summary>Takes over what <see cref="Save"/> wrote for the same blocks.</summary>
    /// <param name="from">[SectionNames.Count, Floats].</param>
    public void Load(float* from) => Copy(from, memory.Pointer, SnapshotFloats);

    /// <inheritdoc/>
    public void Dispose() => memory.Dispose();

    // How many merges follow each piece; returns how deep the stack gets.
    private int PlanMerges(ReadOnlySpan<GradientPiece> pieces, Span<int> merges)
    {
        Span<ShardRange> stack = stackalloc ShardRange[LargestStack + 1];
        int top = 0, depth = 0, next = 0;
        for (int i = 0; i < pieces.Length; i++)
        {
            ShardRange piece = pieces[i].Shards;
            if (piece.Start != next || !CanonicalTree.IsNode(piece, shards) || top == LargestStack)
            {
                throw new ArgumentException($"Expected a node of the tree over {shards} shards that starts at {next}, found {piece}.", nameof(pieces));
            }

            next = piece.End;
            stack[top++] = piece;
            depth = Math.Max(depth, top);
            merges[i] = 0;
            while (top > 1 && AreSiblings(stack[top - 2], stack[top - 1]))
            {
                stack[top - 2] = new ShardRange(stack[top - 2].Start, stack[top - 1].End);
                top--;
                merges[i]++;
            }
        }

        return next == shards && top == 1
            ? depth
            : throw new ArgumentException($"Expected pieces that cover the shards [0,{shards}), found them up to {next}.", nameof(pieces));
    }

    private bool AreSiblings(ShardRange lower, ShardRange upper) =>
        CanonicalTree.Split(lower.Start, upper.End) == upper.Start && CanonicalTree.IsNode(new ShardRange(lower.Start, upper.End), shards);

    private void CheckSegment(BlockRange segment)
    {
        if (segment.First < Blocks.First || segment.End > Blocks.End || segment.Count < 0)
        {
            throw new ArgumentException($"Expected blocks within {Blocks}, found {segment}.", nameof(segment));
        }
    }

    private static void Copy(float* from, float* into, long floats) =>
        Buffer.MemoryCopy(from, into, floats * sizeof(float), floats * sizeof(float));

    private static void Clear(float* values, long floats) =>
        NativeMemory.Clear(values, (nuint)(floats * sizeof(float)));
}
