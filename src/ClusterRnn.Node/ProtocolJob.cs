using System.Collections.Immutable;
using ClusterRnn.Models;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Node;

/// <summary>What the protocol has to know of a training job.</summary>
public static class ProtocolJob
{
    /// <summary>The least blocks of a segment that is worth sending by itself while the backward pass goes on: half a megabyte.</summary>
    public const int WorthwhileSegmentBlocks = 128;

    /// <summary>The job's sizes and identity.</summary>
    /// <param name="job">The job.</param>
    /// <param name="jobId">What tells it from others on the same network.</param>
    public static JobShape ShapeOf(TrainingJob job, string jobId)
        => new(jobId, job.DataSha256, job.Shards, job.EvaluationShards, job.CarriesState);

    /// <summary>The job's blocks spread over servers.</summary>
    /// <param name="job">The job.</param>
    /// <param name="servers">How many servers there are.</param>
    /// <param name="leastSegmentBlocks">
    /// Ranges are cut into segments where a layer begins, so that its gradient can travel while the backward pass goes on
    /// below it; a segment has at least so many blocks. 0: one segment to a range. Either way what is frozen is cut apart
    /// (<see cref="IsFrozen"/>).
    /// </param>
    public static RangeMap MapOf(TrainingJob job, int servers, int leastSegmentBlocks = 0)
    {
        ArgumentNullException.ThrowIfNull(job);
        BlockRange[] cut = job.CutRanges(servers);
        var ranges = ImmutableArray.CreateBuilder<RangeOwner>(servers);
        var segments = ImmutableArray.CreateBuilder<Segment>();
        for (int i = 0; i < cut.Length; i++)
        {
            ranges.Add(new RangeOwner(i, cut[i].First, cut[i].Count, ActorId.Server(i), 1, null));
            int first = cut[i].First, end = first + cut[i].Count;
            for (int t = 1; t < job.Layout.Tensors.Count; t++)
            {
                ParameterTensor tensor = job.Layout.Tensors[t], before = job.Layout.Tensors[t - 1];
                int at = tensor.FirstBlock;
                bool beginsLayer = leastSegmentBlocks > 0 && tensor.Layer != before.Layer && at - first >= leastSegmentBlocks && end - at >= leastSegmentBlocks;
                if (beginsLayer || (tensor.IsFrozen != before.IsFrozen && at > first && at < end))
                {
                    segments.Add(new Segment(segments.Count, i, first, at - first));
                    first = at;
                }
            }

            if (end > first)
            {
                segments.Add(new Segment(segments.Count, i, first, end - first));
            }
        }

        return new RangeMap(ranges.MoveToImmutable(), segments.ToImmutable());
    }

    /// <summary>Whether a segment's gradient is zero by definition: its pieces carry no floats, and nobody reads any.</summary>
    public static bool IsFrozen(TrainingJob job, in Segment segment)
    {
        ArgumentNullException.ThrowIfNull(job);
        return job.Layout.IsFrozen(segment.FirstBlock);
    }

    /// <summary>Which segments are final once the backward pass has finished a layer: those whose lowest layer it is.</summary>
    /// <param name="layout">The parameters.</param>
    /// <param name="map">How they are spread.</param>
    /// <returns>For each layer number the segments; what the last layer to be finished completes is left out: all is final then.</returns>
    public static int[][] SegmentsByLayer(ParameterLayout layout, RangeMap map)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(map);
        int layers = layout.Tensors.Count == 0 ? 0 : layout.Tensors.Max(tensor => tensor.Layer) + 1;
        int lowest = layout.Tensors.Count == 0 ? 0 : layout.Tensors.Min(tensor => tensor.Layer);
        var finished = new List<int>[layers];
        for (int i = 0; i < layers; i++)
        {
            finished[i] = [];
        }

        foreach (Segment segment in map.Segments)
        {
            int layer = int.MaxValue;
            foreach (ParameterTensor tensor in layout.Tensors)
            {
                bool overlaps = tensor.FirstBlock < segment.FirstBlock + segment.BlockCount && segment.FirstBlock < tensor.FirstBlock + tensor.BlockCount;
                layer = overlaps ? Math.Min(layer, tensor.Layer) : layer;
            }

            if (layer > lowest && layer < layers)
            {
                finished[layer].Add(segment.Index);
            }
        }

        return [.. finished.Select(list => list.ToArray())];
    }
}
