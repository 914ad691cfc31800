// What a sweep leaves behind, and what it goes on from:
//     runs/NAME-sweep-1/sweep.json      what was searched: --resume refuses another
//                       results.jsonl   a line for each run and rung, written when it is done
//                       trials/         a run folder for each trial, or trial and fold, with its checkpoints
//                       summary.json    the winner
//                       report.html     the table and the plots
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClusterRnn.Cli.Commands;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Sweeps;

namespace ClusterRnn.Cli.Sweeps;

/// <summary>What a trial came to on a rung.</summary>
/// <param name="Rung">The rung, from 1.</param>
/// <param name="Trial">The trial, from 1.</param>
/// <param name="Fold">The fold, from 1; 0: none.</param>
/// <param name="Steps">Steps trained so far.</param>
/// <param name="Score">The metric that is compared; null if the training failed or it is not finite.</param>
/// <param name="ModelSha256">The hash of the parameters, or null if the training failed.</param>
/// <param name="Seconds">How long this rung took.</param>
/// <param name="Failure">Why it failed, or null.</param>
internal sealed record TrialResult(int Rung, int Trial, int Fold, long Steps, double? Score, string? ModelSha256, double Seconds, string? Failure);

/// <summary>A sweep's folder.</summary>
internal sealed class SweepFolder
{
    private const string SweepFile = "sweep.json", ResultsFile = "results.jsonl";

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web) { DefaultIgnoreCondition = JsonIgnoreCondition.Never };

    private readonly Lock _gate = new();

    private SweepFolder(string path) => Path = path;

    /// <summary>The folder, as the user named it.</summary>
    public string Path { get; }

    /// <summary>Where the winner is written.</summary>
    public string SummaryPath => System.IO.Path.Combine(Path, RunFolder.SummaryFile);

    /// <summary>Where the report is written.</summary>
    public string ReportPath => System.IO.Path.Combine(Path, RunFolder.ReportFile);

    /// <summary>Makes the folder of a new sweep.</summary>
    /// <param name="path">The folder the user named, or null for a new one in <paramref name="parent"/>.</param>
    /// <param name="parent">Where runs go.</param>
    /// <param name="sweep">What is searched.</param>
    /// <param name="job">The job, without what is varied.</param>
    public static SweepFolder Create(string? path, string parent, SweepConfig sweep, JobConfig job)
    {
        RunFolder folder = path is null ? RunFolder.CreateNumbered(parent, sweep.Name + "-sweep") : RunFolder.CreateNamed(path);
        folder.WriteConfig(job);
        File.WriteAllText(System.IO.Path.Combine(folder.Path, SweepFile), Identity(sweep, job));
        return new SweepFolder(folder.Path);
    }

    /// <summary>Opens the folder of a sweep that was interrupted.</summary>
    /// <exception cref="UsageException">It is none, or was made by another sweep.</exception>
    public static SweepFolder Open(string? path, string parent, SweepConfig sweep, JobConfig job)
    {
        path ??= RunFolder.Newest(parent, sweep.Name + "-sweep")?.Path
            ?? throw new UsageException($"--resume: expected a sweep of {sweep.Name} in {System.IO.Path.GetFullPath(parent)}, found none");
        string file = System.IO.Path.Combine(path, SweepFile);
        if (!File.Exists(file))
        {
            throw new UsageException($"--resume {path}: expected a sweep's folder, found no {SweepFile} in it");
        }

        return File.ReadAllText(file) == Identity(sweep, job)
            ? new SweepFolder(path)
            : throw new UsageException($"--resume {path}: the sweep or its job's config is not the one that began there; begin a new sweep, or undo the change ({file} has what was searched)");
    }

    /// <summary>The run folder of a trial.</summary>
    public RunFolder Of(Trial trial, int fold) => new(System.IO.Path.Combine(
        Path, "trials", string.Create(CultureInfo.InvariantCulture, $"{trial.Number:000}") + (fold == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"-fold{fold}"))));

    /// <summary>Adds a result.</summary>
    public void Add(TrialResult result)
    {
        lock (_gate)
        {
            File.AppendAllText(System.IO.Path.Combine(Path, ResultsFile), JsonSerializer.Serialize(result, s_json) + "\n");
        }
    }

    /// <summary>The results so far. A line that was cut off by a crash doesn't count: its run is taken up again.</summary>
    public IReadOnlyList<TrialResult> Results()
    {
        string file = System.IO.Path.Combine(Path, ResultsFile);
        if (!File.Exists(file))
        {
            return [];
        }

        string text = File.ReadAllText(file);
        int whole = text.LastIndexOf('\n') + 1;
        if (whole < text.Length)
        {
            using var cut = new FileStream(file, FileMode.Open);
            cut.SetLength(System.Text.Encoding.UTF8.GetByteCount(text.AsSpan(0, whole)));
        }

        try
        {
            return [.. text[..whole].Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonSerializer.Deserialize<TrialResult>(line, s_json)!)];
        }
        catch (JsonException error)
        {
            throw new UsageException($"{file}: expected a result on each line: {error.Message} Begin a new sweep.");
        }
    }

    // How many runs train at once, and where, changes nothing.
    private static string Identity(SweepConfig sweep, JobConfig job)
        => $"{{\"sweep\":{ConfigLoader.ToJson(sweep with { Parallel = null })},\n\"job\":{ConfigLoader.ToJson(job with { Cluster = new(), Output = new() })}}}\n";
}
