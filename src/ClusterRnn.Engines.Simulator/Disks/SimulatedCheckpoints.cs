// Checkpoints on a simulated disk: one file each, written under another name, flushed, then renamed; read back only when the
// digest over all of it is right.
using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Engines.Simulator.Disks;

/// <summary>All that moves with a step.</summary>
/// <param name="Version">The version.</param>
/// <param name="Policy">The policy's state.</param>
/// <param name="Contents">One content a range.</param>
internal sealed record SavedState(long Version, byte[] Policy, Block[] Contents)
{
    /// <summary>What a job starts from.</summary>
    public static SavedState StartOf(SimulatedJob job) => new(0, job.StartPolicy, [.. Enumerable.Range(0, job.Cut.Ranges.Length).Select(job.StartContent)]);
}

/// <summary>The checkpoints of a job.</summary>
/// <param name="disk">Where they lie.</param>
/// <param name="job">The job.</param>
internal sealed class SimulatedCheckpoints(SimulatedDisk disk, SimulatedJob job)
{
    /// <summary>How the names of whole checkpoints begin.</summary>
    public const string Prefix = "checkpoint.";

    private const int Kept = 3;

    /// <summary>Begins to write one.</summary>
    /// <param name="state">What is saved.</param>
    /// <param name="process">Who writes: two processes never write to one file.</param>
    /// <returns>The name it has meanwhile.</returns>
    /// <exception cref="IOException">The disk is full.</exception>
    public string Begin(SavedState state, int process)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"writing.{process}.{state.Version}");
        disk.Delete(name);
        disk.TryCreate(name);
        disk.Append(name, BytesOf(state));
        return name;
    }

    /// <summary>Makes a checkpoint that was written one that counts.</summary>
    public void Finish(string name, long version)
    {
        disk.Flush(name);
        disk.Rename(name, NameOf(version));
        disk.FlushNames();
        foreach (long old in Versions().OrderDescending().Skip(Kept).ToArray())
        {
            disk.Delete(NameOf(old));
        }
    }

    /// <summary>Removes those of later versions.</summary>
    public void RemoveAfter(long version)
    {
        foreach (long later in Versions().Where(found => found > version).ToArray())
        {
            disk.Delete(NameOf(later));
        }
    }

    /// <summary>The versions of which there is a file, ascending.</summary>
    public IEnumerable<long> Versions() => disk.Names.Where(name => name.StartsWith(Prefix, StringComparison.Ordinal))
        .Select(name => long.Parse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture)).Order();

    /// <summary>The newest one that is whole, or null.</summary>
    /// <param name="upTo">The highest version that is looked at.</param>
    public SavedState? Newest(long upTo = long.MaxValue)
    {
        foreach (long version in Versions().Where(found => found <= upTo).OrderDescending().ToArray())
        {
            if (Read(version) is { } state)
            {
                return state;
            }
        }

        return null;
    }

    /// <summary>A checkpoint, or null when it is not there or not whole.</summary>
    public SavedState? Read(long version)
    {
        if (!disk.Exists(NameOf(version)))
        {
            return null;
        }

        byte[] bytes = disk.Read(NameOf(version));
        if (bytes.Length < 20 || DigestOf(bytes.AsSpan(8)) != BinaryPrimitives.ReadUInt64LittleEndian(bytes) || BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(8)) != version)
        {
            return null;
        }

        int policy = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(16)), at = 20 + policy;
        var contents = new Block[job.Cut.Ranges.Length];
        for (int range = 0; range < contents.Length; range++)
        {
            contents[range] = new Block(job.ContentFloats(range));
            int length = contents[range].Values.Length * sizeof(float);
            bytes.AsSpan(at, length).CopyTo(MemoryMarshal.AsBytes(contents[range].Values.AsSpan()));
            at += length;
        }

        return new SavedState(version, bytes[20..(20 + policy)], contents);
    }

    private static string NameOf(long version) => Prefix + version.ToString(CultureInfo.InvariantCulture);

    private static byte[] BytesOf(SavedState state)
    {
        byte[] bytes = new byte[20 + state.Policy.Length + state.Contents.Sum(block => (int)block.Bytes)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(8), state.Version);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(16), state.Policy.Length);
        state.Policy.CopyTo(bytes, 20);
        int at = 20 + state.Policy.Length;
        foreach (Block content in state.Contents)
        {
            MemoryMarshal.AsBytes(content.Values.AsSpan()).CopyTo(bytes.AsSpan(at));
            at += (int)content.Bytes;
        }

        BinaryPrimitives.WriteUInt64LittleEndian(bytes, DigestOf(bytes.AsSpan(8)));
        return bytes;
    }

    private static unsafe ulong DigestOf(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* data = bytes)
        {
            return ContentDigest.Of(data, bytes.Length);
        }
    }
}
