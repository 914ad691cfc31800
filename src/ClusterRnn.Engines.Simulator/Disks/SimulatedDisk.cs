// A disk that does what disks do: what was written survives the process, only what was flushed survives the machine; it
// fills up; it gives back other bytes than it was given.
//
// A name is as fragile as bytes: until the folder is flushed a loss of power takes a new file away altogether.
using ClusterRnn.Engines.Simulator.Events;

namespace ClusterRnn.Engines.Simulator.Disks;

/// <summary>The files of one machine.</summary>
internal sealed class SimulatedDisk
{
    private readonly SortedDictionary<string, StoredFile> _files = new(StringComparer.Ordinal);

    /// <summary>Whether nothing more can be written.</summary>
    public bool IsFull { get; set; }

    /// <summary>How the names of files begin that lie elsewhere and can be written to all the same; null for none.</summary>
    public string? Spares { get; set; }

    /// <summary>How many files were changed by <see cref="Corrupt"/>.</summary>
    public int CorruptedFiles { get; private set; }

    /// <summary>The names that are there, in order.</summary>
    public IEnumerable<string> Names => _files.Keys;

    /// <summary>Whether a file is there.</summary>
    public bool Exists(string name) => _files.ContainsKey(name);

    /// <summary>How many bytes were written to a file.</summary>
    public int LengthOf(string name) => _files[name].Bytes.Count;

    /// <summary>How many bytes of a file would survive a loss of power, its name included; 0 for one that would vanish.</summary>
    public int DurableBytesOf(string name) => _files.TryGetValue(name, out StoredFile? file) && file.NameIsDurable ? file.Flushed : 0;

    /// <summary>Makes a file that was not there.</summary>
    /// <returns>False when it was. On a full disk there is still room for a name.</returns>
    public bool TryCreate(string name)
    {
        if (_files.ContainsKey(name))
        {
            return false;
        }

        _files.Add(name, new StoredFile());
        return true;
    }

    /// <summary>Writes at the end of a file. A full disk takes half of it.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Append(string name, ReadOnlySpan<byte> bytes)
    {
        StoredFile file = _files[name];
        bool isFull = IsFull && !(Spares is { } spared && name.StartsWith(spared, StringComparison.Ordinal));
        file.Bytes.AddRange(isFull ? bytes[..(bytes.Length / 2)] : bytes);
        if (isFull)
        {
            throw new IOException("no space left on device");
        }
    }

    /// <summary>What was written so far survives a loss of power, if the name does.</summary>
    public void Flush(string name) => _files[name].Flushed = _files[name].Bytes.Count;

    /// <summary>All names survive a loss of power.</summary>
    public void FlushNames()
    {
        foreach (StoredFile file in _files.Values)
        {
            file.NameIsDurable = true;
        }
    }

    /// <summary>Gives a file another name, in one step.</summary>
    public void Rename(string from, string to)
    {
        StoredFile file = _files[from];
        _files.Remove(from);
        file.NameIsDurable = false;
        _files[to] = file;
    }

    /// <summary>Removes a file, if it is there.</summary>
    public void Delete(string name) => _files.Remove(name);

    /// <summary>The bytes of a file.</summary>
    public byte[] Read(string name) => [.. _files[name].Bytes];

    /// <summary>The machine loses its power: unflushed bytes are gone, cut anywhere or left as zeros.</summary>
    public void LosePower(Dice dice)
    {
        foreach (string name in _files.Keys.ToArray())
        {
            StoredFile file = _files[name];
            if (!file.NameIsDurable && dice.Chance(0.5))
            {
                _files.Remove(name);
                continue;
            }

            file.NameIsDurable = true;
            int kept = (int)dice.Between(file.Flushed, file.Bytes.Count + 1);
            bool zeros = dice.Chance(0.25);
            for (int i = kept; zeros && i < file.Bytes.Count; i++)
            {
                file.Bytes[i] = 0;
            }

            if (!zeros)
            {
                file.Bytes.RemoveRange(kept, file.Bytes.Count - kept);
            }

            file.Flushed = file.Bytes.Count;
        }
    }

    /// <summary>Flips a bit of a file that is there.</summary>
    /// <param name="dice">Says which.</param>
    /// <param name="prefix">How the file's name begins.</param>
    /// <param name="sparedBytes">So many bytes at the file's beginning stay as they are.</param>
    /// <returns>The file, or null when there was none.</returns>
    public string? Corrupt(Dice dice, string prefix, int sparedBytes = 0)
    {
        string[] names = [.. _files.Keys.Where(name => name.StartsWith(prefix, StringComparison.Ordinal) && _files[name].Bytes.Count > sparedBytes)];
        if (names.Length == 0)
        {
            return null;
        }

        string chosen = names[dice.Below(names.Length)];
        List<byte> bytes = _files[chosen].Bytes;
        bytes[sparedBytes + dice.Below(bytes.Count - sparedBytes)] ^= (byte)(1 << dice.Below(8));
        CorruptedFiles++;
        return chosen;
    }

    private sealed class StoredFile
    {
        public readonly List<byte> Bytes = [];
        public int Flushed;
        public bool NameIsDurable;
    }
}
