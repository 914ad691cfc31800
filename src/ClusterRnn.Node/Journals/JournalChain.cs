// How the journals of a job are read: from the highest epoch back to the first, by what each says of its predecessor.
//
// The first record of a journal names the epoch it continues and how many bytes of that one count. What a coordinator that was
// replaced wrote after that does not count, whoever reads it later. An epoch that was claimed by somebody who then died before he
// had written anything is never continued, but the one before it: only so is it known how long that one is, and what can't be read
// at its end is told from a record that was torn. So that nobody acts on such a record, whoever claims an epoch
// reads its predecessor after the claim, and whoever has written a record looks whether the next epoch is claimed before anyone is
// told: either the record is among those that count, or its writer ends.
//
// Bytes that the disk has changed are passed over, if whole records follow or a later journal counts on them, and named. Without
// its first record a journal is of no use: nobody knows what it continues. Nor is one that is shorter than a later one says.
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Training;

namespace ClusterRnn.Node.Journals;

/// <summary>Where journals lie, one file an epoch.</summary>
public interface IJournalFolder
{
    /// <summary>The epochs of which there is a journal, in any order.</summary>
    IEnumerable<long> Epochs { get; }

    /// <summary>What to call a journal in messages.</summary>
    string NameOf(long epoch);

    /// <summary>The bytes of a journal.</summary>
    /// <exception cref="IOException">It can't be read.</exception>
    byte[] Read(long epoch);
}

/// <summary>What the journals of a folder say.</summary>
/// <param name="State">Their records, folded; null when there are none.</param>
/// <param name="Epoch">The highest epoch that is claimed, 0 when there is none.</param>
/// <param name="Predecessor">The epoch of the last journal with a record in it, which the next one continues; -1 when there is none.</param>
/// <param name="Bytes">How many bytes of that journal count: those before a torn tail.</param>
/// <param name="Damages">What can't be read, oldest first.</param>
public sealed record JournalReading(JournalState? State, long Epoch, long Predecessor, long Bytes, IReadOnlyList<DamagedRecord> Damages);

/// <summary>Reads the chain of journals.</summary>
public static class JournalChain
{
    /// <summary>Reads and folds the chain that ends with the highest epoch.</summary>
    /// <param name="folder">The journals.</param>
    /// <param name="below">Journals of this epoch and later ones are left out.</param>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public static JournalReading Read(IJournalFolder folder, long below = long.MaxValue)
    {
        (IReadOnlyList<JournalRecord> records, long last, long predecessor, long bytes) = ReadChain(folder, below);
        try
        {
            JournalState state = JournalState.Of(records);
            return new JournalReading(state.Records > 0 ? state : null, last, predecessor, bytes, [.. records.OfType<DamagedRecord>()]);
        }
        catch (ArgumentException error)
        {
            throw new TrainingException($"{folder?.NameOf(last)} and the journals before it contradict each other: {error.Message}", error);
        }
    }

    /// <summary>Every record of that chain that counts, oldest first, whatever it says.</summary>
    /// <param name="folder">The journals.</param>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public static IReadOnlyList<JournalRecord> ReadRecords(IJournalFolder folder) => ReadChain(folder, long.MaxValue).Records;

    private static (IReadOnlyList<JournalRecord> Records, long Epoch, long Predecessor, long Bytes) ReadChain(IJournalFolder folder, long below)
    {
        ArgumentNullException.ThrowIfNull(folder);
        long[] epochs = [.. folder.Epochs.Where(epoch => epoch < below).Order()];
        long last = epochs.Length == 0 ? 0 : epochs[^1];
        var chain = new Stack<List<JournalRecord>>();
        long epoch = last, predecessor = -1, bytes = 0, count = long.MaxValue;
        while (epoch > 0)
        {
            (List<JournalRecord> records, long whole) = ReadFile(folder, epoch, count);
            (predecessor, bytes) = predecessor < 0 && records.Count > 0 ? (epoch, whole) : (predecessor, bytes);
            chain.Push(records);
            if (records.Count > 0 && records[0] is DamagedRecord damage)
            {
                throw new TrainingException($"{damage.What}, and without its first record nobody knows which journal it continues. "
                    + "Move the journals away to go on from the last checkpoint.");
            }

            if (records.Count > 0 && records[0] is not EpochRecord)
            {
                throw new TrainingException($"{folder.NameOf(epoch)} does not begin with its epoch: it is not a journal of this program.");
            }

            // A coordinator that died before its first record has claimed an epoch and done nothing in it.
            (epoch, count) = records.Count == 0 ? (epochs.LastOrDefault(e => e < epoch), long.MaxValue)
                : ((EpochRecord)records[0]).Predecessor is > 0 and var before ? (before, ((EpochRecord)records[0]).AdoptedBytes) : (0, 0);
        }

        return ([.. chain.SelectMany(records => records)], last, predecessor, bytes);
    }

    private static (List<JournalRecord> Records, long Bytes) ReadFile(IJournalFolder folder, long epoch, long count)
    {
        byte[] bytes;
        try
        {
            bytes = folder.Read(epoch);
        }
        catch (IOException error)
        {
            throw new TrainingException($"{folder.NameOf(epoch)} can't be read, and a later journal continues it: {error.Message}", error);
        }

        if (count < long.MaxValue && bytes.Length < count)
        {
            throw new TrainingException($"{folder.NameOf(epoch)} has {bytes.Length} bytes, and a later journal continues it after {count}: "
                + "nobody knows what the others recorded. Move the journals away to go on from the last checkpoint.");
        }

        var records = new List<JournalRecord>();
        ReadOnlySpan<byte> rest = bytes.AsSpan(0, (int)Math.Min(count, bytes.Length));
        try
        {
            int length = rest.Length;
            while (true)
            {
                while (JournalCodec.TryRead(ref rest, out JournalRecord? record))
                {
                    records.Add(record!);
                }

                int offset = length - rest.Length;
                if (JournalCodec.SkipDamage(ref rest) is not (> 0 and var damaged))
                {
                    break;
                }

                records.Add(new DamagedRecord(folder.NameOf(epoch), offset, damaged));
            }

            // All that a later journal adopted was whole then: what can't be read at its end is damage, not a record that was torn.
            if (count < long.MaxValue && rest.Length > 0)
            {
                records.Add(new DamagedRecord(folder.NameOf(epoch), length - rest.Length, rest.Length));
                rest = default;
            }
        }
        catch (WireException error)
        {
            throw new TrainingException($"{folder.NameOf(epoch)} is not a journal of this version: {error.Message}", error);
        }

        return (records, Math.Min(count, bytes.Length) - rest.Length);
    }
}
