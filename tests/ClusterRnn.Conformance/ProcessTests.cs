// The program as a process: killed, interrupted, resumed, on other instruction sets. The hash is that of an unbroken run.
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Conformance;

public sealed class ProcessTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Tiny { get; } = Path.Combine(Root(), "configs", "tiny.yaml");

    private static readonly Lazy<Task<string>> Reference = new(async () =>
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        ProcessOutcome outcome = await ProgramProcess.RunAsync(["train", Tiny, "--out", "run"], folder);
        Assert.True(outcome.Code == 0, outcome.Error);
        string hash = RunSummary.Read(Path.Combine(folder, "run", "summary.json")).StateSha256;
        Directory.Delete(folder, recursive: true);
        return hash;
    });

    private RunSummary Summary(string run) => RunSummary.Read(Path.Combine(_folder, run, "summary.json"));

    // Each attempt is killed when it reports a step drawn from the seed; the next goes on from the newest whole checkpoint.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Killed_at_random_moments_and_resumed_it_gives_the_same_model(int seed)
    {
        SkipOnWindows();
        var random = new Random(seed);
        int kills = 0;
        for (int attempt = 0; attempt < 40; attempt++)
        {
            int step = random.Next(1, 69);
            string[] args = ["train", Tiny, "--verbose", "--workers", $"{1 + random.Next(3)}", "--servers", $"{1 + random.Next(3)}", "--set", "checkpoint.every=5"];
            args = attempt == 0 ? [.. args, "--out", "run"] : [.. args, "--resume", "run"];
            ProcessOutcome outcome = await ProgramProcess.RunAsync(args, _folder, attempt < 6 ? ProgramProcess.Kill : 0, $"step {step}/");
            if (outcome.WasHit && outcome.Code != 0)
            {
                kills++;
                continue;
            }

            Assert.True(outcome.Code == 0, $"seed {seed}, attempt {attempt}, step {step}: {outcome.Error}");
            if (attempt >= 6)
            {
                break;
            }
        }

        Assert.True(kills > 0, $"seed {seed}: no attempt was killed");
        Assert.Equal(await Reference.Value, Summary("run").StateSha256);
        RunHistory history = MetricsLog.Read(Path.Combine(_folder, "run", "metrics.jsonl"));
        Assert.Equal(Enumerable.Range(1, history.Steps.Count), history.Steps.Select(s => (int)s.Step));
    }

    [Theory]
    [InlineData(ProgramProcess.Interrupt)]
    [InlineData(ProgramProcess.Terminate)]
    public async Task Interrupted_it_saves_a_checkpoint_and_returns_130(int signal)
    {
        SkipOnWindows();
        ProcessOutcome outcome = await ProgramProcess.RunAsync(["train", Tiny, "--out", "run", "--verbose", "--set", "stop.epochs=2000"], _folder, signal, "step 30/");
        Assert.True(outcome.WasHit, outcome.Error);
        Assert.True(outcome.Code == 130, $"{outcome.Code}: {outcome.Error}");
        Assert.Contains("--resume run", outcome.Error, StringComparison.Ordinal);
        RunSummary stopped = Summary("run");
        Assert.Equal("interrupted", stopped.Ended);
        Assert.True(Directory.Exists(Path.Combine(_folder, "run", "checkpoints", $"step-{stopped.Steps:D10}")), $"no checkpoint of step {stopped.Steps}");
        outcome = await ProgramProcess.RunAsync(["train", Tiny, "--resume", "run"], _folder);
        Assert.True(outcome.Code == 0, outcome.Error);
        if (stopped.Steps <= 69)
        {
            Assert.Equal(await Reference.Value, Summary("run").StateSha256);
        }
    }

    [Theory]
    [InlineData("DOTNET_EnableAVX512", "0")]
    [InlineData("DOTNET_EnableAVX2", "0")]
    [InlineData("CLUSTERRNN_INSTRUCTION_SET", "vector128")]
    [InlineData("CLUSTERRNN_INSTRUCTION_SET", "scalar")]
    public async Task Every_instruction_set_gives_the_same_model(string variable, string value)
    {
        ProcessOutcome outcome = await ProgramProcess.RunAsync(["train", Tiny, "--out", "run"], _folder, environment: (variable, value));
        Assert.True(outcome.Code == 0, outcome.Error);
        Assert.Equal(await Reference.Value, Summary("run").StateSha256);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 3)]
    [InlineData(8, 1)]
    public async Task Any_number_of_workers_and_servers_gives_the_same_model(int workers, int servers)
    {
        ProcessOutcome outcome = await ProgramProcess.RunAsync(["train", Tiny, "--out", "run", "--workers", $"{workers}", "--servers", $"{servers}"], _folder);
        Assert.True(outcome.Code == 0, outcome.Error);
        Assert.Equal(await Reference.Value, Summary("run").StateSha256);
    }

    [Fact]
    public async Task Another_seed_gives_another_model()
    {
        ProcessOutcome outcome = await ProgramProcess.RunAsync(["train", Tiny, "--out", "run", "--seed", "2"], _folder);
        Assert.True(outcome.Code == 0, outcome.Error);
        Assert.NotEqual(await Reference.Value, Summary("run").StateSha256);
    }

    [Fact]
    public async Task A_mistake_in_the_config_returns_2_and_writes_nothing()
    {
        File.WriteAllText(Path.Combine(_folder, "job.yaml"), File.ReadAllText(Tiny).Replace("span:", "spam:", StringComparison.Ordinal));
        ProcessOutcome outcome = await ProgramProcess.RunAsync(["train", "job.yaml"], _folder);
        Assert.Equal((2, ""), (outcome.Code, outcome.Out));
        Assert.Contains("job.yaml:", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("Did you mean 'span'?", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(["job.yaml"], Directory.EnumerateFileSystemEntries(_folder).Select(Path.GetFileName));
    }

    private static void SkipOnWindows()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("needs POSIX signals");
        }
    }

    private static string Root()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "ClusterRnn.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException($"No ClusterRnn.sln above {AppContext.BaseDirectory}.");
    }
}
