// Damaged checkpoints: the newest whole one is taken, what was passed over is named with the reason, and the model ends
// with the bits of a run that nothing happened to. Without a whole one: an error, and everything is left as it was.
using System.Security.Cryptography;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class DamagedCheckpointTests
{
    private static readonly Lazy<Task<FinishedRun>> s_stopped = new(() => Job.Tiny.TrainAsync("--set", "checkpoint.every=7", "--steps", "28"));

    /// <summary>What can happen to a checkpoint, by name.</summary>
    public static TheoryData<string> Damages => [.. s_damages.Keys];

    private static readonly Dictionary<string, Action<string>> s_damages = new(StringComparer.Ordinal)
    {
        ["model truncated"] = folder => Truncate(Path.Combine(folder, "model.safetensors")),
        ["optimizer truncated"] = folder => Truncate(Path.Combine(folder, "optimizer.safetensors")),
        ["model empty"] = folder => File.WriteAllBytes(Path.Combine(folder, "model.safetensors"), []),
        ["model's bit flipped"] = folder => Flip(Path.Combine(folder, "model.safetensors"), fromEnd: 5),
        ["model's header flipped"] = folder => Flip(Path.Combine(folder, "model.safetensors"), fromEnd: -1),
        ["streams' bit flipped"] = folder => Flip(Path.Combine(folder, "streams.safetensors"), fromEnd: 9),
        ["state's bit flipped"] = folder => Flip(Path.Combine(folder, "state.json"), fromEnd: 100),
        ["manifest's bit flipped"] = folder => Flip(Path.Combine(folder, "manifest.json"), fromEnd: 40),
        ["manifest truncated"] = folder => Truncate(Path.Combine(folder, "manifest.json")),
        ["manifest missing"] = folder => File.Delete(Path.Combine(folder, "manifest.json")),
        ["streams missing"] = folder => File.Delete(Path.Combine(folder, "streams.safetensors")),
        ["manifest foreign"] = folder => File.WriteAllText(Path.Combine(folder, "manifest.json"), """{"name":"a web app","start_url":"/"}"""),
        ["manifest of another step"] = folder => File.Copy(Path.Combine(Previous(folder), "manifest.json"), Path.Combine(folder, "manifest.json"), overwrite: true),
        ["another step under its name"] = folder =>
        {
            Directory.Delete(folder, recursive: true);
            Directory.CreateDirectory(folder);
            foreach (string file in Directory.EnumerateFiles(Previous(folder), "*", SearchOption.AllDirectories))
            {
                string to = Path.Combine(folder, Path.GetRelativePath(Previous(folder), file));
                Directory.CreateDirectory(Path.GetDirectoryName(to)!);
                File.Copy(file, to);
            }
        },
        ["empty folder"] = folder =>
        {
            Directory.Delete(folder, recursive: true);
            Directory.CreateDirectory(folder);
        },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public async Task TheNextOlderIsTaken(string damage)
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        string folder = TemporaryFolders.Copy((await s_stopped.Value).Folder, "damaged");
        string newest = FinishedRun.CheckpointsIn(folder)[^1];
        s_damages[damage](newest);
        (FinishedRun run, Outcome outcome) = await Job.Tiny.ResumeAsync(folder);
        string warning = Assert.Single(outcome.Error.Split('\n'), l => l.Contains("passed over", StringComparison.Ordinal));
        Assert.Contains(newest, warning);
        Assert.Matches("expected|can't be read|not the manifest", warning[(warning.IndexOf(newest, StringComparison.Ordinal) + newest.Length)..]);
        Assert.Equal(21, run.Number("resumedFromStep"));
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
    }

    [Fact]
    public async Task SeveralArePassedOver()
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        string folder = TemporaryFolders.Copy((await s_stopped.Value).Folder, "damaged");
        string[] checkpoints = FinishedRun.CheckpointsIn(folder);
        s_damages["model truncated"](checkpoints[^1]);
        s_damages["state's bit flipped"](checkpoints[^2]);
        (FinishedRun run, Outcome outcome) = await Job.Tiny.ResumeAsync(folder);
        Assert.Equal(2, outcome.Error.Split('\n').Count(l => l.Contains("passed over", StringComparison.Ordinal)));
        Assert.Equal(20, run.Number("resumedFromStep")); // kept as the best
        Assert.Equal(undisturbed.Answer, run.Answer);
    }

    [Fact]
    public async Task WithoutAWholeOneNothingIsTouched()
    {
        string folder = TemporaryFolders.Copy((await s_stopped.Value).Folder, "damaged");
        foreach (string checkpoint in FinishedRun.CheckpointsIn(folder))
        {
            s_damages["model's bit flipped"](checkpoint);
        }

        await ExpectRefusal(folder, Job.Tiny.ResumeArguments(folder), "none of its");
    }

    [Theory]
    [InlineData("seed", "--seed", "2")]
    [InlineData("batch.shards", "--set", "batch.shards=2")]
    [InlineData("data", "--set", "data.seed=5")]
    public async Task AnotherJobsCheckpointsAreRefused(string what, string option, string value)
    {
        string folder = TemporaryFolders.Copy((await s_stopped.Value).Folder, "foreign");
        await ExpectRefusal(folder, Job.Tiny.ResumeArguments(folder, option, value), what);
    }

    [Fact]
    public async Task WhatACrashLeftHalfWrittenIsNoCheckpoint()
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        string folder = TemporaryFolders.Copy((await s_stopped.Value).Folder, "half-written");
        string newest = FinishedRun.CheckpointsIn(folder)[^1];
        // As a crash leaves it: the temporary folder with some of the files, one of them cut, and a torn line of metrics.
        string half = Path.Combine(Path.GetDirectoryName(newest)!, ".writing-" + Path.GetFileName(newest));
        Directory.Move(newest, half);
        File.Delete(Path.Combine(half, "manifest.json"));
        Truncate(Path.Combine(half, "optimizer.safetensors"));
        string metrics = Path.Combine(folder, "metrics.jsonl");
        File.AppendAllText(metrics, """{"step":29,"loss":3.""");
        (FinishedRun run, Outcome outcome) = await Job.Tiny.ResumeAsync(folder);
        Assert.DoesNotContain("passed over", outcome.Error);
        Assert.Equal(21, run.Number("resumedFromStep"));
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
        Assert.False(Directory.Exists(half));
    }

    private static async Task ExpectRefusal(string folder, string[] arguments, string word)
    {
        string before = Contents(folder);
        Outcome outcome = await ProgramUnderTest.RunAsync(arguments);
        Assert.True(outcome.ExitCode is 1 or 2, outcome.ToString());
        outcome.ExpectError("passed over").ExpectError("error: ").ExpectError(word);
        Assert.DoesNotContain("   at ", outcome.Error);
        Assert.Equal(before, Contents(folder));
    }

    /// <summary>Every file below a folder with its hash.</summary>
    private static string Contents(string folder) => string.Join('\n', Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
        .Order(StringComparer.Ordinal)
        .Select(f => $"{Path.GetRelativePath(folder, f)} {Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(f)))}"));

    private static string Previous(string checkpoint) => FinishedRun.CheckpointsIn(Path.GetDirectoryName(Path.GetDirectoryName(checkpoint)!)!)[^2];

    private static void Truncate(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
    }

    /// <summary>Flips one bit so many bytes before the end, or after the start if negative.</summary>
    private static void Flip(string path, int fromEnd)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[fromEnd > 0 ? bytes.Length - fromEnd : -fromEnd] ^= 4;
        File.WriteAllBytes(path, bytes);
    }
}
