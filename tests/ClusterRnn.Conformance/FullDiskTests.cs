// The disk that checkpoints are written to fills up: a warning, training goes on, and what was written before stays whole.
using System.Diagnostics;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Conformance;

public sealed class FullDiskTests(ITestOutputHelper output)
{
    [Fact]
    public async Task TrainingGoesOnWithoutNewCheckpoints()
    {
        string run = TemporaryFolders.NewRun("full-disk"), checkpoints = Path.Combine(run, "checkpoints");
        Directory.CreateDirectory(checkpoints);
        Assert.SkipUnless(
            OperatingSystem.IsLinux() && await RunsAsync("mount", "-t", "tmpfs", "-o", "size=512k", "none", checkpoints),
            "needs to mount a small file system: Linux, as root");
        try
        {
            await using RunningCluster cluster = await RunningCluster.StartWithoutNodesAsync(Job.Clustered, servers: 1, [], [], run);
            await cluster.AddServerAsync();
            await cluster.AddWorkerAsync();
            string[] before = await WholeAsync(checkpoints, cluster);
            string filler = Path.Combine(checkpoints, "filler");
            Fill(filler);
            Assert.True(await cluster.Coordinator.SaysAsync(line => line.Contains("could not be saved", StringComparison.Ordinal)), "nobody was warned");
            CheckpointSearch search = new CheckpointStore(checkpoints, new()).FindNewest();
            Assert.Contains(search.Found!.Path, before);
            Assert.Empty(search.PassedOver);
            await cluster.StepsAsync(20);
            File.Delete(filler); // a run whose last step can't be saved ends with an error
            (FinishedRun finished, Outcome outcome) = await cluster.FinishAsync();
            output.WriteLine(outcome.Error);
            FinishedRun undisturbed = await Job.Clustered.UndisturbedAsync();
            Assert.Equal(undisturbed.Answer, finished.Answer);
            Assert.Equal(undisturbed.Metrics(), finished.Metrics());
            Assert.True(finished.Counter("failedCheckpoints") > 0, "every checkpoint found its place");
            outcome.ExpectError("The earlier checkpoints are untouched.");
        }
        finally
        {
            Assert.True(await RunsAsync("umount", "-l", checkpoints), $"{checkpoints} could not be unmounted");
        }
    }

    private static async Task<string[]> WholeAsync(string checkpoints, RunningCluster cluster)
    {
        while (true)
        {
            string[] found = [.. Directory.EnumerateDirectories(checkpoints, "step-*")];
            if (found.Length > 0)
            {
                return found;
            }

            await cluster.StepsAsync(1);
        }
    }

    // Until nothing fits any more.
    private static void Fill(string path)
    {
        using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        byte[] page = new byte[4096];
        try
        {
            while (true)
            {
                file.Write(page);
            }
        }
        catch (IOException)
        {
            // Full.
        }
    }

    private static async Task<bool> RunsAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(program, arguments);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        return process.ExitCode == 0;
    }
}
