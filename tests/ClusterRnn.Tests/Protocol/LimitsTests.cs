using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

public class LimitsTests
{
    [Fact]
    public void LimitsFitEachOther()
    {
        var times = new ProtocolTimes();
        Assert.True(times.LeaseTicks > 4 * times.HeartbeatTicks, "a lease outlasts several heartbeats");
        Assert.True(times.RetryFloorTicks < times.RetryCeilingTicks, "repetitions slow down");
        Assert.True(times.RetryCeilingTicks * 4 < times.FailureFloorTicks, "several repetitions before giving up");
        Assert.True(times.LeaseTicks < times.NoWorkersTicks, "a worker can come back before the job ends without any");
        Assert.True(Limits.LateFactor < Limits.RetryFactor && Limits.RetryFactor < Limits.FailureFactor, "late, then asked again, then failed");
        Assert.True(Limits.MaximumAnswersPerShard >= 4, "two workers that both compute again must be able to agree");
        Assert.True(Limits.MaximumWorkers <= Limits.MaximumShards, "every worker can be of use");
        Assert.True(1L << 40 > (long)Limits.MaximumShards * Limits.MaximumWorkers, "assignment numbers of an epoch don't run into the next");
    }

    [Fact]
    public void InstantsDoNotOverflow()
    {
        Assert.Equal(Instant.Never, new Instant(5) + long.MaxValue);
        Assert.Equal(new Instant(7), new Instant(5) + 2);
        Assert.True(new Instant(5) < Instant.Never);
    }

    [Fact]
    public void ARetryNeverWaitsLongerThanTheCeiling()
    {
        var times = new ProtocolTimes();
        ObservedTime observed = default;
        Assert.Equal(times.RetryFloorTicks, observed.RetryAfter(times, 0));
        observed.Add(long.MaxValue / 100);
        for (int attempt = 0; attempt < 80; attempt++)
        {
            Assert.InRange(observed.RetryAfter(times, attempt), times.RetryFloorTicks, times.RetryCeilingTicks);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(64)]
    [InlineData(129)]
    public void ANormDoesNotDependOnHowBlocksAreSpread(int blocks)
    {
        double[] values = [.. Enumerable.Range(1, blocks).Select(i => 1.0 / i)];
        double whole = BlockSums.Join([.. BlockSums.Fold(values, new ShardRange(0, blocks), blocks)], blocks);
        for (int servers = 1; servers <= 5; servers++)
        {
            var parts = new List<BlockSum>();
            foreach (RangeOwner range in RangeMap.Spread(blocks, servers, []).Ranges)
            {
                parts.AddRange(BlockSums.Fold(
                    values.AsSpan(range.FirstBlock, range.BlockCount), new ShardRange(range.FirstBlock, range.FirstBlock + range.BlockCount), blocks));
            }

            Assert.Equal(BitConverter.DoubleToInt64Bits(whole), BitConverter.DoubleToInt64Bits(BlockSums.Join(parts, blocks)));
        }

        Assert.Throws<ArgumentException>(() => BlockSums.Join([new BlockSum(new ShardRange(0, 1), 1)], blocks + 1));
    }
}
