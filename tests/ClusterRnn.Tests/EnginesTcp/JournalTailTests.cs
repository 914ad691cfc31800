using ClusterRnn.Engines.Tcp.Experiments;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Protocol;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class JournalTailTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-tail-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Follows_from_epoch_to_epoch_and_waits_for_a_record_that_is_half_written()
    {
        var tail = new JournalTail(_folder);
        Assert.Empty(tail.Poll());
        using var journal = new JournalFiles(_folder);
        journal.Claim(1);
        Assert.Empty(tail.Poll());
        journal.Append(new EpochRecord(1, -1, 0), flush: false);
        journal.Append(new CheckpointRecord(20), flush: false);
        Assert.Equal([new EpochRecord(1, -1, 0), new CheckpointRecord(20)], tail.Poll());
        Assert.Empty(tail.Poll());

        long before = journal.Bytes;
        journal.Append(new CheckpointRecord(40), flush: false);
        string path = Path.Combine(_folder, "journal.1");
        byte[] whole = File.ReadAllBytes(path);
        string torn = Directory.CreateDirectory(Path.Combine(_folder, "torn")).FullName;
        File.WriteAllBytes(Path.Combine(torn, "journal.1"), whole[..^3]);
        var other = new JournalTail(torn);
        Assert.Equal(2, other.Poll().Count);
        File.WriteAllBytes(Path.Combine(torn, "journal.1"), whole);
        Assert.Equal([new CheckpointRecord(40)], other.Poll());
        Assert.True(journal.Bytes > before);

        journal.Claim(2);
        journal.Append(new EpochRecord(2, 1, journal.Bytes), flush: false);
        Assert.Equal([new CheckpointRecord(40), new EpochRecord(2, 1, 0)], tail.Poll());
    }
}
