// What the user means by RUN: a run's folder, a checkpoint's folder, or `latest`.
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Commands;

/// <summary>A run that was found, with the checkpoint to use.</summary>
/// <param name="Folder">The run's folder, or null when a lone checkpoint was named.</param>
/// <param name="Checkpoint">The checkpoint.</param>
/// <param name="Config">Its config.</param>
internal sealed record SavedRun(RunFolder? Folder, Checkpoint Checkpoint, JobConfig Config)
{
    /// <summary>What RUN says in help.</summary>
    public const string Description = "A run's folder, a checkpoint's folder, or 'latest' for the newest run.";

    /// <summary>Finds a run and its newest whole checkpoint, or its best one; says which were passed over and why.</summary>
    /// <exception cref="UsageException">There is no such run, or no checkpoint that can be used.</exception>
    public static SavedRun Find(string run, bool best, Terminal terminal, CheckpointExpectation? expected = null)
    {
        if (run == "latest" && !Directory.Exists(run))
        {
            string parent = new OutputConfig().Folder;
            RunFolder newest = RunFolder.Newest(parent, null) ?? throw new UsageException($"latest: there is no run in {Path.GetFullPath(parent)}; train one first, or name a run's folder");
            terminal.Say($"latest is {newest.Path}");
            run = newest.Path;
        }

        if (!Directory.Exists(run))
        {
            string near = File.Exists(run) ? ", found a file" : NearestRun(run);
            throw new UsageException($"{run}: expected a run's or a checkpoint's folder{near}");
        }

        if (File.Exists(Path.Combine(run, CheckpointStore.ManifestFile)))
        {
            Checkpoint single = CheckpointStore.Open(run, expected);
            return new SavedRun(null, single, SavedModel.ConfigOf(single));
        }

        var folder = new RunFolder(run);
        var store = new CheckpointStore(folder.CheckpointsPath, new Training.Policy.CheckpointConfig());
        CheckpointSearch search = store.FindNewest(expected);
        foreach (PassedOver passed in search.PassedOver)
        {
            terminal.Warn($"passed over {passed.Path}: {passed.Reason}");
        }

        Checkpoint found = search.Found ?? throw new UsageException(search.PassedOver.Count == 0
            ? $"{run}: expected checkpoints in {folder.CheckpointsPath}, found none"
            : $"{run}: none of its {search.PassedOver.Count} checkpoints can be used");
        if (best && found.Info.BestVersion >= 0 && found.Info.BestVersion != found.Info.Version)
        {
            (string path, long _) = store.List().FirstOrDefault(c => c.Version == found.Info.BestVersion);
            found = path is null
                ? throw new UsageException($"{run}: the best step, {found.Info.BestVersion}, has no checkpoint (checkpoint.keepBest keeps it)")
                : CheckpointStore.Open(path, expected);
        }

        return new SavedRun(folder, found, SavedModel.ConfigOf(found));
    }

    private static string NearestRun(string run)
    {
        string parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(run)) is { Length: > 0 } name ? name : ".";
        if (!Directory.Exists(parent))
        {
            return $", found no folder {parent}";
        }

        IEnumerable<string> names = Directory.EnumerateDirectories(parent).Select(p => Path.GetFileName(p)!).Order(StringComparer.Ordinal);
        return NearestName.Of(Path.GetFileName(Path.TrimEndingDirectorySeparator(run)), names) is { } near
            ? $"; did you mean {Path.Combine(Path.GetDirectoryName(run) ?? "", near)}?"
            : ", found nothing";
    }
}
