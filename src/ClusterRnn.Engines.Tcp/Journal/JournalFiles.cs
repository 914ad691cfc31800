// The coordinator's journal on disk: one file an epoch, `journal.<epoch>`, created exclusively, so that an epoch is claimed
// once. Its first record names the epoch it continues and how many bytes of that one count.
using System.Buffers;
using System.Globalization;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Training;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Engines.Tcp.Journal;

/// <summary>What the journals of a folder say.</summary>
/// <param name="State">Their records, folded; null when there are none.</param>
/// <param name="Epoch">The epoch of the last one, 0 when there is none.</param>
/// <param name="Bytes">How many of its bytes count: those before a torn tail.</param>
public sealed record JournalReading(JournalState? State, long Epoch, long Bytes);

/// <summary>An open journal.</summary>
public sealed class JournalFiles : IDisposable
{
    private const string Prefix = "journal.";

    private readonly string _folder;
    private readonly ArrayBufferWriter<byte> _buffer = new(4096);
    private FileStream? _file;

    /// <summary>The journals of a folder, which need not be there.</summary>
    public JournalFiles(string folder) => _folder = folder;

    /// <summary>The journals of a run, beside its checkpoints; null for one that keeps none.</summary>
    public static JournalFiles? Of(EngineRequest request)
        => request?.Checkpoints is { } store ? new JournalFiles(FolderOf(Path.GetDirectoryName(store.Folder)!)) : null;

    /// <summary>Where the journals of the run in a folder lie.</summary>
    public static string FolderOf(string run) => Path.Combine(run, "journal");

    /// <summary>Bytes written to the open journal.</summary>
    public long Bytes => _file?.Position ?? 0;

    /// <summary>Reads the chain that ends with the highest epoch.</summary>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public JournalReading Read()
    {
        (List<JournalRecord> records, long last, long bytes) = ReadChain();
        try
        {
            JournalState state = JournalState.Of(records);
            return new JournalReading(state.Records > 0 ? state : null, last, bytes);
        }
        catch (ArgumentException error)
        {
            throw new TrainingException($"The journals in {_folder} contradict each other: {error.Message}", error);
        }
    }

    /// <summary>Every record of that chain that counts, oldest first, whatever it says.</summary>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public IReadOnlyList<JournalRecord> ReadRecords() => ReadChain().Records;

    /// <summary>Claims an epoch by creating its journal, which is written from here on.</summary>
    /// <exception cref="TrainingException">Somebody else has claimed it, or the folder can't be written to.</exception>
    public void Claim(long epoch)
    {
        _file?.Dispose();
        _file = null;
        try
        {
            Directory.CreateDirectory(_folder);
            _file = new FileStream(PathOf(epoch), FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (IOException error) when (File.Exists(PathOf(epoch)))
        {
            throw new TrainingException($"{PathOf(epoch)} is there already: another coordinator runs this job. End it, or give this one a run folder of its own.", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TrainingException($"The journal {PathOf(epoch)} can't be written: {error.Message}", error);
        }
    }

    /// <summary>Appends a record.</summary>
    /// <param name="record">The record.</param>
    /// <param name="flush">Whether it must be on the disk when this returns; else it survives the process, not the machine.</param>
    /// <exception cref="IOException">The disk is full, or gone.</exception>
    public void Append(JournalRecord record, bool flush)
    {
        if (_file is null)
        {
            return;
        }

        _buffer.ResetWrittenCount();
        JournalCodec.Write(record, _buffer);
        _file.Write(_buffer.WrittenSpan);
        if (flush)
        {
            _file.Flush(flushToDisk: true);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    private string PathOf(long epoch) => Path.Combine(_folder, Prefix + epoch.ToString(CultureInfo.InvariantCulture));

    private IEnumerable<long> Epochs() => !Directory.Exists(_folder) ? [] : Directory.EnumerateFiles(_folder, Prefix + "*")
        .Select(path => long.TryParse(Path.GetFileName(path).AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long epoch) ? epoch : 0)
        .Where(epoch => epoch > 0);

    private (List<JournalRecord> Records, long Last, long Bytes) ReadChain()
    {
        long last = Epochs().DefaultIfEmpty(0).Max();
        var chain = new Stack<List<JournalRecord>>();
        long epoch = last, bytes = 0, count = long.MaxValue;
        while (epoch > 0)
        {
            (List<JournalRecord> records, long whole) = ReadFile(epoch, count);
            bytes = epoch == last ? whole : bytes;
            chain.Push(records);
            if (records.Count > 0 && records[0] is not EpochRecord)
            {
                throw new TrainingException($"{PathOf(epoch)} does not begin with its epoch: it is not a journal of this program.");
            }

            // A coordinator that died before its first record has claimed an epoch and done nothing in it.
            (epoch, count) = records.Count == 0 ? (Epochs().Where(e => e < epoch).DefaultIfEmpty(0).Max(), long.MaxValue)
                : ((EpochRecord)records[0]).Predecessor is > 0 and var before ? (before, ((EpochRecord)records[0]).AdoptedBytes) : (0, 0);
        }

        return ([.. chain.SelectMany(records => records)], last, bytes);
    }

    private (List<JournalRecord> Records, long Bytes) ReadFile(long epoch, long count)
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(PathOf(epoch));
        }
        catch (IOException error)
        {
            throw new TrainingException($"{PathOf(epoch)} can't be read, and a later journal continues it: {error.Message}", error);
        }

        var records = new List<JournalRecord>();
        ReadOnlySpan<byte> rest = bytes.AsSpan(0, (int)Math.Min(count, bytes.Length));
        try
        {
            while (JournalCodec.TryRead(ref rest, out JournalRecord? record))
            {
                records.Add(record!);
            }
        }
        catch (WireException error)
        {
            throw new TrainingException($"{PathOf(epoch)} is not a journal of this version: {error.Message}", error);
        }

        return (records, Math.Min(count, bytes.Length) - rest.Length);
    }
}
