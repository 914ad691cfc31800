// A ledger is held against its data. The digests in these journals come from the shards' computer, as a worker's do.
using ClusterRnn.Cli;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Tests.Cli;
using ClusterRnn.Tests.Node;
using ClusterRnn.Tests.Training;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class LedgerTests
{
    private const int Steps = 20;

    private const string Windows = """
        data: { source: seasonal, rows: 150, window: 12, validation: 0.1, test: 0.2, season: 12 }
        model: { layers: [{ type: lstm, units: 4, returnSequences: false }, { type: dense, units: 1 }] }
        batch: { size: 16, shards: 5 }
        stop: { epochs: 3 }
        """;

    private static List<JournalRecord> Journal(TrainingJob job, int steps = Steps, params int[] cuts)
    {
        List<JournalRecord> records = [new EpochRecord(1, -1, 0)];
        using var trainer = new SmallTrainer(job, cuts: cuts);
        for (int step = 0; step < steps; step++)
        {
            trainer.Step();
            records.Add(Verdict(step, 100 + (ulong)step, [.. trainer.Reports.Select(report => report.RowsDigest)]));
        }

        return records;
    }

    private static VerdictRecord Verdict(long step, ulong digest, ulong[] rows, VerdictKind kind = VerdictKind.Apply)
        => new(new Verdict(1, step, new Decision(kind, 1, 1, 0.1, step, null), default), digest, rows);

    private static TrainingJob WindowJob() => ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(Windows, "windows").Value, ".").Job;

    [Fact]
    public void A_clean_ledger_of_streams_passes()
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        LedgerReport report = Ledger.Verify(Journal(job), job, 0, Steps);
        Assert.True(report.IsClean, report.FirstOffence);
        Assert.Equal((Steps, Steps / job.Train.StepsPerPass), (report.Steps, report.WholePasses));
        Assert.True(report.WholePasses >= 2);
        Assert.True(report.Targets > report.WholePasses * job.Train.TargetsPerPass);
    }

    [Fact]
    public void A_clean_ledger_of_shuffled_windows_passes()
    {
        TrainingJob job = WindowJob();
        int steps = (int)(2 * job.Train.StepsPerPass);
        LedgerReport report = Ledger.Verify(Journal(job, steps), job, 0, steps);
        Assert.True(report.IsClean, report.FirstOffence);
        Assert.Equal((2, 2 * job.Train.TargetsPerPass), (report.WholePasses, report.Targets));
        Assert.NotEqual(0, job.Train.TargetsPerPass % job.Train.BatchRows); // the last batch of a pass has empty rows
    }

    [Fact]
    public void Shards_without_rows_have_one_digest_however_they_are_computed()
    {
        TrainingJob job = NodeJobs.Text(rows: 3, shards: 5, steps: Steps + 1);
        foreach (int[] cuts in new int[][] { [], [1, 2, 3, 4], [2] })
        {
            LedgerReport report = Ledger.Verify(Journal(job, 4, cuts), job);
            Assert.True(report.IsClean, report.FirstOffence);
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(7, 4)]
    public void A_changed_digest_is_named(int step, int shard)
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        List<JournalRecord> records = Journal(job);
        ((VerdictRecord)records[step + 1]).RowDigests[shard] ^= 1;
        ((VerdictRecord)records[^1]).RowDigests[0] ^= 1;
        LedgerReport report = Ledger.Verify(records, job);
        Assert.Equal((2, 0, 0), (report.DifferingShards, report.LostSteps, report.RepeatedSteps));
        Assert.Contains($"step {step}, shard {shard} ", report.FirstOffence, StringComparison.Ordinal);
    }

    [Fact]
    public void Digests_of_another_seeds_order_differ()
    {
        TrainingJob job = WindowJob();
        LedgerReport report = Ledger.Verify(Journal(job, 3), ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(Windows + "\nseed: 2", "windows").Value, ".").Job);
        Assert.Equal(15, report.DifferingShards);
    }

    [Fact]
    public void A_lost_step_is_named_in_the_middle_and_at_the_end()
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        List<JournalRecord> records = Journal(job);
        records.RemoveAt(6);
        LedgerReport report = Ledger.Verify(records, job);
        Assert.Equal((1, job.Train.BatchRows, 0), (report.LostSteps, report.LostSamples, report.RepeatedSteps));
        Assert.StartsWith("step 5 is lost", report.FirstOffence, StringComparison.Ordinal);
        report = Ledger.Verify(Journal(job), job, 0, Steps + 2);
        Assert.Equal(2, report.LostSteps);
        Assert.StartsWith($"step {Steps} is lost", report.FirstOffence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_repeated_step_is_named()
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        List<JournalRecord> records = Journal(job);
        records.Insert(9, records[8]);
        LedgerReport report = Ledger.Verify(records, job);
        Assert.Equal((0, 1, job.Train.BatchRows), (report.LostSteps, report.RepeatedSteps, report.RepeatedSamples));
        Assert.StartsWith("step 7 is repeated", report.FirstOffence, StringComparison.Ordinal);
    }

    [Fact]
    public void After_a_rollback_only_what_was_executed_again_counts()
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        List<JournalRecord> clean = Journal(job);
        List<JournalRecord> records = [.. clean[..13], new RollbackRecord(2, 6, "a server was lost"), .. clean[7..]];
        LedgerReport report = Ledger.Verify(records, job, 0, Steps);
        Assert.True(report.IsClean, report.FirstOffence);
        Assert.Equal((1, 6, Steps), (report.Rollbacks, report.StepsAgain, report.Steps));

        // What the rollback undid and nobody executed again is lost.
        report = Ledger.Verify([.. clean[..13], new RollbackRecord(2, 6, "")], job, 0, 12);
        Assert.Equal((6, 6), (report.Steps, report.LostSteps));

        // A step that came to something else the second time.
        var other = (VerdictRecord)records[^12];
        records[^12] = other with { Digest = 1 };
        report = Ledger.Verify(records, job);
        Assert.Equal(1, report.DifferingAgain);
        Assert.StartsWith($"step {other.Verdict.Step} came to ", report.FirstOffence, StringComparison.Ordinal);
    }

    // Steps of a course that the policy began come to something else than before it, and again when the job is back before it.
    [Fact]
    public void Another_course_comes_to_something_else()
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        List<JournalRecord> clean = Journal(job);
        IEnumerable<JournalRecord> otherwise = clean[7..13].Select(record => record is VerdictRecord step ? step with { Digest = step.Digest ^ 1 } : record);
        JournalRecord[] course = [.. clean[..13], new RollbackRecord(2, 6, "not finite", new byte[] { 1 }), .. otherwise];
        LedgerReport report = Ledger.Verify([.. course, new RollbackRecord(3, 4, "a server was lost"), .. clean[5..]], job, 0, Steps);
        Assert.True(report.IsClean, report.FirstOffence);
        Assert.Equal((2, 0), (report.Rollbacks, report.DifferingAgain));
        report = Ledger.Verify([.. course, new RollbackRecord(3, 7, "a server was lost"), .. clean[8..]], job, 0, Steps); // without leaving the course
        Assert.True(report.DifferingAgain > 0);
    }

    [Fact]
    public void An_adopted_verdict_is_committed_and_a_stop_is_not()
    {
        TrainingJob job = NodeJobs.Text(steps: Steps + 1);
        List<JournalRecord> records = Journal(job);
        records[4] = Verdict(3, 0, []);
        records.Add(Verdict(Steps, 7, [], VerdictKind.Stop));
        LedgerReport report = Ledger.Verify(records, job);
        Assert.True(report.IsClean, report.FirstOffence);
        Assert.Equal((Steps, 1), (report.Steps, report.UnrecordedSteps));
    }

    [Fact]
    public void The_command_reads_a_runs_folder_and_its_exit_code_tells()
    {
        string folder = Directory.CreateTempSubdirectory("clusterrnn-ledger-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "config.yaml"), Windows);
            (int code, _, string error) = Run(folder);
            Assert.Equal(ExitCode.Usage, code);
            Assert.Contains("--engine tcp", error, StringComparison.Ordinal);
            List<JournalRecord> records = Journal(WindowJob(), 9);
            using (var files = new JournalFiles(JournalFiles.FolderOf(folder)))
            {
                files.Claim(1);
                records.ForEach(record => files.Append(record, flush: false));
            }

            (code, string text, error) = Run(folder, "--end", "9");
            Assert.Equal((ExitCode.Success, ""), (code, error));
            Assert.Contains("0 samples, 0 steps", text, StringComparison.Ordinal);
            (code, _, error) = Run(folder, "--end", "10");
            Assert.Equal(ExitCode.Failed, code);
            Assert.Contains("step 9 is lost", error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static (int Code, string Out, string Error) Run(string folder, params string[] more)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [new SmallEngine()]).RunAsync(["verify-ledger", folder, .. more]).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }
}
