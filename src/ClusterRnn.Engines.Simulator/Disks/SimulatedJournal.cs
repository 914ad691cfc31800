// The coordinator's journals on a simulated disk: the same bytes and the same chain as on a real one, written by
// JournalCodec and read by JournalChain.
using System.Buffers;
using System.Globalization;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Simulator.Disks;

/// <summary>Journals, one file an epoch.</summary>
/// <param name="disk">Where they lie.</param>
/// <param name="planted">A fault to plant, in tests.</param>
internal sealed class SimulatedJournal(SimulatedDisk disk, PlantedFault planted = PlantedFault.None) : IJournalFolder
{
    /// <summary>How the names of journals begin.</summary>
    public const string Prefix = "journal.";

    /// <summary>How long the first record of a journal is, without which it is of no use.</summary>
    public static readonly int FirstRecordBytes = BytesOf(new EpochRecord(1, 0, 0));

    private readonly ArrayBufferWriter<byte> _buffer = new(1024);
    private long _open = -1;

    /// <summary>Bytes written to the open journal.</summary>
    public long Bytes => _open < 0 ? 0 : disk.LengthOf(NameOf(_open));

    /// <summary>Whether another coordinator has claimed the epoch after the open journal's: nothing that is written here now is read by anyone.</summary>
    public bool IsOvertaken => planted != PlantedFault.OvertakenGoesOn && _open >= 0 && disk.Exists(NameOf(_open + 1));

    /// <inheritdoc/>
    public IEnumerable<long> Epochs => disk.Names.Where(name => name.StartsWith(Prefix, StringComparison.Ordinal))
        .Select(name => long.Parse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture));

    /// <inheritdoc/>
    public string NameOf(long epoch) => Prefix + epoch.ToString(CultureInfo.InvariantCulture);

    /// <inheritdoc/>
    public byte[] Read(long epoch) => disk.Read(NameOf(epoch));

    private static int BytesOf(JournalRecord record)
    {
        var buffer = new ArrayBufferWriter<byte>();
        JournalCodec.Write(record, buffer);
        return buffer.WrittenCount;
    }

    /// <summary>Claims an epoch by creating its journal.</summary>
    /// <returns>False when somebody else has claimed it.</returns>
    public bool TryClaim(long epoch)
    {
        if (!disk.TryCreate(NameOf(epoch)))
        {
            return false;
        }

        if (planted != PlantedFault.JournalNotFlushedAtClaim)
        {
            disk.FlushNames();
        }

        // The new journal says how many bytes of the one before count: they must not be lost to a failure that spares the new one.
        foreach (long before in Epochs.Where(before => before < epoch && planted != PlantedFault.PredecessorNotFlushed))
        {
            disk.Flush(NameOf(before));
        }

        _open = epoch;
        return true;
    }

    /// <summary>Appends a record to the journal that was claimed last.</summary>
    /// <exception cref="IOException">The disk is full, or another coordinator has claimed the next epoch.</exception>
    public void Append(JournalRecord record)
    {
        if (IsOvertaken)
        {
            throw new IOException($"epoch {_open + 1} is claimed: another coordinator has taken over");
        }

        _buffer.ResetWrittenCount();
        JournalCodec.Write(record, _buffer);
        disk.Append(NameOf(_open), _buffer.WrittenSpan);
        if (record is not VerdictRecord && !(record is EpochRecord && planted == PlantedFault.JournalNotFlushedAtClaim))
        {
            disk.Flush(NameOf(_open));
        }
    }
}
