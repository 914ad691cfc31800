// The one order in which shards are summed.
//
// A global batch is cut into S shards. Whatever sums over rows (gradients, losses, metrics) is formed per shard and
// joined along one binary tree over the shard indices: a tree over n items splits at the largest power of two below n.
// Who computed which shard therefore can't change a bit. A worker that owns a whole subtree sums it before sending;
// a parameter server finishes the tree from the pieces it gets.
namespace ClusterRnn.Kernels.Reduction;

/// <summary>A contiguous set of shards, <c>[Start, End)</c>.</summary>
public readonly record struct ShardRange(int Start, int End)
{
    /// <summary>How many shards the range holds.</summary>
    public int Count => End - Start;

    /// <summary>Whether <paramref name="other"/> lies within this range.</summary>
    public bool Contains(ShardRange other) => Start <= other.Start && other.End <= End;

    /// <summary>Whether the two ranges share a shard.</summary>
    public bool Overlaps(ShardRange other) => Start < other.End && other.Start < End;

    /// <inheritdoc/>
    public override string ToString() => $"[{Start},{End})";
}

/// <summary>The canonical binary tree over shard indices.</summary>
public static class CanonicalTree
{
    /// <summary>Where the node <c>[start, end)</c> splits: <paramref name="start"/> plus the largest power of two below its size.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The node has fewer than two items.</exception>
    public static int Split(int start, int end)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(end - start, 2);
        return start + (1 << (31 - int.LeadingZeroCount(end - start - 1)));
    }

    /// <summary>Whether <paramref name="range"/> is a node of the tree over <paramref name="shards"/> items.</summary>
    public static bool IsNode(ShardRange range, int shards)
    {
        if (range.Start < 0 || range.End > shards || range.Count <= 0)
        {
            return false;
        }

        int start = 0, end = shards;
        while (true)
        {
            if (start == range.Start && end == range.End)
            {
                return true;
            }

            if (end - start < 2)
            {
                return false;
            }

            int middle = Split(start, end);
            if (range.End <= middle)
            {
                end = middle;
            }
            else if (range.Start >= middle)
            {
                start = middle;
            }
            else
            {
                return false;
            }
        }
    }

    /// <summary>Adds to <paramref name="into"/> the fewest nodes of the tree over <paramref name="shards"/> items that together cover <paramref name="range"/>, ascending.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range does not lie within the tree.</exception>
    public static void MaximalSubtrees(ShardRange range, int shards, ICollection<ShardRange> into)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(range.Start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(range.End, shards);
        if (range.Count > 0)
        {
            Descend(0, shards);
        }

        void Descend(int start, int end)
        {
            if (range.Start <= start && end <= range.End)
            {
                into.Add(new ShardRange(start, end));
            }
            else if (start < range.End && range.Start < end)
            {
                int middle = Split(start, end);
                Descend(start, middle);
                Descend(middle, end);
            }
        }
    }
}

/// <summary>
/// How to sum a contiguous range of shards with a stack: for each shard in ascending order push its value, then
/// <see cref="MergesAfter"/> times replace the two topmost by (lower + upper); when <see cref="OutputAfter"/> is not
/// negative, what is left on the stack is the finished subtree of that index and is popped.
/// </summary>
public sealed class MergeProgram
{
    private MergeProgram? apart;

    /// <summary>Plans the sum of <paramref name="range"/> in the tree over <paramref name="shards"/> shards.</summary>
    public MergeProgram(ShardRange range, int shards)
    {
        Range = range;
        Shards = shards;
        var subtrees = new List<ShardRange>();
        CanonicalTree.MaximalSubtrees(range, shards, subtrees);
        Subtrees = [.. subtrees];
        MergesAfter = new int[range.Count];
        OutputAfter = new int[range.Count];
        Array.Fill(OutputAfter, -1);
        for (int i = 0; i < Subtrees.Length; i++)
        {
            StackDepth = Math.Max(StackDepth, Visit(Subtrees[i].Start, Subtrees[i].End));
            OutputAfter[Subtrees[i].End - 1 - range.Start] = i;
        }

        int Visit(int start, int end)
        {
            if (end - start == 1)
            {
                return 1;
            }

            int middle = CanonicalTree.Split(start, end);
            int depth = Math.Max(Visit(start, middle), 1 + Visit(middle, end));
            MergesAfter[end - 1 - range.Start]++;
            return depth;
        }
    }

    private MergeProgram(MergeProgram joined)
    {
        Range = joined.Range;
        Shards = joined.Shards;
        MergesAfter = new int[Range.Count];
        OutputAfter = new int[Range.Count];
        Subtrees = new ShardRange[Range.Count];
        StackDepth = 1;
        for (int i = 0; i < Range.Count; i++)
        {
            Subtrees[i] = new ShardRange(Range.Start + i, Range.Start + i + 1);
            OutputAfter[i] = i;
        }
    }

    /// <summary>The same shards, none of them joined: what is summed in several turns is joined after the last one.</summary>
    public MergeProgram Apart => apart ??= new MergeProgram(this);

    /// <summary>The shards that are summed.</summary>
    public ShardRange Range { get; }

    /// <summary>The number of shards of the whole batch.</summary>
    public int Shards { get; }

    /// <summary>The maximal subtrees that cover <see cref="Range"/>, ascending: the sums the program yields.</summary>
    public ShardRange[] Subtrees { get; }

    /// <summary>For each shard of the range: how many merges follow its push.</summary>
    public int[] MergesAfter { get; }

    /// <summary>For each shard of the range: the index in <see cref="Subtrees"/> that is finished after its merges, or -1.</summary>
    public int[] OutputAfter { get; }

    /// <summary>How many values lie on the stack at the most.</summary>
    public int StackDepth { get; }
}
