// What a run leaves behind, and where:
//     runs/quickstart-1/config.yaml      the resolved config
//                       start.json       fine-tuning: what was taken from another run's model, and what is new
//                       metrics.jsonl    a line a step, a line an evaluation
//                       summary.json     the end: hashes, losses, rates, counters
//                       calibration.json a series: how far off its forecasts are, for alerts (predict --follow)
//                       events.jsonl     what happened to the nodes of a cluster
//                       report.html      the same for people, with curves; opens offline
//                       events.out.tfevents.*   for TensorBoard
//                       lock             held open by whoever trains here
//                       checkpoints/     what --resume, evaluate and predict read
using System.Globalization;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Runs;

/// <summary>A run's folder.</summary>
public sealed class RunFolder
{
    /// <summary>The resolved config.</summary>
    public const string ConfigFile = "config.yaml";

    /// <summary>What was taken from another run's model.</summary>
    public const string StartFile = "start.json";

    /// <summary>A line a step and a line an evaluation.</summary>
    public const string MetricsFile = "metrics.jsonl";

    /// <summary>How far off forecasts of a series are.</summary>
    public const string CalibrationFile = "calibration.json";

    /// <summary>What happened to the nodes of a cluster, one line each.</summary>
    public const string EventsFile = "events.jsonl";

    /// <summary>The end of the run.</summary>
    public const string SummaryFile = "summary.json";

    /// <summary>The report for people.</summary>
    public const string ReportFile = "report.html";

    /// <summary>The checkpoints.</summary>
    public const string CheckpointsFolder = "checkpoints";

    /// <summary>Held open by whoever trains in the folder.</summary>
    public const string LockFile = "lock";

    /// <summary>The folder at <paramref name="path"/>, which need not exist.</summary>
    public RunFolder(string path) => Path = path;

    /// <summary>The folder, as the user named it.</summary>
    public string Path { get; }

    /// <summary>Where the resolved config is.</summary>
    public string ConfigPath => System.IO.Path.Combine(Path, ConfigFile);

    /// <summary>Where it says what was taken from another run's model.</summary>
    public string StartPath => System.IO.Path.Combine(Path, StartFile);

    /// <summary>Where the metrics are.</summary>
    public string MetricsPath => System.IO.Path.Combine(Path, MetricsFile);

    /// <summary>Where it says how far off forecasts of a series are.</summary>
    public string CalibrationPath => System.IO.Path.Combine(Path, CalibrationFile);

    /// <summary>Where the events are.</summary>
    public string EventsPath => System.IO.Path.Combine(Path, EventsFile);

    /// <summary>Where the summary is.</summary>
    public string SummaryPath => System.IO.Path.Combine(Path, SummaryFile);

    /// <summary>Where the report is.</summary>
    public string ReportPath => System.IO.Path.Combine(Path, ReportFile);

    /// <summary>Where the checkpoints are.</summary>
    public string CheckpointsPath => System.IO.Path.Combine(Path, CheckpointsFolder);

    /// <summary>Makes a new folder NAME-N in <paramref name="parent"/>, with the first N that is free.</summary>
    public static RunFolder CreateNumbered(string parent, string name)
    {
        Directory.CreateDirectory(parent);
        string stem = Safe(name);
        int number = 1 + Numbered(parent, stem).Select(r => r.Number).DefaultIfEmpty(0).Max();
        while (true)
        {
            string path = System.IO.Path.Combine(parent, string.Create(CultureInfo.InvariantCulture, $"{stem}-{number}"));
            // Two runs started at once must not share a folder; only creating this file tells who was first.
            Directory.CreateDirectory(path);
            try
            {
                using var claim = new FileStream(System.IO.Path.Combine(path, ConfigFile), FileMode.CreateNew);
                return new RunFolder(path);
            }
            catch (IOException) when (File.Exists(System.IO.Path.Combine(path, ConfigFile)))
            {
                number++;
            }
        }
    }

    /// <summary>Makes the folder that the user named.</summary>
    /// <exception cref="TrainingException">It holds something already.</exception>
    public static RunFolder CreateNamed(string path)
    {
        if (File.Exists(path) || (Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any()))
        {
            throw new TrainingException($"{path}: expected a new or empty folder for the run, found one that holds something; name another, or go on with that run by --resume {path}");
        }

        Directory.CreateDirectory(path);
        return new RunFolder(path);
    }

    /// <summary>The newest run of <paramref name="name"/> in <paramref name="parent"/> (of any name if null), or null.</summary>
    public static RunFolder? Newest(string parent, string? name)
    {
        if (!Directory.Exists(parent))
        {
            return null;
        }

        if (name is not null)
        {
            (string? Path, int Number) newest = Numbered(parent, Safe(name)).DefaultIfEmpty().MaxBy(r => r.Number);
            return newest.Path is null ? null : new RunFolder(newest.Path);
        }

        string? path = Directory.EnumerateDirectories(parent)
            .Where(p => File.Exists(System.IO.Path.Combine(p, ConfigFile)))
            .OrderByDescending(p => File.GetLastWriteTimeUtc(System.IO.Path.Combine(p, ConfigFile)))
            .ThenByDescending(p => p, StringComparer.Ordinal)
            .FirstOrDefault();
        return path is null ? null : new RunFolder(path);
    }

    /// <summary>Keeps others from training in this folder until the result is disposed; it ends with the process as well.</summary>
    /// <param name="isShared">Whether others that share it may hold it too: their engine decides which of them goes on.</param>
    /// <exception cref="TrainingException">Another process holds it.</exception>
    public IDisposable Hold(bool isShared)
    {
        string path = System.IO.Path.Combine(Path, LockFile);
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, isShared ? FileShare.ReadWrite : FileShare.None);
        }
        catch (IOException error) when (File.Exists(path))
        {
            throw new TrainingException($"{Path}: another process trains in this folder. Wait for it or end it, or give this run a folder of its own.", error);
        }
    }

    /// <summary>Writes the resolved config whole or not at all.</summary>
    public void WriteConfig(JobConfig job)
    {
        File.WriteAllText(ConfigPath + ".new", ConfigLoader.ToYaml(job));
        File.Move(ConfigPath + ".new", ConfigPath, overwrite: true);
    }

    private static IEnumerable<(string Path, int Number)> Numbered(string parent, string stem)
    {
        foreach (string path in Directory.EnumerateDirectories(parent, stem + "-*"))
        {
            string rest = System.IO.Path.GetFileName(path)[(stem.Length + 1)..];
            if (int.TryParse(rest, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            {
                yield return (path, number);
            }
        }
    }

    // A job's name may hold what a folder's name may not.
    private static string Safe(string name)
    {
        char[] safe = [.. name.Select(c => char.IsControl(c) || "/\\:*?\"<>|".Contains(c, StringComparison.Ordinal) ? '-' : c)];
        string text = new string(safe).Trim(' ', '.');
        return text.Length == 0 ? "run" : text;
    }
}
