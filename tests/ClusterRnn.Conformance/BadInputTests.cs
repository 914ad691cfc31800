// Input that can't be used: exit code 2, one message that says where, what was expected and what was found, no stack
// trace, and nothing written.
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class BadInputTests(ITestOutputHelper output)
{
    private const string Model = "model: { layers: [{ type: embedding, units: 3 }, { type: lstm, units: 4 }, dense] }\n";
    private const string SeriesModel = "model:\n  layers:\n    - { type: lstm, units: 4, returnSequences: false }\n    - { type: dense, units: 1 }\n  loss: mean-squared-error\n";
    private const string Text = "data: { source: text, path: text.txt }\nbatch: { size: 2, span: 8 }\nstop: { steps: 2 }\n" + Model;
    private const string Series = "data: { source: csv, path: series.csv, window: 3 }\nbatch: { size: 2 }\nstop: { steps: 2 }\n" + SeriesModel;

    private static readonly string s_prose = string.Concat(Enumerable.Repeat("the quick brown fox jumps over the lazy dog\n", 20));
    private static readonly string s_table = "day,price\n" + string.Concat(Enumerable.Range(1, 60).Select(i => $"{i},{i * i % 17}.5\n"));

    /// <summary>A config, the files beside it, and what the message must name.</summary>
    private sealed record Case(string Config, (string Name, byte[] Content)[] Files, params string[] Expected)
    {
        public string[] Arguments { get; init; } = [];

        public Case(string config, string name, string content, params string[] expected)
            : this(config, [(name, System.Text.Encoding.UTF8.GetBytes(content))], expected)
        {
        }
    }

    private static readonly Dictionary<string, Case> s_cases = new(StringComparer.Ordinal)
    {
        ["unknown key"] = new(Text + "batchs: { size: 3 }\n", "text.txt", s_prose, "job.yaml", ":5", "batchs", "batch"),
        ["unknown nested key"] = new(Text.Replace("span", "spam"), "text.txt", s_prose, "job.yaml", ":2", "spam", "span"),
        ["wrong type"] = new(Text.Replace("size: 2", "size: many"), "text.txt", s_prose, "job.yaml", ":2", "many"),
        ["out of range"] = new(Text.Replace("size: 2", "size: 0"), "text.txt", s_prose, "job.yaml", ":2", "0"),
        ["unknown layer"] = new(Text.Replace("lstm", "lstn"), "text.txt", s_prose, "job.yaml", ":4", "lstn", "lstm"),
        ["look-back below span"] = new(Text.Replace("span: 8", "span: 8, lookBack: 5"), "text.txt", s_prose, "job.yaml", ":2", "lookBack", "5", "8"),
        ["not YAML"] = new("data: { source: text\n  path: [", "text.txt", s_prose, "job.yaml"),
        ["empty config"] = new("", "text.txt", s_prose, "job.yaml"),
        ["missing config"] = new("", "text.txt", s_prose, "jib.yaml") { Arguments = ["train", "jib.yaml"] },
        ["unknown key in --set"] = new(Text, "text.txt", s_prose, "batch.sise", "size") { Arguments = ["train", "job.yaml", "--set", "batch.sise=3"] },
        ["wrong type in --workers"] = new(Text, "text.txt", s_prose, "--workers", "two") { Arguments = ["train", "job.yaml", "--workers", "two"] },
        ["unknown option"] = new(Text, "text.txt", s_prose, "--worker", "--workers") { Arguments = ["train", "job.yaml", "--worker=2"] },
        ["missing text"] = new(Text, "other.txt", s_prose, "job.yaml", "text.txt"),
        ["empty text"] = new(Text, "text.txt", "", "text.txt"),
        ["text shorter than a span"] = new(Text, "text.txt", "too short", "text.txt"),
        ["invalid UTF-8"] = new(Text, [("text.txt", [.. "the quick brown fox "u8, 0xC3, 0x28, .. " jumps over the lazy dog, again and again and again"u8])], "text.txt", "20"),
        ["folder without text"] = new(Text.Replace("text.txt", "'*.md'"), "text.txt", s_prose, "*.md"),
        ["truncated gzip"] = new(Text.Replace("text.txt", "text.gz"), [("text.gz", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0x4B])], "text.gz"),
        ["NaN in a table"] = new(Series, "series.csv", s_table.Replace("\n31,9.5\n", "\n31,NaN\n"), "series.csv", ":32", "NaN"),
        ["empty cell"] = new(Series, "series.csv", s_table.Replace("\n31,9.5\n", "\n31,\n"), "series.csv", ":32"),
        ["text in a column of numbers"] = new(Series, "series.csv", s_table.Replace("\n31,9.5\n", "\n31,dear\n"), "series.csv", ":32", "dear"),
        ["missing column"] = new(Series.Replace("window: 3", "window: 3, target: [prise]"), "series.csv", s_table, "series.csv", "prise", "price"),
        ["ragged row"] = new(Series, "series.csv", s_table.Replace("\n31,9.5\n", "\n31,9.5,7\n"), "series.csv", ":32"),
        ["missing table"] = new(Series, "other.csv", s_table, "series.csv"),
        ["empty table"] = new(Series, "series.csv", "", "series.csv"),
        ["table shorter than a window"] = new(Series, "series.csv", "day,price\n1,2.5\n2,3.5\n", "series.csv"),
    };

    /// <summary>What can be wrong, by name.</summary>
    public static TheoryData<string> Cases => [.. s_cases.Keys];

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task OneMessageAndNothingWritten(string name)
    {
        Case bad = s_cases[name];
        string folder = TemporaryFolders.New("bad");
        Prepare(folder, bad);
        await ExpectOneMessage(folder, bad.Arguments.Length > 0 ? bad.Arguments : ["train", "job.yaml"], bad.Expected);
    }

    [Fact]
    public async Task TheSameFilesWithoutTheFaultAreTrained()
    {
        // The control: what the cases above start from is good.
        foreach ((string config, string name, string content) in new[] { (Text, "text.txt", s_prose), (Series, "series.csv", s_table) })
        {
            string folder = TemporaryFolders.New("good");
            Prepare(folder, new Case(config, name, content));
            (await ProgramUnderTest.RunAsync(["train", "job.yaml", "--out", "run"], folder: folder)).Expect(0);
            Assert.True(File.Exists(Path.Combine(folder, "run", "summary.json")));
        }
    }

    [Fact]
    public async Task AFileThatMayNotBeRead()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("needs Posix permissions");
            return;
        }

        string folder = TemporaryFolders.New("bad");
        Prepare(folder, new Case(Text, "text.txt", s_prose));
        string text = Path.Combine(folder, "text.txt");
        File.SetUnixFileMode(text, UnixFileMode.None);
        try
        {
            Assert.SkipWhen(MayBeRead(text), "needs a user whom permissions stop (not root)");
            await ExpectOneMessage(folder, ["train", "job.yaml"], ["text.txt"]);
        }
        finally
        {
            File.SetUnixFileMode(text, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
    }

    [Fact]
    public async Task AFileThatIsADanglingLink()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs symbolic links without privileges");
        string folder = TemporaryFolders.New("bad");
        Prepare(folder, new Case(Text, []));
        File.CreateSymbolicLink(Path.Combine(folder, "text.txt"), Path.Combine(folder, "nowhere.txt"));
        await ExpectOneMessage(folder, ["train", "job.yaml"], ["text.txt"]);
    }

    [Fact]
    public async Task ARunFolderThatHoldsSomethingIsLeftAlone()
    {
        string folder = TemporaryFolders.New("bad");
        Prepare(folder, new Case(Text, "text.txt", s_prose));
        Directory.CreateDirectory(Path.Combine(folder, "mine"));
        File.WriteAllText(Path.Combine(folder, "mine", "thesis.txt"), "do not overwrite");
        Outcome outcome = await ProgramUnderTest.RunAsync(["train", "job.yaml", "--out", "mine"], folder: folder);
        Assert.True(outcome.ExitCode is 1 or 2, outcome.ToString());
        outcome.ExpectError("mine");
        Assert.Equal(["thesis.txt"], Directory.EnumerateFileSystemEntries(Path.Combine(folder, "mine")).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData("train", "job.yaml", "--resume", "nothing-here")]
    [InlineData("evaluate", "nothing-here")]
    [InlineData("generate", "nothing-here")]
    [InlineData("inspect", "nothing-here")]
    public async Task ARunThatIsNotThere(params string[] arguments)
    {
        string folder = TemporaryFolders.New("bad");
        Prepare(folder, new Case(Text, "text.txt", s_prose));
        await ExpectOneMessage(folder, arguments, ["nothing-here"]);
    }

    private static void Prepare(string folder, Case bad)
    {
        File.WriteAllText(Path.Combine(folder, "job.yaml"), bad.Config);
        foreach ((string name, byte[] content) in bad.Files)
        {
            File.WriteAllBytes(Path.Combine(folder, name), content);
        }
    }

    private async Task ExpectOneMessage(string folder, string[] arguments, string[] expected)
    {
        string[] before = Entries(folder);
        Outcome outcome = (await ProgramUnderTest.RunAsync(arguments, folder: folder)).Expect(2);
        output.WriteLine(outcome.Error);
        string[] errors = [.. outcome.Error.Split('\n').Where(l => l.StartsWith("error: ", StringComparison.Ordinal))];
        Assert.True(errors.Length == 1, $"expected one error, found {errors.Length}\n{outcome}");
        foreach (string part in expected)
        {
            outcome.ExpectError(part);
        }

        Assert.DoesNotContain("   at ", outcome.Error);
        Assert.DoesNotContain("Exception", outcome.Error);
        Assert.True(outcome.Output.Length == 0, outcome.ToString());
        Assert.Equal(before, Entries(folder));
    }

    private static string[] Entries(string folder) => [.. Directory.EnumerateFileSystemEntries(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];

    private static bool MayBeRead(string path)
    {
        try
        {
            File.ReadAllBytes(path);
            return true;
        }
        catch (UnauthorizedAccessException)
        {
            return false;
        }
    }
}
