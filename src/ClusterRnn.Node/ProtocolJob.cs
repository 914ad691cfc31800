using System.Collections.Immutable;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Node;

/// <summary>What the protocol has to know of a training job.</summary>
public static class ProtocolJob
{
    /// <summary>The job's sizes and identity.</summary>
    /// <param name="job">The job.</param>
    /// <param name="jobId">What tells it from others on the same network.</param>
    public static JobShape ShapeOf(TrainingJob job, string jobId)
        => new(jobId, job.DataSha256, job.Shards, job.EvaluationShards, job.CarriesState);

    /// <summary>The job's blocks spread over servers, one segment to a range.</summary>
    public static RangeMap MapOf(TrainingJob job, int servers)
    {
        BlockRange[] cut = job.CutRanges(servers);
        var ranges = ImmutableArray.CreateBuilder<RangeOwner>(servers);
        var segments = ImmutableArray.CreateBuilder<Segment>(servers);
        for (int i = 0; i < cut.Length; i++)
        {
            ranges.Add(new RangeOwner(i, cut[i].First, cut[i].Count, ActorId.Server(i), 1, null));
            if (cut[i].Count > 0)
            {
                segments.Add(new Segment(segments.Count, i, cut[i].First, cut[i].Count));
            }
        }

        return new RangeMap(ranges.MoveToImmutable(), segments.ToImmutable());
    }
}
