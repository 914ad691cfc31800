using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary>What <c>train --dry-run</c> prints: everything a run would do, without doing it.</summary>
internal static class DryRun
{
    public static void Show(Terminal terminal, ResolvedJob resolved)
    {
        TrainingJob job = resolved.Job;
        ParameterLayout layout = job.Layout;
        int workers = Math.Min(resolved.Config.Cluster.Workers, job.Shards);
        int shardsEach = (job.Shards + workers - 1) / workers;
        ClusterConfig cluster = resolved.Config.Cluster;
        // A worker has room for all shards (it goes on alone when the others are lost), as far as its limit allows.
        var memory = WorkerMemory.Of(job, cluster.Workers, cluster.Servers, cluster.WorkerMemoryBytes, cluster.Threads);
        // A server holds its parameters, the optimizer's moments, the reduced gradient and what came in for it.
        long vectors = 3 + job.Settings.Optimizer.Moments.Count;
        long serverBytes = layout.Length * sizeof(float) * vectors / resolved.Config.Cluster.Servers;

        terminal.Write(ConfigLoader.ToYaml(resolved.Config));
        terminal.WriteLine("");
        var rows = new List<string[]>();
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            rows.Add([tensor.Name, string.Join(" x ", tensor.Shape.ToArray()), tensor.IsFrozen ? $"{Figures.Count(tensor.Count)} frozen" : Figures.Count(tensor.Count)]);
        }

        rows.Add(["all", "", Figures.Count(layout.ParameterCount)]);
        Tables.Write(terminal, ["tensor", "shape", "parameters"], rows);
        terminal.WriteLine("");
        long maximum = job.Settings.MaximumSteps;
        Tables.Write(terminal, [], [
            ["batch", $"{resolved.Config.Batch.Size} rows x {job.Train.MaximumTime} time steps in {job.Shards} shards of {ShardSizes(job)} rows"],
            .. job.RecomputeEvery is > 0 and int every && every < job.MaximumTime ? new string[][] { ["recompute", $"activations are computed again from a state kept every {Figures.Count(every)} time steps"] } : [],
            ["steps", maximum == long.MaxValue ? "until the loss or patience ends it" : $"{Figures.Count(maximum)} at the most"],
            ["steps an epoch", Figures.Count(job.Train.StepsPerPass)],
            ["each of " + Plural(workers, "worker"), $"{Figures.Bytes(memory.TotalBytes)}{LimitOf(cluster)}, {Plural(shardsEach, "shard")} at the most, computed {GroupsOf(memory, shardsEach)}"],
            ["each of " + Plural(resolved.Config.Cluster.Servers, "server"), $"about {Figures.Bytes(serverBytes)}"],
            ["data", job.DataSha256],
        ]);
    }

    private static string LimitOf(ClusterConfig cluster) => cluster.WorkerMemory is null ? "" : $" of at most {cluster.WorkerMemory}";

    private static string GroupsOf(WorkerMemory memory, int shards) =>
        memory.GroupsOf(shards) == 1 ? "together" : $"in {memory.GroupsOf(shards)} groups of up to {memory.GroupShards}";

    private static string ShardSizes(TrainingJob job)
    {
        int smallest = Enumerable.Range(0, job.Shards).Min(job.RowsOf), largest = Enumerable.Range(0, job.Shards).Max(job.RowsOf);
        return smallest == largest ? $"{largest}" : $"{smallest} or {largest}";
    }

    private static string Plural(int count, string word) => count == 1 ? $"1 {word}" : $"{count} {word}s";
}
