// How the flat parameter vector is dealt to servers.
using ClusterRnn.Models;

namespace ClusterRnn.Training.Optimizers;

/// <summary>The blocks <c>[First, First + Count)</c> of the flat parameter vector; a server may own none.</summary>
/// <param name="First">The first block.</param>
/// <param name="Count">How many.</param>
public readonly record struct BlockRange(int First, int Count)
{
    /// <summary>The block after the last.</summary>
    public int End => First + Count;

    /// <summary>The first float in the flat vector.</summary>
    public long FirstFloat => (long)First * ParameterLayout.BlockSize;

    /// <summary>How many floats there are, padding included.</summary>
    public long Floats => (long)Count * ParameterLayout.BlockSize;

    /// <inheritdoc/>
    public override string ToString() => $"[{First},{End})";
}

/// <summary>Cuts the blocks into ranges for servers.</summary>
public static class RangeDealer
{
    /// <summary>
    /// Cuts the layout's blocks into <paramref name="servers"/> ranges as evenly as possible: anywhere between blocks, or
    /// with <paramref name="wholeTensors"/> only between tensors. Some ranges may be empty.
    /// </summary>
    public static BlockRange[] Cut(ParameterLayout layout, int servers, bool wholeTensors)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(servers, 1);
        var ranges = new BlockRange[servers];
        int first = 0;
        for (int server = 0; server < servers; server++)
        {
            int end = (int)((server + 1L) * layout.BlockCount / servers);
            end = wholeTensors ? NearestBoundary(layout, first, end) : end;
            ranges[server] = new BlockRange(first, end - first);
            first = end;
        }

        return ranges;
    }

    // The boundary nearest to the even cut, the lower of equals.
    private static int NearestBoundary(ParameterLayout layout, int first, int wanted)
    {
        int best = first;
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            int boundary = tensor.FirstBlock + tensor.BlockCount;
            if (boundary > first && Math.Abs(boundary - wanted) < Math.Abs(best - wanted))
            {
                best = boundary;
            }
        }

        return best;
    }
}
