// One answer for every kind of layer, and everything that recurrent ones can be asked for: on sequences of different lengths from
// buckets, and on streams whose state is carried. The same bits from a loop without a cluster, any workers, servers and threads, gradients
// that travel layer by layer, little memory, activations computed again.
using ClusterRnn.Node.InProcess;
using ClusterRnn.Tests.Training;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Node;

public sealed class SequenceJobsTests
{
    public static TheoryData<string> Jobs => [.. LayerJobs.All.Keys];

    [Theory, MemberData(nameof(Jobs))]
    public async Task TheClusterChangesNoBit(string name)
    {
        TrainingJob job = Open(name);
        Assert.Equal(name is "streams" or "normalized", job.CarriesState);
        using var trainer = new SmallTrainer(job);
        trainer.Run((int)job.Settings.MaximumSteps);
        string expected = trainer.StateSha256();
        (int Workers, int Servers, int Threads, int Blocks)[] clusters = [(1, 1, 1, 0), (2, 1, 1, 1), (3, 2, 1, 0), (8, 3, 1, 0), (2, 1, 2, 1)];
        foreach ((int workers, int servers, int threads, int blocks) in clusters)
        {
            var options = new EngineOptions { Workers = workers, Servers = servers, WorkerThreads = threads, LeastSegmentBlocks = blocks };
            using RunResult result = await InProcessEngine.RunAsync(job, options, null, TestContext.Current.CancellationToken);
            Assert.Equal(expected, result.StateSha256);
        }

        TrainingJob other = job with { Seed = 9 };
        Assert.NotEqual(expected, await NodeJobs.HashOf(other));
    }

    [Theory]
    [InlineData("streams")]
    [InlineData("normalized")]
    public async Task RecomputingChangesNoBit(string name)
    {
        string expected = await NodeJobs.HashOf(Open(name));
        Assert.Equal(expected, await NodeJobs.HashOf(Open(name) with { RecomputeEvery = 4 }, workers: 2));
    }

    [Theory]
    [InlineData("data: { source: digit-strings, examples: 100 }", "cross-entropy", "expected the loss ctc")]
    [InlineData("data: { source: digits, examples: 100 }", "ctc", "labels without times, which this data doesn't have")]
    [InlineData("data: { source: digit-strings, examples: 100 }\ncluster: { recompute: true }", "ctc", "cluster.recompute")]
    public void LabelsWithoutTimesNeedTheirLoss(string data, string loss, string message)
    {
        string config = data + $"\nmodel: {{ layers: [{{ type: gru, units: 4 }}, dense], loss: {loss} }}\nstop: {{ steps: 3 }}";
        var error = Assert.Throws<ClusterRnn.Models.ModelException>(() => ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(config, "test").Value, "."));
        Assert.Equal("loss", error.Path);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("data: { source: sums, characters: 9000 }", "it would learn to copy")]
    [InlineData("data: { source: copy, examples: 100 }\ncluster: { recompute: true }", "cluster.recompute")]
    public void BothDirectionsNeedWholeSequences(string data, string message)
    {
        string config = data + "\nmodel: { layers: [{ type: embedding, units: 4 }, { type: gru, units: 4, bidirectional: true }, dense] }\nstop: { steps: 3 }";
        var error = Assert.Throws<ClusterRnn.Models.ModelException>(() => ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(config, "test").Value, "."));
        Assert.Equal("layers[1].bidirectional", error.Path);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private static TrainingJob Open(string name) =>
        ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(LayerJobs.All[name], "test").Value, ".").Job;
}
