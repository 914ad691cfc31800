// `nonFinite: rollback`: a step that is not finite sends the job back to a checkpoint, from where it goes on with half the learning
// rate. On processes it does so at the same steps and comes to the same bits as in one process.
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class OtherCourseTests
{
    // Gradient descent on a linear recurrence, which leaves all bounds until its learning rate is small enough.
    private const string Config = """
        data: { source: sine, seed: 2, rows: 400, window: 4, validation: 0, test: 0.1, scale: none }
        model:
          layers:
            - { type: rnn, units: 2, activation: identity, returnSequences: false }
            - { type: dense, units: 1 }
          loss: mean-squared-error
        batch: { size: 16, shards: 4 }
        optimizer: { name: sgd, learningRate: 2 }
        nonFinite: rollback
        checkpoint: { every: 5 }
        stop: { steps: 60 }
        """;

    [Theory]
    [InlineData("--workers", "1", "--servers", "1")]
    [InlineData("--workers", "3", "--servers", "2", "--replicas", "2")]
    public async Task AJobThatGoesBackComesToTheSameOnProcesses(params string[] cluster)
    {
        string file = Path.Combine(TemporaryFolders.New("rollback"), "rollback.yaml");
        await File.WriteAllTextAsync(file, Config, TestContext.Current.CancellationToken);
        var job = new Job("rollback", file);
        FinishedRun alone = await job.UndisturbedAsync(), run = await job.TrainAsync(["--engine", "tcp", .. cluster]);
        Assert.Equal(4, alone.Counter("rollbacks")); // to the start, and three times to step 5
        Assert.Equal(4, run.Counter("rollbacks"));
        Assert.Equal(alone.Answer, run.Answer);
        Assert.Equal(alone.Metrics(), run.Metrics());
        Assert.NotEqual(alone.ModelSha256, (await new Job("lower", file, "--set", "optimizer.learningRate=0.125").TrainAsync("--workers", "1")).ModelSha256);
        (await ProgramUnderTest.RunAsync(["verify-ledger", run.Folder])).Expect(0);
    }
}
