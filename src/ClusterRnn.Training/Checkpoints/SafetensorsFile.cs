// The safetensors format (huggingface/safetensors): 8 bytes header length (little-endian), a JSON header that names each
// tensor's type, shape and place, then the values. Any tool that reads safetensors loads our models, PyTorch included.
//
// Written: header padded with spaces to a multiple of 8, tensors back to back in the order given, F32 only.
// Read: nothing in the file is trusted; every number is checked against the file's length before it is used.
using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace ClusterRnn.Training.Checkpoints;

/// <summary>A tensor to write: <paramref name="Values"/> points to as many floats as the shape has elements.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Shape">Its dimensions, row-major.</param>
/// <param name="Values">Its values (float*).</param>
public readonly record struct TensorToWrite(string Name, long[] Shape, nint Values)
{
    /// <summary>Its elements.</summary>
    public long Count
    {
        get
        {
            long count = 1;
            foreach (long dimension in Shape)
            {
                count = checked(count * dimension);
            }

            return count;
        }
    }
}

/// <summary>A tensor in a file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its element type as the format names it, such as F32.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="Begin">Its first byte after the header.</param>
/// <param name="End">The byte after its last.</param>
public sealed record StoredTensor(string Name, string Type, IReadOnlyList<long> Shape, long Begin, long End)
{
    /// <summary>The shape for people: <c>[1024, 256]</c>.</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}

/// <summary>A safetensors file that is open for reading.</summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    /// <summary>The longest header accepted, as in the format's reference implementation.</summary>
    public const long MaximumHeaderBytes = 100_000_000;

    private const int ChunkBytes = 1 << 20;

    private readonly SafeFileHandle handle;
    private readonly Dictionary<string, StoredTensor> byName = new(StringComparer.Ordinal);
    private readonly long dataStart;

    private SafetensorsFile(string path, SafeFileHandle handle)
    {
        Path = path;
        this.handle = handle;
        long length = RandomAccess.GetLength(handle);
        if (length < 8)
        {
            throw Fault(CheckpointFault.Truncated, $"expected at least 8 bytes, found {length}");
        }

        Span<byte> prefix = stackalloc byte[8];
        ReadExactly(0, prefix);
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerBytes > MaximumHeaderBytes)
        {
            throw Fault(CheckpointFault.Foreign, $"the header's length (bytes 0 to 7) says {headerBytes}, expected at most {MaximumHeaderBytes}: not a safetensors file");
        }

        if ((long)headerBytes > length - 8)
        {
            throw Fault(CheckpointFault.Truncated, $"the header takes {headerBytes} bytes, but the file ends after {length}");
        }

