using System.Text.Json.Nodes;
using ClusterRnn.Cli;
using ClusterRnn.Cli.Output;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Tests.Node;

namespace ClusterRnn.Tests.Cli;

/// <summary>data.documentStart, from a config to a model that is used.</summary>
public sealed class DocumentTests : IDisposable
{
    private const string Job = """
        data: { source: sums, characters: 2000, documentStart: "\n" }
        model: { layers: [{ type: embedding, units: 4 }, { type: lstm, units: 6, learnedInitialState: true }, dense] }
        batch: { size: 12, span: 8, lookBack: 12 }
        stop: { steps: 6 }
        generate: { length: 10 }
        output: { tensorBoard: false }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task AnyClusterBeginsThemAlike()
    {
        string reference = await NodeJobs.HashOf(NodeJobs.Text(documentStart: 3));
        Assert.Equal(reference, await NodeJobs.HashOf(NodeJobs.Text(documentStart: 3), 3, 2));
        Assert.NotEqual(reference, await NodeJobs.HashOf(NodeJobs.Text()));
    }

    [Fact]
    public void ARunKeepsWhereDocumentsBegin()
    {
        string config = Path.Combine(_folder, "job.yaml"), run = Path.Combine(_folder, "run");
        File.WriteAllText(config, Job);
        Assert.Equal((0, ""), Run("train", config, "--out", run, "--quiet"));
        Assert.Equal((0, ""), Run("train", config, "--out", run + "2", "--quiet", "--workers", "3", "--servers", "2"));
        Assert.Equal((0, ""), Run("train", config, "--out", run + "3", "--quiet", "--set", "data.documentStart=."));
        Assert.Equal(HashOf(run), HashOf(run + "2"));
        Assert.NotEqual(HashOf(run), HashOf(run + "3"));
        Assert.NotNull(JsonNode.Parse(File.ReadAllText(Directory.EnumerateFiles(run, "model.json", SearchOption.AllDirectories).First()))!["documentStart"]);
        Assert.Equal((0, ""), Run("generate", run, "--prompt", "one ", "--quiet"));
        (int code, string error) = Run("train", config, "--out", run + "4", "--set", "data.documentStart=zz");
        Assert.Equal(2, code);
        Assert.Contains("one character of the text", error, StringComparison.Ordinal);
    }

    private static string HashOf(string run) => (string)JsonNode.Parse(File.ReadAllText(Path.Combine(run, "summary.json")))!["stateSha256"]!;

    private static (int Code, string Error) Run(params string[] args)
    {
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(new StringWriter(), error), [new InProcessEngine()]).RunAsync(args).GetAwaiter().GetResult();
        return (code, error.ToString());
    }
}
