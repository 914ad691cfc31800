// Certificates and a token: processes that have them train as ever, others are sent away with one line.
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class SecuredClusterTests
{
    [Fact]
    public async Task ProcessesWithCertificatesGiveTheSameAnswerAndStrangersAreRefused()
    {
        string certs = await MakeAsync(), others = await MakeAsync(), stolen = await MakeAsync();
        await using RunningCluster cluster = await RunningCluster.StartWithoutNodesAsync(Job.Tiny, 1, ["--certs", certs], ["--certs", certs]);
        Assert.True(await cluster.Coordinator.SaysAsync(line => line.Contains("listening on", StringComparison.Ordinal)), "the coordinator ended before it listened");

        // The right authority with another cluster's token.
        foreach (string file in Directory.EnumerateFiles(certs).Where(path => Path.GetFileName(path) != "token"))
        {
            File.Copy(file, Path.Combine(stolen, Path.GetFileName(file)), overwrite: true);
        }

        RunningProgram foreign = await cluster.AddStrangerAsync("worker", "--certs", others);
        RunningProgram tokenless = await cluster.AddStrangerAsync("worker", "--certs", stolen);
        RunningProgram plain = await cluster.AddStrangerAsync("worker", "--wait", "0.1");
        Outcome refusedForeign = (await foreign.WaitAsync()).Expect(1), refusedToken = (await tokenless.WaitAsync()).Expect(1), refusedPlain = (await plain.WaitAsync()).Expect(1);
        refusedForeign.ExpectError("certificate");
        refusedToken.ExpectError("token");
        refusedPlain.ExpectError("certs");
        await cluster.AddServerAsync();
        await cluster.AddWorkerAsync();
        (FinishedRun run, Outcome outcome) = await cluster.FinishAsync();
        Assert.Equal((await Job.Tiny.UndisturbedAsync()).Answer, run.Answer);
        string[] refusals = [.. outcome.Error.Split('\n').Where(line => line.Contains("refused ", StringComparison.Ordinal))];
        Assert.True(refusals.Count(line => line.Contains("token", StringComparison.Ordinal)) == 1, outcome.ToString());
        Assert.True(refusals.Length is 3 or 4, outcome.ToString()); // the one without certificates asks twice if time allows
        Assert.DoesNotContain(await File.ReadAllTextAsync(Path.Combine(certs, "token"), TestContext.Current.CancellationToken), outcome.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("coordinator")]
    [InlineData("server")]
    public async Task BeyondThisMachineCertificatesAreNeeded(string role)
    {
        string[] arguments = role == "coordinator"
            ? Job.Tiny.CoordinatorArguments(TemporaryFolders.NewRun("open"), "--listen", "0.0.0.0:0", "--advertise", "localhost")
            : ["server", "--listen", "0.0.0.0:0", "--advertise", "localhost", "--wait", "0.1"];
        Outcome outcome = await ProgramUnderTest.RunAsync(arguments);
        Assert.InRange(outcome.ExitCode, 1, 2);
        outcome.ExpectError("clusterrnn certs --out certs");
        outcome.ExpectError("127.0.0.1");
    }

    private static async Task<string> MakeAsync()
    {
        string folder = TemporaryFolders.New("certs");
        (await ProgramUnderTest.RunAsync(["certs", "--out", folder])).Expect(0);
        return folder;
    }
}
