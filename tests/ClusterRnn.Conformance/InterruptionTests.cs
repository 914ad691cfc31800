// Ctrl-C and SIGTERM: the step that is under way ends, a checkpoint is written, the exit code says 130, and the run goes on
// later as if nothing had happened. The job here has no end, so that the signal can't come too late on a fast machine;
// it is compared with an undisturbed run of as many steps.
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class InterruptionTests
{
    private static readonly Job s_endless = new("endless", Repository.Config("tiny.yaml"), "--set", "stop.epochs=1000000", "--set", "checkpoint.every=50");

    [Theory]
    [InlineData(Signals.Interrupt)]
    [InlineData(Signals.Terminate)]
    public async Task ASignalSavesAndTheRunGoesOn(int signal)
    {
        string folder = TemporaryFolders.NewRun("interrupted");
        FinishedRun stopped = await SignalAtStep(s_endless.Arguments(folder, "--workers", "2"), folder, signal, 20);
        long reached = stopped.Number("steps");
        Assert.True(reached >= 20);
        Assert.Equal("interrupted", stopped.Text("ended"));
        Assert.EndsWith($"step-{reached:D10}", stopped.Checkpoints()[^1], StringComparison.Ordinal);

        // A second time, by a run that was itself resumed.
        FinishedRun again = await SignalAtStep(s_endless.ResumeArguments(folder, "--workers", "3"), folder, signal, reached + 10);
        Assert.Equal(reached, again.Number("resumedFromStep"));

        long end = again.Number("steps") + 30;
        (FinishedRun run, Outcome outcome) = await s_endless.ResumeAsync(folder, "--steps", $"{end}", "--servers", "2");
        FinishedRun undisturbed = await s_endless.TrainAsync("--steps", $"{end}", "--workers", "1", "--servers", "1");
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
        Assert.True(run.Number("resumedFromStep") == again.Number("steps"), outcome.ToString());
    }

    [Fact]
    public async Task ASignalBeforeTheFirstStepLeavesARunThatCanBeResumed()
    {
        string folder = TemporaryFolders.NewRun("interrupted-early");
        // "tiny: 3,123 parameters, ..." comes before the first step.
        await SignalAt(s_endless.Arguments(folder), Signals.Interrupt, line => line.StartsWith("tiny: ", StringComparison.Ordinal));
        long end = new FinishedRun(folder).Number("steps") + 20;
        (FinishedRun run, _) = await s_endless.ResumeAsync(folder, "--steps", $"{end}");
        FinishedRun undisturbed = await s_endless.TrainAsync("--steps", $"{end}", "--workers", "1", "--servers", "1");
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
    }

    // No server has come, so none has sent what the job is at: it is what the run was resumed from.
    [Fact]
    public async Task ASignalWhileServersAreAwaitedLeavesTheStateAsItWas()
    {
        string folder = TemporaryFolders.NewRun("interrupted-waiting");
        (await ProgramUnderTest.RunAsync(s_endless.Arguments(folder, "--steps", "6"))).Expect(0);
        var before = new FinishedRun(folder);
        await SignalAt(s_endless.CoordinatorArguments(folder, "--steps", "12", "--servers", "2", "--listen", "127.0.0.1:0"), Signals.Interrupt, line => line.Contains("2 server(s)", StringComparison.Ordinal));
        Assert.Equal(before.Answer, new FinishedRun(folder).Answer);
    }

    private static async Task<FinishedRun> SignalAtStep(string[] arguments, string folder, int signal, long step)
    {
        Outcome outcome = await SignalAt([.. arguments, "--verbose"], signal, line => line.StartsWith($"step {step}/", StringComparison.Ordinal));
        outcome.ExpectError("--resume");
        return new FinishedRun(folder);
    }

    private static async Task<Outcome> SignalAt(string[] arguments, int signal, Func<string, bool> line)
    {
        Signals.SkipWithoutThem();
        Signals.StopIgnoringInterrupts();
        await using RunningProgram program = await ProgramUnderTest.StartAsync(arguments);
        Assert.True(await program.SaysAsync(line), "ended before the signal");
        program.Signal(signal);
        return (await program.WaitAsync()).Expect(130);
    }
}
