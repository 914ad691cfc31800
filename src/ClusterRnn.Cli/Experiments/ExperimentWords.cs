using System.Globalization;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Cli.Experiments;

/// <summary>What an experiment came to in plain words, the same on the console and in the report.</summary>
internal static class ExperimentWords
{
    /// <summary>A time of a fault: "12 ms", "3.4 s".</summary>
    public static string Time(double seconds) => seconds switch
    {
        < 0.0995 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1000:0} ms"),
        < 9.95 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.00} s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.0} s"),
    };

    /// <summary>A share: "83 %".</summary>
    public static string Share(double? share) => share is { } value ? string.Create(CultureInfo.InvariantCulture, $"{value * 100:0} %") : "–";

    /// <summary>How many of a thing: "1 run", "2 runs".</summary>
    public static string Many(long count, string thing) => string.Create(CultureInfo.InvariantCulture, $"{count:#,0} {thing}{(count == 1 ? "" : "s")}");

    /// <summary>The verdict's headline.</summary>
    public static string Headline(ExperimentFindings findings)
    {
        int runs = findings.Runs.Count;
        if (findings.Control.Run.Failure is not null)
        {
            return "The control run failed, so there is nothing to compare with.";
        }

        int failed = findings.Runs.Count(run => run.Run.Failure is not null);
        if (failed > 0)
        {
            return runs == 1 ? "The run with faults did not end." : $"{failed} of {runs} runs with faults did not end.";
        }

        if (findings.SameAnswers < runs)
        {
            return runs == 1 ? "The run with faults came to another model than the undisturbed one." : $"{runs - findings.SameAnswers} of {runs} runs with faults came to another model than the undisturbed one.";
        }

        if (findings.Runs.Any(run => run.Run.Ledger is { FirstOffence: not null }))
        {
            return "The model is the same, but not every sample counted exactly once.";
        }

        if (findings.Runs.Any(run => run.Faults.Count == 0))
        {
            return "Training was over before any fault came, which shows nothing.";
        }

        return runs == 1
            ? "The cluster was hit and came to the same model as undisturbed, bit for bit."
            : $"The cluster was hit in {runs} runs and came to the same model as undisturbed every time, bit for bit.";
    }

    /// <summary>The verdict in sentences.</summary>
    public static IReadOnlyList<string> Sentences(ExperimentFindings findings)
    {
        var sentences = new List<string>();
        if (findings.Control.Run.Failure is { } control)
        {
            sentences.Add($"The control run failed: {control}.");
        }

        foreach (RunFinding run in findings.Runs.Where(r => r.Run.Failure is not null))
        {
            sentences.Add($"{Capital(run.Run.Name)} failed: {run.Run.Failure}.");
        }

        sentences.AddRange(findings.Runs.Where(r => r.Run.Ledger?.FirstOffence is not null).Select(r => $"{Capital(r.Run.Name)}: {r.Run.Ledger!.FirstOffence}."));
        int faults = findings.Runs.Sum(run => run.Faults.Count), noticed = findings.Runs.Sum(run => run.Faults.Count(f => f.NoticedAfter is not null));
        if (faults > 0)
        {
            sentences.Add($"{Many(faults, "fault")} {(faults == 1 ? "was" : "were")} played; the cluster noticed {(noticed == faults ? faults == 1 ? "it" : "every one" : noticed == 0 ? "none, because none held it up for long enough" : $"{noticed}, and bore the rest without having to")}.");
        }

        if (findings.Slowest is { } slowest)
        {
            sentences.Add($"Training stood still for {Time(slowest.Fault.LongestPause)} at most: {slowest.Fault.Fault.Action.What}{(findings.Runs.Count > 1 ? $" ({slowest.Run.Run.Name})" : "")}.");
        }

        RunFinding[] counted = [.. findings.Runs.Where(run => run.Run.Ledger is not null)];
        if (counted.Length > 0)
        {
            long samples = counted.Sum(run => run.Run.Ledger!.Samples);
            sentences.Add($"Of {Many(samples, "sample")} {(findings.LostSamples == 0 ? "none was lost" : $"{findings.LostSamples} were lost")} and {(findings.RepeatedSamples == 0 ? "none counted twice" : $"{findings.RepeatedSamples} counted more than once")}.");
        }

        int missed = findings.Runs.Sum(run => run.Run.NotPlayed.Count);
        if (missed > 0)
        {
            sentences.Add($"{Many(missed, "fault")} came after the end of the training and {(missed == 1 ? "was" : "were")} not played: train for longer, or play {(missed == 1 ? "it" : "them")} earlier.");
        }

        return sentences;
    }

    /// <summary>How a fault was noticed, for a table's cell.</summary>
    public static string Noticed(FaultFinding finding) => finding.NoticedAfter is { } after ? Time(after) : "not noticed";

    /// <summary>When training went on, for a table's cell.</summary>
    public static string Training(FaultFinding finding) => finding.TrainingAfter switch
    {
        null => "never",
        0 => "did not stop",
        { } after => Time(after),
    };

    /// <summary>The first letter in upper case.</summary>
    public static string Capital(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..];
}
