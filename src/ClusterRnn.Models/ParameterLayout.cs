// Where every parameter lives in the one flat vector that the cluster moves, and the model's hash.
//
// The vector is cut into blocks of 1,024 floats. A tensor starts at a block's first float and its last block is padded
// with zeros, so a block belongs to one tensor and a server's range, cut at any block, never mixes two. Tensors are
// row-major and named as PyTorch names them.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace ClusterRnn.Models;

/// <summary>One named tensor within the flat parameter vector.</summary>
/// <param name="Name">PyTorch's name under the layer's, such as <c>lstm.weight_ih_l0</c>.</param>
/// <param name="Shape">Its dimensions; the tensor is stored row-major.</param>
/// <param name="Offset">Its first float in the flat vector, a multiple of <see cref="ParameterLayout.BlockSize"/>.</param>
/// <param name="Count">Its floats, padding excluded.</param>
/// <param name="FirstBlock">Its first block.</param>
/// <param name="BlockCount">How many blocks it takes.</param>
/// <param name="Layer">The index of its layer in forward order: gradients are ready in descending order of it.</param>
/// <param name="IsFrozen">Whether it stays as it is: its gradient is +0 by definition, and no step changes it or the optimizer's state of it.</param>
public sealed record ParameterTensor(
    string Name,
    ReadOnlyMemory<long> Shape,
    long Offset,
    long Count,
    int FirstBlock,
    int BlockCount,
    int Layer,
    bool IsFrozen = false)
{
    /// <summary>The shape for people: <c>1024 x 256</c>.</summary>
    public string ShapeText => string.Join(" x ", Shape.ToArray());
}

/// <summary>The order, places and shapes of all tensors of a model in one flat vector.</summary>
public sealed class ParameterLayout
{
    /// <summary>Floats a block: the unit in which parameters and gradients travel.</summary>
    public const int BlockSize = 1024;

    private readonly Dictionary<string, ParameterTensor> byName = new(StringComparer.Ordinal);

    internal ParameterLayout(IReadOnlyList<(string Name, long[] Shape, int Layer)> declared, Func<string, bool>? isFrozen = null)
    {
        var tensors = new List<ParameterTensor>();
        int block = 0;
        foreach ((string name, long[] shape, int layer) in declared)
        {
            long count = 1;
            foreach (long dimension in shape)
            {
                count = checked(count * dimension);
            }

            int blocks = checked((int)((count + BlockSize - 1) / BlockSize));
            var tensor = new ParameterTensor(name, shape, (long)block * BlockSize, count, block, blocks, layer, isFrozen is not null && isFrozen(name));
            if (!byName.TryAdd(name, tensor))
            {
                throw new ModelException("layers", $"Two tensors are named {name}. Give one of the layers another name.");
            }

            tensors.Add(tensor);
            block = checked(block + blocks);
        }

        Tensors = tensors;
        BlockCount = block;
    }

    /// <summary>The tensors in the vector's order.</summary>
    public IReadOnlyList<ParameterTensor> Tensors { get; }

    /// <summary>Floats of the flat vector, padding included.</summary>
    public long Length => (long)BlockCount * BlockSize;

    /// <summary>Blocks of the flat vector.</summary>
    public int BlockCount { get; }

    /// <summary>Parameters, padding excluded.</summary>
    public long ParameterCount => Tensors.Sum(tensor => tensor.Count);

    /// <summary>Whether any tensor is frozen.</summary>
    public bool HasFrozen => Tensors.Any(tensor => tensor.IsFrozen);

    /// <summary>Whether a block is of a frozen tensor.</summary>
    public bool IsFrozen(int block)
    {
        int low = 0, high = Tensors.Count - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            (low, high) = Tensors[middle].FirstBlock <= block ? (middle, high) : (low, middle - 1);
        }

        return Tensors.Count > 0 && Tensors[low].IsFrozen;
    }

    /// <summary>The tensor of that name.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public ParameterTensor this[string name] => byName.TryGetValue(name, out ParameterTensor? tensor)
        ? tensor
        : throw new KeyNotFoundException($"The model has no tensor {name}; it has {string.Join(", ", byName.Keys.Order(StringComparer.Ordinal))}.");

    /// <summary>The tensor of that name, or null.</summary>
    public ParameterTensor? Find(string name) => byName.GetValueOrDefault(name);

    /// <summary>
    /// <c>modelSha256</c>: over each tensor in the layout's order its UTF-8 name, a zero byte, rank and dimensions as
    /// little-endian int64, and its values as little-endian float32 without padding. Lower-case hexadecimal.
    /// </summary>
    /// <param name="parameters">The flat vector, <see cref="Length"/> floats.</param>
    /// <exception cref="ArgumentException">The vector has another length.</exception>
    public string Sha256(ReadOnlySpan<float> parameters)
    {
        if (parameters.Length != Length)
        {
            throw new ArgumentException($"The layout has {Length} floats, the vector {parameters.Length}.", nameof(parameters));
        }

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[sizeof(long)];
        foreach (ParameterTensor tensor in Tensors)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(tensor.Name));
            hash.AppendData([0]);
            BinaryPrimitives.WriteInt64LittleEndian(number, tensor.Shape.Length);
            hash.AppendData(number);
            foreach (long dimension in tensor.Shape.Span)
            {
                BinaryPrimitives.WriteInt64LittleEndian(number, dimension);
                hash.AppendData(number);
            }

            AppendFloats(hash, parameters.Slice((int)tensor.Offset, (int)tensor.Count));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void AppendFloats(IncrementalHash hash, ReadOnlySpan<float> values)
    {
        if (BitConverter.IsLittleEndian)
        {
            hash.AppendData(MemoryMarshal.AsBytes(values));
            return;
        }

        Span<byte> bytes = stackalloc byte[sizeof(float)];
        foreach (float value in values)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
            hash.AppendData(bytes);
        }
    }
}
