// What the journal of a cluster says was read is what the data prescribes, every sample once, whatever was killed.
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class LedgerTests(ITestOutputHelper output)
{
    [Fact]
    public async Task AfterARollbackNoSampleIsLostRepeatedOrChanged()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 2, servers: 2);
        await cluster.StepsAsync(60);
        cluster.Servers[1].Kill();
        (FinishedRun run, _) = await cluster.FinishAsync();
        Assert.True(run.Counter("rollbacks") > 0, "nothing was rolled back"); // a busy machine may lose another server
        Outcome ledger = (await ProgramUnderTest.RunAsync(["verify-ledger", cluster.Folder])).Expect(0);
        output.WriteLine(ledger.Output);
        Assert.Contains("0 samples, 0 steps", ledger.Output, StringComparison.Ordinal);
        Assert.Matches(@"executed again +[1-9]\d* steps after [1-9]\d* rollbacks, 0 of them", ledger.Output);

        // A journal without its last bytes has lost a step that the run's summary tells of.
        string last = Directory.EnumerateFiles(Path.Combine(cluster.Folder, "journal")).MaxBy(file => int.Parse(Path.GetExtension(file)[1..], System.Globalization.CultureInfo.InvariantCulture))!;
        byte[] bytes = await File.ReadAllBytesAsync(last, TestContext.Current.CancellationToken);
        await File.WriteAllBytesAsync(last, bytes[..(bytes.Length / 2)], TestContext.Current.CancellationToken);
        Outcome cut = (await ProgramUnderTest.RunAsync(["verify-ledger", cluster.Folder])).Expect(1);
        cut.ExpectError("is lost");
    }
}
