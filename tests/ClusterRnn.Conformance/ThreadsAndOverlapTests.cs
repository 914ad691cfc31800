// Worker processes that compute on several threads, and gradients that travel while the backward pass goes on: the answer of
// one process and one thread. Each test also asserts that what it is about did happen.
using System.Text.RegularExpressions;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed partial class ThreadsAndOverlapTests(ITestOutputHelper output)
{
    [Fact]
    public async Task WorkersOnTwoThreadsGiveTheAnswerOfOne()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Tiny, workers: 0, servers: 1, "--threads", "3");
        RunningProgram two = await cluster.AddWorkerAsync("--threads", "2"), asConfigured = await cluster.AddWorkerAsync();
        Assert.True(await two.SaysAsync(line => line.Contains("computing on 2 threads", StringComparison.Ordinal)), "--threads 2 was not heeded");
        Assert.True(await asConfigured.SaysAsync(line => line.Contains("computing on 3 threads", StringComparison.Ordinal)), "cluster.threads was not heeded");
        (FinishedRun run, _) = await cluster.FinishAsync();
        Assert.Equal((await Job.Tiny.UndisturbedAsync()).Answer, run.Answer);
    }

    [Fact]
    public async Task ThreadsOfAWorkerWithoutTheDataShareItsQuestions()
    {
        string text = Path.Combine(TemporaryFolders.New("text"), "text.txt");
        await File.WriteAllTextAsync(text, string.Concat(Enumerable.Range(0, 200).Select(i => $"{i} and {i} is {2 * i}. ")), TestContext.Current.CancellationToken);
        Job job = JobOf("rows", $$"""
            data: { source: text, path: {{text}}, validation: 0.2 }
            model:
              layers: [{ type: embedding, units: 8 }, { type: gru, units: 12 }, dense]
            batch: { size: 6, span: 8, lookBack: 12 }
            stop: { epochs: 1 }
            """);
        FinishedRun expected = await job.TrainAsync("--workers", "1");
        await using RunningCluster cluster = await RunningCluster.StartAsync(job, workers: 0, servers: 1, "--threads", "2");
        File.Move(text, text + ".moved");
        RunningProgram worker = await cluster.AddWorkerAsync();
        Assert.True(await worker.SaysAsync(line => line.Contains("the coordinator sends the rows", StringComparison.Ordinal)), "the worker found data where there is none");
        (FinishedRun run, _) = await cluster.FinishAsync();
        Assert.Equal(expected.Answer, run.Answer);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    public async Task GradientsOfUpperLayersTravelEarly(int threads, int servers)
    {
        Job job = JobOf("two-layers", """
            data: { source: sums, characters: 6000, validation: 0.1 }
            model:
              layers: [{ type: embedding, units: 16 }, { type: lstm, units: 192 }, { type: lstm, units: 192 }, dense]
            batch: { size: 8, span: 8, shards: 3 }
            stop: { steps: 6 }
            """);
        FinishedRun expected = await job.TrainAsync("--workers", "1", "--servers", "1");
        await using RunningCluster cluster = await RunningCluster.StartAsync(job, workers: 0, servers, "--threads", $"{threads}");
        RunningProgram[] workers = [await cluster.AddWorkerAsync(), await cluster.AddWorkerAsync()];
        (FinishedRun run, _) = await cluster.FinishAsync();
        Assert.Equal(expected.Answer, run.Answer);
        long early = 0;
        foreach (RunningProgram worker in workers)
        {
            Match said = Early().Match((await worker.WaitAsync()).Error);
            early += said.Success ? long.Parse(said.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) : 0;
        }

        output.WriteLine($"{early} parts travelled early");
        Assert.True(early >= 6, $"{early} parts of gradients travelled before their end, expected one a step at least");
    }

    private static Job JobOf(string name, string config)
    {
        string path = Path.Combine(TemporaryFolders.New("config"), name + ".yaml");
        File.WriteAllText(path, config);
        return new Job(name, path);
    }

    [GeneratedRegex(@"(\d+) parts of gradients travelled while the rest was computed")]
    private static partial Regex Early();
}
