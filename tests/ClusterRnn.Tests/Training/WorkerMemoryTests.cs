// A worker's memory limit: what it says, what it reserves, and that it changes no bit.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Tests.Node;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Training;

public sealed class WorkerMemoryTests
{
    [Theory]
    [InlineData("512MB", 512_000_000)]
    [InlineData("1GiB", 1L << 30)]
    [InlineData("1.5 GiB", 3L << 29)]
    [InlineData("0.5KB", 500)]
    [InlineData("7B", 7)]
    [InlineData("999999999TiB", long.MaxValue)]
    public void SizesAreReadStrictly(string text, long bytes) => Assert.Equal(bytes, MemorySize.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("512")]
    [InlineData("512mb")]
    [InlineData("-1MB")]
    [InlineData("1e3MB")]
    [InlineData("1,5GB")]
    [InlineData("1GB\n")]
    [InlineData("1  GB")]
    [InlineData("GB")]
    public void WhatIsNotASizeIsRefused(string text) => Assert.Contains("expected a size", Assert.Throws<FormatException>(() => MemorySize.Parse(text)).Message);

    [Fact]
    public void ASizeThatHoldsSoManyBytesDoes()
    {
        for (long bytes = 1; bytes < 1L << 45; bytes = (bytes * 3) + 1)
        {
            Assert.InRange(MemorySize.Parse(MemorySize.AtLeast(bytes)) - bytes, 0, Math.Max(100, bytes / 9));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task ThreadsShareTheLimit(int threads)
    {
        TrainingJob job = NodeJobs.Text(shards: 8, rows: 61);
        WorkerMemory free = WorkerMemory.Of(job, 1, 1, 0, threads), tight = WorkerMemory.Of(job, 1, 1, free.LeastBytes, threads);
        Assert.True(tight.Fits && tight.TotalBytes <= tight.LimitBytes);
        foreach (WorkerMemory memory in new[] { free, tight })
        {
            using var computer = new WorkerComputer(job, threads, memory.ComputerLimitBytes);
            Assert.Equal(threads, computer.Threads);
            Assert.InRange(computer.MemoryBytes, 1, memory.ComputerBytes);
        }

        var options = new EngineOptions { WorkerThreads = threads, WorkerMemoryBytes = free.LeastBytes };
        using RunResult result = await InProcessEngine.RunAsync(job, options, null, TestContext.Current.CancellationToken);
        Assert.Equal(await NodeJobs.HashOf(job), result.StateSha256);
    }

    [Fact]
    public void TheLimitBoundsWhatIsReservedAndChangesNoBit()
    {
        TrainingJob job = NodeJobs.Text(shards: 8, rows: 61);
        using var reference = new SmallTrainer(job);
        reference.Run(NodeJobs.Steps);
        foreach (int group in new[] { 1, 2, 4 })
        {
            long limit = ShardComputer.MeasureBytes(job, group);
            using var trainer = new SmallTrainer(job, 1, limit);
            trainer.Run(NodeJobs.Steps); // evaluates every third step
            Assert.Equal(group, trainer.Computer.GroupShards);
            Assert.InRange(trainer.Computer.MemoryBytes, limit - 64, limit);
            Assert.True(trainer.Computer.MemoryBytes < reference.Computer.MemoryBytes);
            Assert.Equal(reference.StateSha256(), trainer.StateSha256());
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public async Task AWorkerKeepsWithinIt(int workers, int servers)
    {
        TrainingJob job = NodeJobs.Text(shards: 11);
        var unlimited = WorkerMemory.Of(job, workers, servers, 0);
        Assert.Equal((11, 1), (unlimited.GroupShards, unlimited.GroupsOf(11)));
        var options = new EngineOptions { Workers = workers, Servers = servers, SpeculationFloor = TimeSpan.FromMinutes(1) };
        using RunResult free = await InProcessEngine.RunAsync(job, options);
        foreach (long limit in new[] { unlimited.LeastBytes, (unlimited.LeastBytes + unlimited.TotalBytes) / 2, unlimited.TotalBytes - 1 })
        {
            var memory = WorkerMemory.Of(job, workers, servers, limit);
            Assert.True(memory.Fits);
            Assert.True(memory.GroupShards < 11);
            using RunResult result = await InProcessEngine.RunAsync(job, options with { WorkerMemoryBytes = limit });
            Assert.InRange(result.WorkerMemoryBytes, 1, limit);
            Assert.True(free.WorkerMemoryBytes > result.WorkerMemoryBytes);
            Assert.Equal(free.StateSha256, result.StateSha256);
        }

        Assert.InRange(free.WorkerMemoryBytes, 1, unlimited.TotalBytes);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    public async Task RecomputingChangesNoBitUnderALimitEither(int workers, long aboveTheLeast)
    {
        TrainingJob plain = NodeJobs.Text(rows: 61), job = plain with { RecomputeEvery = 4 };
        var options = new EngineOptions { Workers = workers, SpeculationFloor = TimeSpan.FromMinutes(1) };
        long limit = WorkerMemory.Of(job, workers, 1, 0).LeastBytes + aboveTheLeast;
        Assert.True(limit < WorkerMemory.Of(plain, workers, 1, 0).LeastBytes);
        using RunResult expected = await InProcessEngine.RunAsync(plain, options);
        using RunResult result = await InProcessEngine.RunAsync(job, options with { WorkerMemoryBytes = limit });
        Assert.InRange(result.WorkerMemoryBytes, 1, limit);
        Assert.Equal(expected.StateSha256, result.StateSha256);
        using RunResult other = await InProcessEngine.RunAsync(NodeJobs.Text(seed: 2, rows: 61) with { RecomputeEvery = 4 }, options);
        Assert.NotEqual(expected.StateSha256, other.StateSha256);
    }

    [Fact]
    public async Task ALimitThatIsTooLowSaysTheLeast()
    {
        TrainingJob job = NodeJobs.Text();
        long least = WorkerMemory.Of(job, 1, 1, 0).LeastBytes;
        TrainingException error = await Assert.ThrowsAsync<TrainingException>(() => InProcessEngine.RunAsync(job, new EngineOptions { WorkerMemoryBytes = least - 1 }));
        Assert.Contains($"at least {MemorySize.AtLeast(least)}", error.Message, StringComparison.Ordinal);
        using RunResult enough = await InProcessEngine.RunAsync(job, new EngineOptions { WorkerMemoryBytes = MemorySize.Parse(MemorySize.AtLeast(least)) });
        Assert.Equal(NodeJobs.Steps, enough.Version);
    }

    [Fact]
    public void NoRangeFallsIntoMoreSubtreesThanThereIsRoomFor()
    {
        for (int shards = 1; shards <= 40; shards++)
        {
            for (int start = 0; start < shards; start++)
            {
                for (int end = start + 1; end <= shards; end++)
                {
                    Assert.True(new MergeProgram(new ShardRange(start, end), shards).Subtrees.Length <= WorkerMemory.MostSubtrees(shards));
                }
            }
        }
    }
}
