using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using ClusterRnn.Training.Checkpoints;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Training;

public sealed unsafe class SafetensorsTests
{
    [Fact]
    public void TheBytesAreThoseOfTheFormat()
    {
        byte[] bytes = Write(("a", [2, 1], [1f, -2f]), ("b.bias", [], [0.5f]));
        const string Header = """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b.bias":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}""";
        int padded = (Header.Length + 7) / 8 * 8;
        Assert.Equal((ulong)padded, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        Assert.Equal(Header.PadRight(padded), Encoding.UTF8.GetString(bytes, 8, padded));
        Assert.Equal([0, 0, 128, 63, 0, 0, 0, 192, 0, 0, 0, 63], bytes[(8 + padded)..]);
    }

    [Fact]
    public void AnyTensorsComeBackBitForBit()
    {
        using var folder = new TrainingFixtures.Folder();
        string path = Path.Combine(folder.Path, "x.safetensors");
        Prop.ForAll<float[], float[]>((a, b) =>
        {
            File.WriteAllBytes(path, Write(("ä.\"b", [a.Length], a), ("second", [1, b.Length, 1], b)));
            using SafetensorsFile file = SafetensorsFile.Open(path);
            return Same(file, "ä.\"b", [a.Length], a) && Same(file, "second", [1, b.Length, 1], b) && file.Metadata["format"] == "pt";
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void AFileCutAnywhereIsRefused()
    {
        using var folder = new TrainingFixtures.Folder();
        string path = Path.Combine(folder.Path, "x.safetensors");
        byte[] whole = Write(("a", [2, 1], [1f, -2f]), ("b", [3], [1f, 2f, 3f]));
        for (int length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            var error = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path).Dispose());
            Assert.Equal(CheckpointFault.Truncated, error.Fault);
            Assert.Contains(path, error.Message, StringComparison.Ordinal);
        }

        File.WriteAllBytes(path, [.. whole, 0]);
        Assert.Equal(CheckpointFault.Corrupted, Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path).Dispose()).Fault);
    }

    [Fact]
    public void NoBitOfTheHeaderCanCrashTheReader()
    {
        using var folder = new TrainingFixtures.Folder();
        string path = Path.Combine(folder.Path, "x.safetensors");
        byte[] whole = Write(("a", [2, 1], [1f, -2f]), ("b", [3], [1f, 2f, 3f]));
        int header = 8 + (int)BinaryPrimitives.ReadUInt64LittleEndian(whole);
        int refused = 0;
        for (int bit = 0; bit < header * 8; bit++)
        {
            byte[] flipped = [.. whole];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            File.WriteAllBytes(path, flipped);
            try
            {
                // A flip in a name or in free text is still a valid file; its SHA-256 tells.
                using SafetensorsFile file = SafetensorsFile.Open(path);
            }
            catch (CheckpointException)
            {
                refused++;
            }
        }

        Assert.True(refused > header * 4, $"{refused} of {header * 8} flips refused");
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 62)]
    [InlineData(100_000_001UL)]
    public void AHugeHeaderIsRefusedBeforeMemoryIsTaken(ulong length)
    {
        using var folder = new TrainingFixtures.Folder();
        string path = Path.Combine(folder.Path, "x.safetensors");
        byte[] bytes = Write(("a", [1], [1f]));
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        File.WriteAllBytes(path, bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal(CheckpointFault.Foreign, Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path).Dispose()).Fault);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("nonsense")]
    [InlineData("""{"a":1}""")]
    [InlineData("""{"a":{}}""")]
    [InlineData("""{"a":{"dtype":"F99","shape":[3],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[12,0]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3.5],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904,16],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""")]
    [InlineData("""{"__metadata__":{"x":1},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""")]
    public void HeadersThatContradictThemselvesAreRefused(string header)
    {
        using var folder = new TrainingFixtures.Folder();
        string path = Path.Combine(folder.Path, "x.safetensors");
        byte[] bytes = new byte[8 + header.Length + 12];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)header.Length);
        Encoding.UTF8.GetBytes(header, bytes.AsSpan(8));
        File.WriteAllBytes(path, bytes);
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path).Dispose());
    }

    [Fact]
    public void AnotherShapeOrNameIsToldWithBoth()
    {
        using var folder = new TrainingFixtures.Folder();
        string path = Path.Combine(folder.Path, "x.safetensors");
        File.WriteAllBytes(path, Write(("lstm.bias", [3], [1f, 2f, 3f])));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        float[] room = new float[8];
        fixed (float* into = room)
        {
            float* pointer = into;
            string shape = Assert.Throws<CheckpointException>(() => file.Read("lstm.bias", [4], pointer)).Message;
            Assert.Contains("[4]", shape, StringComparison.Ordinal);
            Assert.Contains("[3]", shape, StringComparison.Ordinal);
            string name = Assert.Throws<CheckpointException>(() => file.Read("gru.bias", [3], pointer)).Message;
            Assert.Contains("gru.bias", name, StringComparison.Ordinal);
            Assert.Contains("lstm.bias", name, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void AMissingFileIsUnreadable() =>
        Assert.Equal(
            CheckpointFault.Unreadable,
            Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(Path.Combine(Path.GetTempPath(), "clusterrnn-no-such-file"))).Fault);

    private static byte[] Write(params (string Name, long[] Shape, float[] Values)[] tensors)
    {
        using var stream = new MemoryStream();
        var handles = new List<GCHandle>();
        var list = new List<TensorToWrite>();
        foreach ((string name, long[] shape, float[] values) in tensors)
        {
            handles.Add(GCHandle.Alloc(values, GCHandleType.Pinned));
            list.Add(new TensorToWrite(name, shape, handles[^1].AddrOfPinnedObject()));
        }

        (long bytes, string sha256) = SafetensorsFile.Write(stream, list, new Dictionary<string, string> { ["format"] = "pt" });
        handles.ForEach(handle => handle.Free());
        Assert.Equal(bytes, stream.Length);
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(stream.ToArray())), sha256);
        return stream.ToArray();
    }

    private static bool Same(SafetensorsFile file, string name, long[] shape, float[] expected)
    {
        float[] found = new float[expected.Length + 1];
        fixed (float* into = found)
        {
            file.Read(name, shape, into);
        }

        return found.AsSpan(0, expected.Length).SequenceEqual(expected) || expected.Any(float.IsNaN)
            && MemoryMarshal.AsBytes(found.AsSpan(0, expected.Length)).SequenceEqual(MemoryMarshal.AsBytes(expected.AsSpan()));
    }
}
