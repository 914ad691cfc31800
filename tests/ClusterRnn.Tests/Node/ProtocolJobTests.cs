using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Training;

namespace ClusterRnn.Tests.Node;

public sealed class ProtocolJobTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 4)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public void SegmentsBeginWhereLayersDo(int servers, int least)
    {
        TrainingJob job = NodeJobs.Text();
        RangeMap map = ProtocolJob.MapOf(job, servers, least);
        var ranges = map.Ranges.Select(range => range.FirstBlock).ToHashSet();
        var layers = job.Layout.Tensors.Where((tensor, i) => i == 0 || tensor.Layer != job.Layout.Tensors[i - 1].Layer).Select(tensor => tensor.FirstBlock).ToHashSet();
        foreach (Segment segment in map.Segments)
        {
            Assert.True(ranges.Contains(segment.FirstBlock) || layers.Contains(segment.FirstBlock), $"{segment}");
            RangeOwner range = map.Ranges[segment.Range];
            Assert.True(segment.BlockCount >= least || segment.BlockCount == range.BlockCount, $"{segment}");
        }

        Assert.True(map.Segments.Length > map.Ranges.Count(range => range.BlockCount > 0), "No range was cut.");
        Assert.Equal(map.Ranges.Length, ProtocolJob.MapOf(job, servers).Segments.Length);
    }

    [Fact]
    public void ASegmentIsFinalWithItsLowestLayer()
    {
        TrainingJob job = NodeJobs.Text();
        RangeMap map = ProtocolJob.MapOf(job, 2, 1);
        int[][] finished = ProtocolJob.SegmentsByLayer(job.Layout, map);
        int lowest = job.Layout.Tensors.Min(tensor => tensor.Layer);
        foreach (Segment segment in map.Segments)
        {
            int[] layers = [.. job.Layout.Tensors
                .Where(tensor => tensor.FirstBlock < segment.FirstBlock + segment.BlockCount && segment.FirstBlock < tensor.FirstBlock + tensor.BlockCount)
                .Select(tensor => tensor.Layer)];
            int[] at = [.. Enumerable.Range(0, finished.Length).Where(layer => finished[layer].Contains(segment.Index))];
            Assert.Equal(layers.Min() == lowest ? [] : [layers.Min()], at);
        }
    }
}
