// Every config that comes with the program works: each passes a dry run, each classic is trained for two steps.
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class ConfigTests
{
    /// <summary>Every config, as a path below configs/; scenarios and sweeps are none.</summary>
    public static TheoryData<string> All => [.. Below(Repository.Configs).Where(path => !path.StartsWith("experiments/", StringComparison.Ordinal) && !path.StartsWith("sweeps/", StringComparison.Ordinal))];

    /// <summary>The classics.</summary>
    public static TheoryData<string> Seeds => [.. Below(Repository.Config("seeds"))];

    [Theory]
    [MemberData(nameof(All))]
    public async Task PassesADryRun(string config)
    {
        string folder = TemporaryFolders.New("dry");
        Outcome outcome = (await ProgramUnderTest.RunAsync(["train", Repository.Config(config), "--dry-run"], folder: folder)).Expect(0);
        foreach (string part in new[] { "optimizer:", "parameters", "shards", "worker", "server" })
        {
            Assert.Contains(part, outcome.Output);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task AClassicTrains(string config)
    {
        FinishedRun run = await new Job("classic", Repository.Config(config)).TrainAsync("--steps", "2");
        Assert.Equal(2, run.Number("steps"));
        Assert.Equal(2, run.Metrics().Count(l => l.Contains("\"loss\":", StringComparison.Ordinal)));
    }

    private static IEnumerable<string> Below(string folder) => Directory.EnumerateFiles(folder, "*.yaml", SearchOption.AllDirectories)
        .Select(f => Path.GetRelativePath(Repository.Configs, f).Replace('\\', '/'))
        .Order(StringComparer.Ordinal);
}