        dataStart = 8 + (long)headerBytes;
        byte[] header = new byte[headerBytes];
        ReadExactly(8, header);
        Tensors = Parse(header, length - dataStart);
        foreach (StoredTensor tensor in Tensors)
        {
            byName.Add(tensor.Name, tensor);
        }
    }

    /// <summary>Where the file is.</summary>
    public string Path { get; }

    /// <summary>The tensors in the order of their places.</summary>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    /// <summary>Free text that the writer added.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; private set; } = new Dictionary<string, string>();

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="CheckpointException">The file is missing, truncated or not in the format.</exception>
    public static SafetensorsFile Open(string path)
    {
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            return new SafetensorsFile(path, handle);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            handle?.Dispose();
            throw new CheckpointException(CheckpointFault.Unreadable, $"{path}: can't be read: {e.Message}", e);
        }
        catch
        {
            handle?.Dispose();
            throw;
        }
    }

    /// <summary>The tensor of that name, or null.</summary>
    public StoredTensor? Find(string name) => byName.GetValueOrDefault(name);

    /// <summary>Reads a tensor's values.</summary>
    /// <param name="name">The tensor.</param>
    /// <param name="shape">The shape it must have.</param>
    /// <param name="into">Room for all its elements.</param>
    /// <exception cref="CheckpointException">There is no such tensor, or its type or shape is another.</exception>
    public void Read(string name, ReadOnlySpan<long> shape, float* into)
    {
        StoredTensor tensor = Find(name)
            ?? throw Fault(CheckpointFault.Foreign, $"expected a tensor {name}, found {string.Join(", ", Tensors.Select(t => t.Name))}");
        if (tensor.Type != "F32")
        {
            throw Fault(CheckpointFault.Foreign, $"{name}: expected F32, found {tensor.Type}");
        }

        bool same = tensor.Shape.Count == shape.Length;
        for (int i = 0; same && i < shape.Length; i++)
        {
            same = tensor.Shape[i] == shape[i];
        }

        if (!same)
        {
            throw Fault(CheckpointFault.Foreign, $"{name}: expected the shape [{string.Join(", ", shape.ToArray())}], found {tensor.ShapeText}");
        }

        long bytes = tensor.End - tensor.Begin;
        for (long done = 0; done < bytes;)
        {
            int chunk = (int)Math.Min(ChunkBytes, bytes - done);
            ReadExactly(dataStart + tensor.Begin + done, new Span<byte>((byte*)into + done, chunk));
            done += chunk;
        }

        if (!BitConverter.IsLittleEndian)
        {
            for (long i = 0; i < bytes / sizeof(float); i++)
            {
                ((int*)into)[i] = BinaryPrimitives.ReverseEndianness(((int*)into)[i]);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => handle.Dispose();

    /// <summary>Writes tensors to a stream.</summary>
    /// <returns>The bytes written and their SHA-256, lower-case hexadecimal.</returns>
    /// <exception cref="ArgumentException">Two tensors have one name.</exception>
    public static (long Bytes, string Sha256) Write(
        Stream into, IReadOnlyList<TensorToWrite> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] header = Header(tensors, metadata);
        byte[] prefix = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)header.Length);
        long written = 0;
        Put(prefix);
        Put(header);
        byte[] chunk = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            foreach (TensorToWrite tensor in tensors)
            {
                long count = tensor.Count;
                for (long done = 0; done < count;)
                {
                    int floats = (int)Math.Min(ChunkBytes / sizeof(float), count - done);
                    var source = new ReadOnlySpan<float>((float*)tensor.Values + done, floats);
                    Span<byte> bytes = chunk.AsSpan(0, floats * sizeof(float));
                    for (int i = 0; !BitConverter.IsLittleEndian && i < floats; i++)
                    {
                        BinaryPrimitives.WriteSingleLittleEndian(bytes[(i * sizeof(float))..], source[i]);
                    }

                    if (BitConverter.IsLittleEndian)
                    {
                        MemoryMarshal.AsBytes(source).CopyTo(bytes);
                    }

                    Put(bytes);
                    done += floats;
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(chunk);
        }

        return (written, Convert.ToHexStringLower(hash.GetHashAndReset()));

        void Put(ReadOnlySpan<byte> bytes)
        {
            into.Write(bytes);
            hash.AppendData(bytes);
            written += bytes.Length;
        }
    }

    private static byte[] Header(IReadOnlyList<TensorToWrite> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                {
                    json.WriteString(key, value);
                }

                json.WriteEndObject();
            }

            long offset = 0;
            foreach (TensorToWrite tensor in tensors)
            {
                if (!names.Add(tensor.Name))
                {
                    throw new ArgumentException($"Two tensors are named {tensor.Name}.", nameof(tensors));
                }

                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", "F32");
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Shape)
                {
                    json.WriteNumberValue(dimension);
                }

                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                offset = checked(offset + tensor.Count * sizeof(float));
                json.WriteNumberValue(offset);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        byte[] header = new byte[(buffer.WrittenCount + 7) & ~7];
        header.AsSpan().Fill((byte)' ');
        buffer.WrittenSpan.CopyTo(header);
        return header;
    }

    private static int ElementBits(string type) => type switch
    {
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" => 8,
        "I16" or "U16" or "F16" or "BF16" => 16,
        "I32" or "U32" or "F32" => 32,
        "I64" or "U64" or "F64" or "C64" => 64,
        _ => 0,
    };

    private List<StoredTensor> Parse(byte[] header, long dataBytes)
    {
        var tensors = new List<StoredTensor>();
        try
        {
            var options = new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = 8 };
            using JsonDocument document = JsonDocument.Parse(header, options);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw Fault(CheckpointFault.Foreign, $"expected a JSON object as header, found {document.RootElement.ValueKind}");
            }

            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                if (property.Name == "__metadata__")
                {
                    Metadata = property.Value.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString() ?? "");
                }
                else
                {
                    tensors.Add(ParseTensor(property.Name, property.Value));
                }
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw new CheckpointException(
                CheckpointFault.Corrupted, $"{Path}: the header (bytes 8 to {8 + header.Length - 1}) is not the JSON of a safetensors file: {e.Message}", e);
        }

        tensors.Sort((a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        long end = 0;
        foreach (StoredTensor tensor in tensors)
        {
            if (tensor.Begin != end)
            {
                throw Fault(CheckpointFault.Corrupted, $"{tensor.Name} begins at byte {tensor.Begin} of the data, expected {end}");
            }

            end = tensor.End;
        }

        if (end > dataBytes)
        {
            throw Fault(CheckpointFault.Truncated, $"the header names {end} bytes of values, the file holds {dataBytes}");
        }

        return end == dataBytes
            ? tensors
            : throw Fault(CheckpointFault.Corrupted, $"the header names {end} bytes of values, the file holds {dataBytes}");
    }

    private StoredTensor ParseTensor(string name, JsonElement json)
    {
        string type = json.GetProperty("dtype").GetString() ?? "";
        long[] shape = [.. json.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
        long[] offsets = [.. json.GetProperty("data_offsets").EnumerateArray().Select(d => d.GetInt64())];
        int bits = ElementBits(type);
        if (bits == 0)
        {
            throw Fault(CheckpointFault.Foreign, $"{name} has the unknown type {type}");
        }

        if (offsets.Length != 2 || offsets[0] < 0 || offsets[1] < offsets[0])
        {
            throw Fault(CheckpointFault.Corrupted, $"{name} has the offsets [{string.Join(", ", offsets)}], expected begin and end");
        }

        Int128 bytes = bits / 8;
        foreach (long dimension in shape)
        {
            if (dimension < 0)
            {
                throw Fault(CheckpointFault.Corrupted, $"{name} has the shape [{string.Join(", ", shape)}]");
            }

            // Capped, so that no shape, however long, can overflow.
            bytes = Int128.Min(bytes * dimension, long.MaxValue);
        }

        return bytes == offsets[1] - offsets[0]
            ? new StoredTensor(name, type, shape, offsets[0], offsets[1])
            : throw Fault(
                CheckpointFault.Corrupted,
                string.Create(CultureInfo.InvariantCulture, $"{name}: {type} of shape [{string.Join(", ", shape)}] takes {bytes} bytes, its offsets leave {offsets[1] - offsets[0]}"));
    }

    private void ReadExactly(long offset, Span<byte> into)
    {
        while (into.Length > 0)
        {
            int read = RandomAccess.Read(handle, into, offset);
            if (read == 0)
            {
                throw Fault(CheckpointFault.Truncated, $"the file ends at byte {offset}, expected {into.Length} bytes more");
            }

            offset += read;
            into = into[read..];
        }
    }

    private CheckpointException Fault(CheckpointFault fault, string message) => new(fault, $"{Path}: {message}.");
}
