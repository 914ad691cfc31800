// The coordinator's journal on disk: one file an epoch, `journal.<epoch>`, created exclusively, so that an epoch is claimed
// once. Its first record names the epoch it continues and how many bytes of that one count.
using System.Buffers;
using System.Globalization;
using ClusterRnn.Node;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Engines.Tcp.Journal;

/// <summary>An open journal.</summary>
public sealed class JournalFiles : IJournalFolder, IDisposable
{
    private const string Prefix = "journal.";

    private readonly string _folder;
    private readonly ArrayBufferWriter<byte> _buffer = new(4096);
    private readonly Lock _gate = new(); // a rollback claims its epoch beside the actor
    private FileStream? _file;
    private long _epoch; // the last one that was claimed
    private bool _isNew; // claimed, and nothing written yet

    /// <summary>The journals of a folder, which need not be there.</summary>
    public JournalFiles(string folder) => _folder = folder;

    /// <summary>The journals of a run, beside its checkpoints; null for one that keeps none.</summary>
    public static JournalFiles? Of(EngineRequest request)
        => request?.Checkpoints is { } store ? new JournalFiles(FolderOf(Path.GetDirectoryName(store.Folder)!)) : null;

    /// <summary>The first step that a run has not committed yet: after the last verdict in its journal, or where its checkpoint is.</summary>
    /// <exception cref="TrainingException">A journal is missing, is not one of this version, or is of another number of servers or another model.</exception>
    public static long FirstStep(EngineRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        long saved = request.ResumeFrom?.Info.Version ?? 0;
        using JournalFiles? journal = Of(request);
        JournalState? state = journal?.Read().State;
        if (state?.Map is { } map)
        {
            RangeMap cut = ProtocolJob.MapOf(request.Job.Job, request.Servers);
            if (map.Ranges.Length != cut.Ranges.Length || map.BlockCount != cut.BlockCount)
            {
                throw new TrainingException(
                    $"{journal!._folder}: expected a journal of {cut.Ranges.Length} server(s) that hold {cut.BlockCount} blocks of parameters, found one of "
                    + $"{map.Ranges.Length} that hold {map.BlockCount}: go on with the model and the number of servers the run began with (--servers {map.Ranges.Length}), or start a new run.");
            }
        }

        return state?.Verdict is { } last ? Math.Max(saved, last.Step + 1) : saved;
    }

    /// <summary>Where the journals of the run in a folder lie.</summary>
    public static string FolderOf(string run) => Path.Combine(run, "journal");

    /// <summary>Bytes written to the open journal.</summary>
    public long Bytes => _file?.Position ?? 0;

    /// <summary>Reads the chain that ends with the highest epoch.</summary>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public JournalReading Read() => JournalChain.Read(this);

    /// <summary>Reads what came before an epoch that was claimed: from the claim on nobody acts on what a predecessor writes.</summary>
    /// <param name="epoch">The epoch.</param>
    /// <param name="earlier">What was read before the claim; it is read again only if something was written since.</param>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public JournalReading ReadBefore(long epoch, JournalReading earlier)
    {
        ArgumentNullException.ThrowIfNull(earlier);
        bool isSame = earlier.Epoch == 0 || (earlier.Epoch == earlier.Predecessor && new FileInfo(PathOf(earlier.Epoch)).Length == earlier.Bytes);
        return isSame ? earlier : JournalChain.Read(this, epoch);
    }

    /// <summary>Ends what may not be done once another coordinator has claimed the epoch after the open journal's.</summary>
    /// <exception cref="TrainingException">It has.</exception>
    public void ThrowIfOvertaken()
    {
        lock (_gate)
        {
            if (_epoch > 0 && File.Exists(PathOf(_epoch + 1)))
            {
                throw new TrainingException(
                    $"{PathOf(_epoch + 1)} is there, and this coordinator's epoch is {_epoch}: another coordinator has taken over this job, so this one ends.");
            }
        }
    }

    /// <summary>Every record of that chain that counts, oldest first, whatever it says.</summary>
    /// <exception cref="TrainingException">A file is missing, or is not one of this version.</exception>
    public IReadOnlyList<JournalRecord> ReadRecords() => JournalChain.ReadRecords(this);

    /// <summary>Claims an epoch by creating its journal, which is written from here on.</summary>
    /// <returns>How many bytes were written to the journal before; later ones went nowhere.</returns>
    /// <exception cref="TrainingException">Somebody else has claimed it, or the folder can't be written to.</exception>
    public long Claim(long epoch)
    {
        lock (_gate)
        {
            long before = Bytes;
            _file?.Dispose();
            _file = null;
            try
            {
                Directory.CreateDirectory(_folder);
                FlushPredecessors(epoch);
                _file = Create(epoch);
                (_epoch, _isNew) = (epoch, true);
                new CheckpointFiles().FlushFolder(_folder); // or a loss of power could take the name away, and the epoch be claimed again
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                throw new TrainingException($"The journal {PathOf(epoch)} can't be written: {error.Message}", error);
            }

            return before;
        }
    }

    /// <summary>Appends a record. A new journal begins with its epoch: what comes before that belongs to the one before, and is too late for it.</summary>
    /// <param name="record">The record.</param>
    /// <param name="flush">Whether it must be on the disk when this returns; else it survives the process, not the machine.</param>
    /// <exception cref="IOException">The disk is full, or gone.</exception>
    /// <exception cref="TrainingException">Another coordinator has claimed the next epoch: the record may not count, and nobody may be told of it.</exception>
    public void Append(JournalRecord record, bool flush)
    {
        lock (_gate)
        {
            if (_file is null || (_isNew && record is not EpochRecord))
            {
                return;
            }

            ThrowIfOvertaken();
            _isNew = false;
            _buffer.ResetWrittenCount();
            JournalCodec.Write(record, _buffer);
            _file.Write(_buffer.WrittenSpan);
            if (flush)
            {
                _file.Flush(flushToDisk: true);
            }

            ThrowIfOvertaken(); // between the first look and the write: who claims the epoch later than now reads the record
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    /// <inheritdoc/>
    IEnumerable<long> IJournalFolder.Epochs => !Directory.Exists(_folder) ? [] : Directory.EnumerateFiles(_folder, Prefix + "*")
        .Select(path => long.TryParse(Path.GetFileName(path).AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long epoch) ? epoch : 0)
        .Where(epoch => epoch > 0);

    /// <inheritdoc/>
    string IJournalFolder.NameOf(long epoch) => PathOf(epoch);

    /// <inheritdoc/>
    byte[] IJournalFolder.Read(long epoch) => File.ReadAllBytes(PathOf(epoch));

    private FileStream Create(long epoch)
    {
        try
        {
            return new FileStream(PathOf(epoch), FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (IOException error) when (File.Exists(PathOf(epoch)))
        {
            throw new TrainingException($"{PathOf(epoch)} is there already: another coordinator runs this job. End it, or give this one a run folder of its own.", error);
        }
    }

    // The new journal says how many bytes of the one before count: a loss of power must not take them away and spare the new one.
    private void FlushPredecessors(long epoch)
    {
        foreach (long before in ((IJournalFolder)this).Epochs.Where(before => before < epoch))
        {
            using var file = new FileStream(PathOf(before), FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
            file.Flush(flushToDisk: true);
        }
    }

    private string PathOf(long epoch) => Path.Combine(_folder, Prefix + epoch.ToString(CultureInfo.InvariantCulture));
}
