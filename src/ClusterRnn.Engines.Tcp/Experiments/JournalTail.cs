using System.Globalization;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>Follows the journals of a run while a coordinator writes them: what is committed, without asking anyone.</summary>
/// <param name="folder">The journals' folder; it need not be there yet.</param>
internal sealed class JournalTail(string folder)
{
    private long _epoch = 1;
    private long _offset;

    /// <summary>What was written since the last call, oldest first.</summary>
    /// <exception cref="TrainingException">A journal is damaged.</exception>
    public IReadOnlyList<JournalRecord> Poll()
    {
        var records = new List<JournalRecord>();
        while (true)
        {
            bool hasNext = File.Exists(PathOf(_epoch + 1)); // asked first: what is in this one then is all that it will have
            ReadFrom(PathOf(_epoch), records);
            if (!hasNext)
            {
                return records;
            }

            _epoch++;
            _offset = 0;
        }
    }

    private string PathOf(long epoch) => Path.Combine(folder, "journal." + epoch.ToString(CultureInfo.InvariantCulture));

    private void ReadFrom(string path, List<JournalRecord> records)
    {
        if (!File.Exists(path))
        {
            return;
        }

        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        if (file.Length <= _offset)
        {
            return;
        }

        byte[] bytes = new byte[file.Length - _offset];
        file.Position = _offset;
        file.ReadExactly(bytes);
        ReadOnlySpan<byte> rest = bytes;
        try
        {
            while (JournalCodec.TryRead(ref rest, out JournalRecord? record))
            {
                records.Add(record!);
            }
        }
        catch (WireException error)
        {
            throw new TrainingException($"{path} is not a journal of this version: {error.Message}", error);
        }

        _offset += bytes.Length - rest.Length; // a record that is half written comes with the next call
    }
}
