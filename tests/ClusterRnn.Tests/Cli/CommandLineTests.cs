// The command line as its user meets it: what is printed where, and the exit code.
using ClusterRnn.Cli;
using ClusterRnn.Cli.Output;
using ClusterRnn.Training;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Cli;

public sealed class CommandLineTests : IDisposable
{
    private const string Job = """
        data: { source: sums, characters: 2000 }
        model: { layers: [{ type: embedding, units: 4 }, { type: gru, units: 6 }, dense] }
        batch: { size: 4, span: 8 }
        checkpoint: { every: 4 }
        evaluate: { every: 5 }
        stop: { steps: 10 }
        generate: { length: 20 }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string At(params string[] parts) => Path.Combine([_folder, .. parts]);

    private string Write(string name, string text)
    {
        File.WriteAllText(At(name), text);
        return At(name);
    }

    private static (int Code, string Out, string Error) Run(params string[] args) => Run(new SmallEngine(), args);

    private static (int Code, string Out, string Error) Run(IEngine engine, params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [engine]).RunAsync(args).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }

    [Fact]
    public void Help_lists_commands_in_groups()
    {
        (int code, string text, string error) = Run("--help");
        Assert.Equal((0, ""), (code, error));
        int train = text.IndexOf("\ntrain\n", StringComparison.Ordinal), use = text.IndexOf("\nuse\n", StringComparison.Ordinal), cluster = text.IndexOf("\ncluster\n", StringComparison.Ordinal);
        Assert.True(train > 0 && train < use && use < cluster, text);
        Assert.All(["train", "schema", "evaluate RUN", "predict, generate, forecast RUN [INPUT]", "inspect RUN", "report RUN ...", "engines"], c => Assert.Contains("  " + c, text, StringComparison.Ordinal));
        Assert.Equal(text, Run().Out);
        Assert.All(text.Split('\n'), line => Assert.True(line.Length <= 120, line));
    }

    [Theory]
    [InlineData("train")]
    [InlineData("evaluate")]
    [InlineData("predict")]
    [InlineData("generate")]
    [InlineData("inspect")]
    [InlineData("schema")]
    [InlineData("engines")]
    [InlineData("bench")]
    [InlineData("verify-ledger")]
    public void Each_command_has_help(string command)
    {
        (int code, string text, string error) = Run(command, "--help");
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("usage: clusterrnn ", text, StringComparison.Ordinal);
        Assert.Contains("--verbose", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("unknown command 'trian'; did you mean train?", "trian", "x.yaml")]
    [InlineData("unknown option '--wokers'; did you mean --workers?", "train", "x.yaml", "--wokers", "2")]
    [InlineData("unknown argument 'y.yaml'\n", "train", "x.yaml", "y.yaml")]
    [InlineData("--steps x: expected a whole number from 0", "train", "x.yaml", "--steps", "x")]
    [InlineData("--steps -1: expected a whole number from 0", "train", "x.yaml", "--steps", "-1")]
    [InlineData("--temperature 200: expected a number from 0 to 100", "predict", "x", "--temperature", "200")]
    [InlineData("x.yaml: no such file", "train", "x.yaml")]
    [InlineData("train needs a config file", "train")]
    [InlineData("'': expected CONFIG, found nothing", "train", "")]
    [InlineData("--out '': expected FOLDER, found nothing", "train", "x.yaml", "--out", "")]
    [InlineData("--out '': expected FOLDER, found nothing", "certs", "--out", "")]
    [InlineData("--join '': expected HOST:PORT, found nothing", "worker", "--join", "")]
    [InlineData("--advertise: 'store1:7071' is no host: expected an address or a name without a port", "server", "--advertise", "store1:7071")]
    [InlineData("--set seed: expected key.path=value", "train", "x.yaml", "--set", "seed")]
    [InlineData("expected a run's or a checkpoint's folder", "inspect", "no-such-run")]
    [InlineData("expected a run's or a checkpoint's folder", "evaluate", "no-such-run")]
    [InlineData("expected a run's or a checkpoint's folder", "generate", "no-such-run")]
    public void What_was_typed_wrong_gets_one_message_and_code_2(string message, params string[] args)
    {
        (int code, string text, string error) = Run(args);
        Assert.Equal((ExitCode.Usage, ""), (code, text));
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        Assert.Contains(message, error.ReplaceLineEndings("\n"), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("batch: { size: 4, span: 8, lookBack: 4 }", "batch: { size: 4, span: 8 }", "'batch.lookBack' (k2) expects at least")]
    [InlineData("batch: { size: 4, spam: 8 }", "batch: { size: 4, span: 8 }", "Did you mean 'span'?")]
    [InlineData("batch: { size: 4000, span: 8 }", "batch: { size: 4, span: 8 }", "expected at least 32001 character tokens to train on")]
    [InlineData("schedule: { name: plateau }\nevaluate: { every: 5 }\ndata2: 1", "evaluate: { every: 5 }", "unknown key 'data2'")]
    [InlineData("model: { layers: [dense] }", "model: { layers: [{ type: embedding, units: 4 }, { type: gru, units: 6 }, dense] }", "job.yaml:2:")]
    public void A_config_that_can_not_be_used_writes_nothing(string line, string instead, string message)
    {
        string config = Write("job.yaml", Job.Replace(instead, line, StringComparison.Ordinal));
        (int code, string _, string error) = Run("train", config, "--out", At("run"));
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
        Assert.Equal(["job.yaml"], Directory.EnumerateFileSystemEntries(_folder).Select(Path.GetFileName));
    }

    private const string Series = """
        data: { source: sine, rows: 200, window: 8, validation: 0.2, everyStep: true, scale: none, noise: 0 }
        model: { layers: [{ type: gru, units: 6 }, dense], loss: mean-squared-error }
        batch: { size: 4 }
        stop: { steps: 2 }
        """;

    [Theory]
    [InlineData(Job, "units: 6", "units: 6, returnSequences: false", "job.yaml:2:73")]
    [InlineData(Job, "dense] }", "dense], loss: mean-squared-error }", "targets are classes: expected the loss cross-entropy")]
    [InlineData(Series, "units: 6", "units: 6, returnSequences: false", "job.yaml:2:42")]
    [InlineData(Series, "mean-squared-error", "cross-entropy", "targets are values: expected the loss mean-squared-error")]
    [InlineData(Series, "mean-squared-error", "binary-cross-entropy", "binary-cross-entropy expects targets from 0 to 1; found -")]
    public void A_model_that_can_not_be_trained_on_its_data_writes_nothing(string job, string part, string instead, string message)
    {
        string config = Write("job.yaml", job);
        (int code, string _, string error) = Run("train", config, "--dry-run");
        Assert.True(code == 0, error);
        File.WriteAllText(config, job.Replace(part, instead, StringComparison.Ordinal));
        (code, _, error) = Run("train", config, "--out", At("run"));
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Contains("job.yaml:2:", error, StringComparison.Ordinal);
        Assert.Equal(["job.yaml"], Directory.EnumerateFileSystemEntries(_folder).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData("", "stop.steps=12", false)]
    [InlineData("schedule: cosine", "stop.steps=12", true)]
    [InlineData("schedule: { name: cosine, length: 10 }", "stop.steps=12", false)]
    [InlineData("schedule: cosine", "stop.patience=100", false)]
    [InlineData("", "checkpoint.every=3", false)]
    [InlineData("nonFinite: rollback", "checkpoint.every=3", true)]
    [InlineData("nonFinite: rollback", "checkpoint.keep=2", false)]
    public void Going_on_with_another_end_or_other_checkpoints_warns_where_that_changes_the_model(string line, string set, bool warns)
    {
        string config = Write("job.yaml", Job + "\n" + line + "\n");
        Assert.Equal(0, Run("train", config, "--out", At("run"), "--steps", "4").Code);
        (int code, string _, string error) = Run("train", config, "--resume", At("run"), "--set", set);
        Assert.True(code == 0, error);
        Assert.Equal(warns, error.Contains(set.Split('=')[0] + " has changed since", StringComparison.Ordinal));
    }

    [Fact]
    public void A_dry_run_prints_everything_and_writes_nothing()
    {
        (int code, string text, string _) = Run("train", Write("job.yaml", Job), "--dry-run", "--workers", "3", "--out", At("run"));
        Assert.Equal(0, code);
        Assert.All(["lookBack: 8", "shards: 4", "workers: 3", "gru.weight_ih_l0", "18 x 4", "each of 3 workers", "each of 1 server", "4 shards of 1 rows"], part => Assert.Contains(part, text, StringComparison.Ordinal));
        Assert.False(Directory.Exists(At("run")));
    }

    [Fact]
    public void A_memory_limit_is_shown_and_the_least_is_said()
    {
        string config = Write("job.yaml", Job);
        (int code, string _, string error) = Run("train", config, "--dry-run", "--memory", "1MB");
        Assert.NotEqual(0, code);
        string least = error[(error.IndexOf("at least ", StringComparison.Ordinal) + 9)..].Split(':')[0];
        Assert.EndsWith("found 1MB.", error.Split(" Raise")[0], StringComparison.Ordinal);
        (code, string text, error) = Run("train", config, "--dry-run", "--memory", least);
        Assert.True(code == 0, error);
        Assert.Contains($"workerMemory: \"{least}\"", text, StringComparison.Ordinal);
        Assert.Contains($"of at most {least}, 4 shards at the most, computed", text, StringComparison.Ordinal);
        Assert.Contains("expects a size such as 512MB", Run("train", config, "--memory", "1gb").Error, StringComparison.Ordinal);
        Assert.Contains("expects more than nothing", Run("train", config, "--set", "cluster.workerMemory=0MB").Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_leaves_its_folder_and_can_be_used()
    {
        (int code, string text, string error) = Run("train", Write("job.yaml", Job), "--out", At("run"));
        Assert.True(code == 0, error);
        var summary = RunSummary.Read(At("run", "summary.json"));
        Assert.Equal((10L, "steps", "small", 4), (summary.Steps, summary.Ended, summary.Engine, summary.Shards));
        Assert.Contains(summary.ModelSha256, text, StringComparison.Ordinal);
        Assert.Contains("true entropy", text, StringComparison.OrdinalIgnoreCase);
        Assert.All(["config.yaml", "metrics.jsonl", "summary.json", "report.html"], file => Assert.True(new FileInfo(At("run", file)).Length > 0, file));
        Assert.Single(Directory.GetFiles(At("run"), "events.out.tfevents.*"));
        RunHistory history = MetricsLog.Read(At("run", "metrics.jsonl"));
        Assert.Equal((10, 2), (history.Steps.Count, history.Evaluations.Count));
        Assert.Contains(summary.ModelSha256, File.ReadAllText(At("run", "report.html")), StringComparison.Ordinal);

        (code, text, error) = Run("inspect", At("run"));
        Assert.True(code == 0, error);
        Assert.Contains(summary.ModelSha256, text, StringComparison.Ordinal);
        Assert.Contains("gru.weight_hh_l0", text, StringComparison.Ordinal);

        (code, text, error) = Run("evaluate", At("run"));
        Assert.True(code == 0, error);
        Assert.Contains("validation", text, StringComparison.Ordinal);
        Assert.Contains(Figures.Loss(summary.FinalValidationLoss!.Value), text, StringComparison.Ordinal);

        (code, text, error) = Run("generate", At("run"), "--prompt", "seven", "--length", "30", "--seed", "3");
        Assert.True(code == 0, error);
        Assert.StartsWith("seven", text, StringComparison.Ordinal);
        Assert.Equal(text, Run("predict", At("run"), "seven", "--length", "30", "--seed", "3").Out);
        Assert.NotEqual(text, Run("predict", At("run"), "seven", "--length", "30", "--seed", "4").Out);

        // The same folder again would mix two runs.
        (code, _, error) = Run("train", At("job.yaml"), "--out", At("run"));
        Assert.Equal((ExitCode.Failed, true), (code, error.Contains("--resume", StringComparison.Ordinal)));
    }

    [Fact]
    public void Stopped_and_resumed_is_as_if_unbroken()
    {
        string config = Write("job.yaml", Job);
        Assert.Equal(0, Run("train", config, "--out", At("whole")).Code);
        (int code, string _, string error) = Run("train", config, "--out", At("parts"), "--steps", "3");
        Assert.True(code == 0, error);
        Assert.Contains("--resume", error, StringComparison.Ordinal);
        Assert.Equal("interrupted", RunSummary.Read(At("parts", "summary.json")).Ended);
        (code, _, error) = Run("train", config, "--resume", At("parts"), "--steps", "7");
        Assert.True(code == 0, error);
        // The config lies in the run, so it need not be named.
        (code, _, error) = Run("train", "--resume", At("parts"));
        Assert.True(code == 0, error);
        RunSummary whole = RunSummary.Read(At("whole", "summary.json")), parts = RunSummary.Read(At("parts", "summary.json"));
        Assert.Equal((whole.ModelSha256, whole.StateSha256), (parts.ModelSha256, parts.StateSha256));
        Assert.Equal(7, parts.ResumedFromStep);
        RunHistory unbroken = MetricsLog.Read(At("whole", "metrics.jsonl")), pieced = MetricsLog.Read(At("parts", "metrics.jsonl"));
        Assert.Equal(unbroken.Steps.Select(s => (s.Step, s.Loss)), pieced.Steps.Select(s => (s.Step, s.Loss)));
        Assert.Equal(unbroken.Evaluations.Select(e => (e.Step, e.Loss)), pieced.Evaluations.Select(e => (e.Step, e.Loss)));
        Assert.Equal(0, Run("train", config, "--out", At("other"), "--seed", "2").Code);
        Assert.NotEqual(whole.ModelSha256, RunSummary.Read(At("other", "summary.json")).ModelSha256);
    }

    [Fact]
    public void Resuming_says_what_it_passed_over_and_refuses_another_job()
    {
        string config = Write("job.yaml", Job);
        Assert.Equal(0, Run("train", config, "--out", At("run"), "--steps", "8").Code);
        string newest = At("run", "checkpoints", "step-" + Directory.GetDirectories(At("run", "checkpoints")).Select(d => Path.GetFileName(d)[5..]).Max());
        File.WriteAllText(Path.Combine(newest, "model.safetensors"), "broken");
        (int code, string _, string error) = Run("train", config, "--resume", At("run"));
        Assert.True(code == 0, error);
        Assert.Contains("passed over " + newest, error, StringComparison.Ordinal);
        (code, _, error) = Run("train", config, "--resume", At("run"), "--set", "batch.shards=2");
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("expected batch.shards 2, found 4", error, StringComparison.Ordinal);
        (code, _, error) = Run("train", config, "--resume", At("run"), "--set", "optimizer.learningRate=0.5");
        Assert.Contains("optimizer.learningRate has changed", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.layers=[{type: embedding, units: 5}, {type: gru, units: 6}, dense]", "The checkpoint is of another model.layers")]
    [InlineData("optimizer.name=sgd", "The checkpoint is of another optimizer")]
    public void A_run_that_can_not_be_gone_on_with_as_asked_can_be_as_before(string set, string message)
    {
        string config = Write("job.yaml", Job);
        Assert.Equal(0, Run("train", config, "--out", At("run"), "--steps", "8").Code);
        string own = File.ReadAllText(At("run", "config.yaml"));
        (int code, string _, string error) = Run("train", config, "--resume", At("run"), "--set", set);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(own, File.ReadAllText(At("run", "config.yaml")));
        (code, _, error) = Run("train", "--resume", At("run"));
        Assert.True(code == 0, error);
    }

    [Fact]
    public void Two_processes_do_not_train_in_one_folder()
    {
        string config = Write("job.yaml", Job);
        (int Code, string Out, string Error) second = default;
        var engine = new SmallEngine { BeforeStep = step => second = step == 5 ? Run("train", config, "--resume", At("run")) : second };
        (int code, string _, string error) = Run(engine, "train", config, "--out", At("run"));
        Assert.True(code == 0, error);
        Assert.Equal(ExitCode.Failed, second.Code);
        Assert.Contains("another process trains in this folder", second.Error, StringComparison.Ordinal);
        Assert.Equal(10, MetricsLog.Read(At("run", "metrics.jsonl")).Steps.Count);
        var folder = new RunFolder(At("run"));
        folder.Hold(isShared: false).Dispose(); // nobody holds it any more
        using IDisposable one = folder.Hold(isShared: true), another = folder.Hold(isShared: true);
        Assert.Throws<TrainingException>(() => folder.Hold(isShared: false));
    }

    [Theory]
    [InlineData("0.0.0.0:0", "nothing would keep strangers out")]
    [InlineData("taken", "End the program that listens there")]
    public void An_address_that_can_not_be_listened_on_is_found_before_anything_is_written(string listen, string message)
    {
        using var other = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        other.Start();
        (int code, string _, string error) = Run(
            "coordinator", Write("job.yaml", Job), "--out", At("run"), "--listen", listen == "taken" ? other.LocalEndpoint.ToString()! : listen);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(At("run")));
    }

    [Fact]
    public void An_internal_error_says_that_it_is_ours()
    {
        string config = Write("job.yaml", Job);
        var engine = new SmallEngine { BeforeStep = _ => throw new InvalidCastException("planted") };
        (int code, string _, string error) = Run(engine, "train", config, "--out", At("a"));
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("internal error: InvalidCastException: planted", error, StringComparison.Ordinal);
        Assert.Contains("Please report it", error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
        (code, _, error) = Run(engine, "train", config, "--out", At("b"), "--verbose");
        Assert.Contains("   at ", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hash_is_held_against_the_readme_beside_the_config()
    {
        string config = Write("job.yaml", Job);
        string hash = new('a', 64);
        File.WriteAllText(At("README.md"), $"# Jobs\n\n    job-two  {new string('b', 64)}\n    job      {hash}\n");
        Assert.Contains($"the README says {hash}", Run("train", config, "--out", At("a")).Out, StringComparison.Ordinal);
        string found = RunSummary.Read(At("a", "summary.json")).ModelSha256;
        File.WriteAllText(At("README.md"), $"| job.yaml | `{found}` |\n");
        Assert.Contains($"{found}  (the README's)", Run("train", config, "--out", At("b"), "--workers", "2").Out, StringComparison.Ordinal);
        Assert.DoesNotContain("README", Run("train", config, "--out", At("c"), "--seed", "2").Out, StringComparison.Ordinal);
        Assert.DoesNotContain("README", Run("train", config, "--out", At("d"), "--steps", "3").Out, StringComparison.Ordinal);
    }

    [Fact]
    public void Quiet_and_verbose_are_what_they_say()
    {
        string config = Write("job.yaml", Job);
        (int code, string text, string error) = Run("train", config, "--out", At("q"), "--quiet");
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("modelSha256", text, StringComparison.Ordinal);
        (_, _, error) = Run("train", config, "--out", At("v"), "--verbose");
        Assert.Equal(10, error.Split('\n').Count(l => l.StartsWith("step ", StringComparison.Ordinal) && l.Contains("  epoch ", StringComparison.Ordinal)));
        Assert.Contains("checkpoint", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Tables_stay_straight_with_wide_characters()
    {
        var output = new StringWriter();
        Terminal terminal = Terminal.To(output, new StringWriter());
        Tables.Write(terminal, ["列 name", "數值", "c"], [["日本語", "1", "x"], ["abc", "22", "ひら"], ["e\u0301", "3", "한국"]]);
        string[] lines = [.. output.ToString().Split('\n').Where(l => l.Length > 0 && !l.Contains('─', StringComparison.Ordinal))];
        Assert.Equal(4, lines.Length);
        // The last column is aligned at its right edge, so every line ends in the same cell.
        Assert.Single(lines.Select(l => ClusterRnn.Training.Configuration.TextWidth.Of(l)).Distinct());
    }

    [Theory]
    [InlineData("job", "configs/schema.json")]
    [InlineData("experiment", "configs/experiments/schema.json")]
    [InlineData("sweep", "configs/sweeps/schema.json")]
    public void The_committed_schemas_are_the_records(string kind, string file)
    {
        string made = Run("schema", kind).Out;
        Assert.True(File.ReadAllText(Path.Combine(Repository.Root, file)) == made, $"{file} is not what the records say; renew it with: ./clusterrnn schema {kind} > {file}");
        Assert.Equal("https://json-schema.org/draft/2020-12/schema", System.Text.Json.Nodes.JsonNode.Parse(made)!["$schema"]!.GetValue<string>());
    }

    [Fact]
    public void Schemas_and_engines_print_to_the_standard_output()
    {
        Assert.Equal(Run("schema", "job").Out, Run("schema").Out);
        (int code, _, string error) = Run("schema", "nothing");
        Assert.Equal(2, code);
        Assert.Contains("expected one of job, experiment, sweep", error, StringComparison.Ordinal);
        Assert.Contains("small", Run("engines").Out, StringComparison.Ordinal);
    }
}
