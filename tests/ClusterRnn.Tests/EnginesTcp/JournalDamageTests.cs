// A disk that gives back other bytes than it was given: what was written around them still counts, and what can't be read is named.
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class JournalDamageTests : IDisposable
{
    private const int Steps = 6;

    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-journal-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void EveryFlippedBitIsNoticedAndCostsTheRecordItIsInAndNoOther()
    {
        long[] ends = Write(1, 0);
        byte[] whole = File.ReadAllBytes(PathOf(1));
        for (int place = (int)ends[0]; place < whole.Length; place += 3)
        {
            byte[] damaged = [.. whole];
            damaged[place] ^= (byte)(1 << (place % 8));
            File.WriteAllBytes(PathOf(1), damaged);
            JournalReading read = Read();
            int record = Array.FindIndex(ends, end => place < end);
            if (record == ends.Length - 1)
            {
                // The last one looks as if it were torn: whoever goes on decides that step again.
                Assert.Empty(read.Damages);
                Assert.Equal((Steps - 2, ends[^2]), (read.State!.Verdict!.Step, read.Bytes));
                continue;
            }

            DamagedRecord damage = Assert.Single(read.Damages);
            Assert.Equal((PathOf(1), ends[record - 1], ends[record] - ends[record - 1]), (damage.Journal, damage.Offset, damage.Count));
            Assert.Equal((Steps - 1, whole.Length), (read.State!.Verdict!.Step, read.Bytes));
            Assert.Equal(Steps - 1, Enumerable.Range(0, Steps).Count(step => read.State.Digests.TryGet(step, out _)));
        }

        File.WriteAllBytes(PathOf(1), whole);
        Assert.Empty(Read().Damages);
    }

    [Fact]
    public void AJournalThatALaterOneContinuesIsReadOnAsWell()
    {
        long[] ends = Write(1, 0);
        Write(2, Steps, new EpochRecord(2, 1, ends[^1]));
        Damage(1, (int)ends[2] + 9);
        JournalReading read = Read();
        Assert.Equal((2L, (2 * Steps) - 1L), (read.Epoch, read.State!.Verdict!.Step));
        Assert.Contains($"{PathOf(1)}: ", Assert.Single(read.Damages).What, StringComparison.Ordinal);
        Damage(2, 9);
        Assert.Contains(PathOf(2), Assert.Throws<TrainingException>(() => Read()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheLastRecordOfAJournalThatALaterOneContinuesIsNotTakenForATornOne()
    {
        long[] ends = Write(1, 0);
        Write(2, Steps, new EpochRecord(2, 1, ends[^1]));
        Assert.Empty(Read().Damages);
        Damage(1, (int)ends[^2] + 9);
        JournalReading read = Read();
        DamagedRecord damage = Assert.Single(read.Damages);
        Assert.Equal((PathOf(1), ends[^2], ends[^1] - ends[^2]), (damage.Journal, damage.Offset, damage.Count));
        Assert.Equal((2L, (2 * Steps) - 1L), (read.Epoch, read.State!.Verdict!.Step));
    }

    // Whoever claims the third epoch continues the first, and says how long that one is: what can't be read at its end is damage.
    [Theory]
    [InlineData(0)]
    [InlineData(5)] // a full disk took the beginning of the first record
    public void AnEpochInWhichNothingWasWrittenIsNotContinuedButTheOneBeforeIt(int torn)
    {
        long[] ends = Write(1, 0);
        File.WriteAllBytes(PathOf(2), new byte[torn]);
        using (var files = new JournalFiles(_folder))
        {
            JournalReading before = files.Read();
            Assert.Equal((2L, 1L, ends[^1]), (before.Epoch, before.Predecessor, before.Bytes));
            files.Claim(3);
            before = files.ReadBefore(3, before);
            Assert.Equal((2L, 1L, ends[^1]), (before.Epoch, before.Predecessor, before.Bytes));
            files.Append(new EpochRecord(3, before.Predecessor, before.Bytes), flush: true);
            files.Append(new VerdictRecord(new Verdict(3, Steps, default, default), Steps + 1, [7, 8]), flush: false);
        }

        Assert.Empty(Read().Damages);
        Damage(1, (int)ends[^2] + 9);
        JournalReading read = Read();
        DamagedRecord damage = Assert.Single(read.Damages);
        Assert.Equal((PathOf(1), ends[^2], ends[^1] - ends[^2]), (damage.Journal, damage.Offset, damage.Count));
        Assert.Equal((3L, 3L, (long)Steps), (read.Epoch, read.Predecessor, read.State!.Verdict!.Step));
    }

    [Fact]
    public void AJournalWithoutWhatALaterOneCountsOnIsRefused()
    {
        long[] ends = Write(1, 0);
        using (var files = new JournalFiles(_folder))
        {
            files.Claim(2);
            files.Append(new EpochRecord(2, 1, ends[^1]), flush: true);
            long begun = files.Bytes;
            files.Claim(3);
            files.Append(new EpochRecord(3, 2, begun), flush: true);
        }

        Assert.Equal((3L, Steps - 1L), (Read().Epoch, Read().State!.Verdict!.Step));
        byte[] whole = File.ReadAllBytes(PathOf(1));
        File.WriteAllBytes(PathOf(1), whole[..(int)ends[^2]]);
        Assert.Contains($"{PathOf(1)} has {ends[^2]} bytes", Assert.Throws<TrainingException>(() => Read()).Message, StringComparison.Ordinal);
        File.WriteAllBytes(PathOf(1), whole);
        Damage(2, 9); // its only record, which says how much of the first counts
        Assert.Contains($"{PathOf(2)}: ", Assert.Throws<TrainingException>(() => Read()).Message, StringComparison.Ordinal);
    }

    // What was written between the two looks by the one who had claimed the epoch is read, though its journal is then as long as the one before it.
    [Fact]
    public void AnEpochInWhichNothingWasWrittenIsLookedAtAgainAfterTheClaim()
    {
        using var first = new JournalFiles(_folder);
        using var second = new JournalFiles(_folder);
        using var third = new JournalFiles(_folder);
        first.Claim(1);
        first.Append(new EpochRecord(1, -1, 0), flush: true);
        second.Claim(2);
        JournalReading early = third.Read();
        second.Append(new EpochRecord(2, 1, first.Bytes), flush: true);
        third.Claim(3);
        JournalReading read = third.ReadBefore(3, early);
        Assert.Equal((1L, first.Bytes), (early.Predecessor, early.Bytes));
        Assert.Equal((2L, second.Bytes), (read.Predecessor, read.Bytes));
    }

    // A checkpoint that was still being written when the job went back is told of when the next epoch has been claimed.
    [Fact]
    public void WhatComesBeforeTheEpochOfANewJournalGoesNowhere()
    {
        using var files = new JournalFiles(_folder);
        Assert.Equal(0, files.Claim(1));
        files.Append(new EpochRecord(1, -1, 0), flush: false);
        long bytes = files.Bytes;
        Assert.Equal(bytes, files.Claim(2));
        files.Append(new CheckpointRecord(5), flush: true);
        Assert.Equal(0, files.Bytes);
        files.Append(new EpochRecord(2, 1, bytes), flush: false);
        files.Append(new CheckpointRecord(7), flush: true);
        Assert.Equal((2L, 7L), (files.Read().Epoch, files.Read().State!.CheckpointVersion));
    }

    private long[] Write(long epoch, int first, EpochRecord? begin = null)
    {
        using var files = new JournalFiles(_folder);
        files.Claim(epoch);
        var ends = new List<long>();
        IEnumerable<JournalRecord> steps = Enumerable.Range(first, Steps).Select(step => new VerdictRecord(new Verdict(epoch, step, default, default), (ulong)step + 1, [7, 8]));
        foreach (JournalRecord record in steps.Prepend(begin ?? new EpochRecord(epoch, -1, 0)))
        {
            files.Append(record, flush: false);
            ends.Add(files.Bytes);
        }

        return [.. ends];
    }

    private JournalReading Read()
    {
        using var files = new JournalFiles(_folder);
        return files.Read();
    }

    private void Damage(long epoch, int place)
    {
        byte[] bytes = File.ReadAllBytes(PathOf(epoch));
        bytes[place] ^= 4;
        File.WriteAllBytes(PathOf(epoch), bytes);
    }

    private string PathOf(long epoch) => Path.Combine(_folder, $"journal.{epoch}");
}
