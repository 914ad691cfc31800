using ClusterRnn.Models;
using ClusterRnn.Node;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Protocol;
using ClusterRnn.Tests.Training;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Tests.Node;

/// <summary>model.freeze: the same bits on any cluster, and frozen tensors without a trace of the training.</summary>
public sealed class FrozenTests
{
    private static readonly string[] s_below = ["embedding", "lstm"];
    private static readonly string[] s_between = ["lstm.*hh*", "gru", "embedding"];

    public static TheoryData<string[], OptimizerConfig> Cases => new()
    {
        { s_below, new AdamWConfig { LearningRate = 0.02, WeightDecay = 0.1 } },
        { s_between, new SgdConfig { LearningRate = 0.02, Momentum = 0.9, WeightDecay = 0.1 } },
        { ["dense", "lstm.bias*"], new RmsPropConfig { LearningRate = 0.02, Momentum = 0.5 } },
        { s_between, new LambConfig { LearningRate = 0.02 } },
        { s_below, new LarsConfig { LearningRate = 0.2 } },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task TheClusterChangesNoBitAndTheFrozenNothing(string[] freeze, OptimizerConfig optimizer)
    {
        TrainingJob job = JobOf(freeze, optimizer);
        using var trainer = new SmallTrainer(job);
        trainer.Run(NodeJobs.Steps);
        foreach ((int workers, int servers, int threads, int least) in new[] { (1, 1, 1, 0), (3, 2, 1, 0), (2, 40, 2, 1) })
        {
            var options = new EngineOptions { Workers = workers, Servers = servers, WorkerThreads = threads, LeastSegmentBlocks = least };
            using RunResult result = await InProcessEngine.RunAsync(job, options, null, TestContext.Current.CancellationToken);
            Assert.Equal(trainer.StateSha256(), result.StateSha256);
            ExpectUntouched(job, result.State);
        }

        Assert.NotEqual(trainer.StateSha256(), await NodeJobs.HashOf(JobOf([], optimizer)));
    }

    [Fact]
    public async Task WindowsInSegmentsChangeNoBit()
    {
        TrainingJob job = JobOf(s_below, new AdamConfig { LearningRate = 0.02 });
        Assert.Equal(await NodeJobs.HashOf(job), await NodeJobs.HashOf(job with { RecomputeEvery = 4 }, 2));
    }

    [Fact]
    public void SegmentsAreFrozenOrNotAtAll()
    {
        TrainingJob job = JobOf(s_between, new AdamConfig());
        foreach (int servers in new[] { 1, 2, 5, 40 })
        {
            foreach (int least in new[] { 0, 1, 3 })
            {
                RangeMap map = ProtocolJob.MapOf(job, servers, least);
                foreach (Segment segment in map.Segments)
                {
                    bool[] frozen = [.. Enumerable.Range(segment.FirstBlock, segment.BlockCount).Select(block => job.Layout.Tensors.Single(tensor => tensor.FirstBlock <= block && block < tensor.FirstBlock + tensor.BlockCount).IsFrozen)];
                    Assert.All(frozen, isFrozen => Assert.Equal(ProtocolJob.IsFrozen(job, segment), isFrozen));
                }

                Assert.Contains(map.Segments, segment => ProtocolJob.IsFrozen(job, segment));
            }
        }
    }

    [Theory]
    [InlineData("freeze[1]", "lstn", "embedding", "lstn")]
    [InlineData("freeze", "nothing to learn", "*")]
    public void WhatMatchesNothingOrAllIsAnError(string path, string says, params string[] freeze)
    {
        var error = Assert.Throws<ModelException>(() => NodeJobs.Text(freeze: freeze));
        Assert.Equal(path, error.Path);
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("lstm", "lstm.weight_hh_l0", true)]
    [InlineData("lstm.*_l0", "lstm.weight_hh_l0", true)]
    [InlineData("lstm.*_l0", "lstm.weight_hh_l1", false)]
    [InlineData("lst", "lstm.weight_hh_l0", false)]
    [InlineData("transformer.layers.1", "transformer.layers.1.linear1.weight", true)]
    [InlineData("transformer.layers.1", "transformer.layers.10.linear1.weight", false)]
    [InlineData("*.bias", "dense.bias", true)]
    [InlineData("dense?", "dense.bias", false)]
    [InlineData("dense_?", "dense_1.bias", true)]
    public void Names(string pattern, string tensor, bool matches) => Assert.Equal(matches, TensorNames.Matches(pattern, tensor));

    private static TrainingJob JobOf(string[] freeze, OptimizerConfig optimizer)
    {
        TrainingJob job = NodeJobs.Text(freeze: freeze);
        return job with { Settings = job.Settings with { Optimizer = optimizer, Regularization = new RegularizationConfig { L1 = 0.001, L2 = 0.001 } } };
    }

    private static unsafe void ExpectUntouched(TrainingJob job, TrainingState state)
    {
        float[] initial = job.InitialParameters();
        foreach (ParameterTensor tensor in job.Layout.Tensors)
        {
            bool same = new ReadOnlySpan<float>(state.Parameters + tensor.Offset, (int)tensor.Count).SequenceEqual(initial.AsSpan((int)tensor.Offset, (int)tensor.Count));
            Assert.True(same == tensor.IsFrozen, $"{tensor.Name}: {(same ? "unchanged" : "changed")}");
            for (int section = 1; section < state.SectionNames.Count; section++)
            {
                bool isZero = new ReadOnlySpan<float>(state.Section(section) + tensor.Offset, (int)tensor.Count).IndexOfAnyExcept(0f) < 0;
                Assert.True(isZero || !tensor.IsFrozen, $"{state.SectionNames[section]}.{tensor.Name} is not zero.");
            }
        }
    }
}
