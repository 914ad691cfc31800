// One coordinator takes over from another that still runs: what the older one has written by then is read, and what it writes after that nobody is told of.
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class JournalTakeoverTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-journal-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void WhatIsWrittenBetweenReadingAndClaimingCounts()
    {
        using var older = new JournalFiles(_folder);
        using var newer = new JournalFiles(_folder);
        older.Claim(1);
        older.Append(new EpochRecord(1, -1, 0), flush: true);
        older.Append(Step(0), flush: false);
        JournalReading early = newer.Read();
        older.Append(Step(1), flush: false);
        newer.Claim(2);
        JournalReading read = newer.ReadBefore(2, early);
        Assert.Equal((0L, 1L), (early.State!.Verdict!.Step, read.State!.Verdict!.Step));
        Assert.Equal((1L, older.Bytes), (read.Predecessor, read.Bytes));
        Assert.Same(read, newer.ReadBefore(2, read));
    }

    [Fact]
    public void WhoHasBeenOvertakenCommitsAndSavesNothingMore()
    {
        using var older = new JournalFiles(_folder);
        using var newer = new JournalFiles(_folder);
        older.Claim(1);
        older.Append(new EpochRecord(1, -1, 0), flush: true);
        older.Append(Step(0), flush: false);
        older.ThrowIfOvertaken();
        long counted = older.Bytes;
        newer.Claim(2);
        string expected = Path.Combine(_folder, "journal.2");
        Assert.Contains(expected, Assert.Throws<TrainingException>(() => older.Append(Step(1), flush: false)).Message, StringComparison.Ordinal);
        Assert.Contains(expected, Assert.Throws<TrainingException>(older.ThrowIfOvertaken).Message, StringComparison.Ordinal);
        Assert.Equal(counted, older.Bytes);
        newer.Append(new EpochRecord(2, 1, counted), flush: true);
        newer.Append(Step(1), flush: false);
        Assert.Equal([0L, 1L], newer.ReadRecords().OfType<VerdictRecord>().Select(record => record.Verdict.Step));
        Assert.True(newer.Claim(3) > 0);
        newer.ThrowIfOvertaken(); // its own next epoch, not another coordinator's
        Assert.Throws<TrainingException>(() => older.Claim(2)); // to go back to a checkpoint
        Assert.Throws<TrainingException>(older.ThrowIfOvertaken); // it may not end the job either
    }

    private static VerdictRecord Step(long step) => new(new Verdict(1, step, default, default), (ulong)step + 1, [7, 8]);
}
