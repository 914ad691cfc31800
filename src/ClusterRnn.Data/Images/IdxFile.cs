// IDX files, in which handwritten digits (MNIST), clothes (Fashion-MNIST) and letters (EMNIST) come: four bytes that say what the
// values are and how many dimensions they have, the size of each dimension (big-endian), then the values, the last dimension fastest.
// Read are unsigned bytes. Whatever doesn't fit together is an error with the byte where it was found, counted in the unpacked file.
using System.Buffers.Binary;

namespace ClusterRnn.Data;

/// <summary>Unsigned bytes with dimensions.</summary>
/// <param name="Name">The file.</param>
/// <param name="Sizes">The size of each dimension, at least 1.</param>
/// <param name="Values">The values, the last dimension fastest: as many as the product of the sizes.</param>
public sealed record IdxFile(string Name, IReadOnlyList<int> Sizes, ReadOnlyMemory<byte> Values)
{
    /// <summary>Dimensions of pictures: how many, rows of each, pixels of a row.</summary>
    public const int PictureDimensions = 3;

    /// <summary>Dimensions of labels: how many.</summary>
    public const int LabelDimensions = 1;

    private const byte UnsignedBytes = 8;

    /// <summary>Where the values begin, in bytes from the file's start.</summary>
    public int Start => 4 + (4 * Sizes.Count);

    /// <summary>Reads a file's bytes.</summary>
    /// <param name="name">The file, for messages.</param>
    /// <param name="bytes">Its contents, unpacked.</param>
    /// <param name="dimensions">How many dimensions it must have.</param>
    /// <exception cref="DataException">They are no IDX file of unsigned bytes with so many dimensions, or it breaks off, or goes on.</exception>
    public static IdxFile Parse(string name, ReadOnlyMemory<byte> bytes, int dimensions)
    {
        ReadOnlySpan<byte> content = bytes.Span;
        if (content.Length < 4 || content[0] != 0 || content[1] != 0)
        {
            throw Fault(name, "an IDX file, which begins with 0000, the kind of its values and how many dimensions they have", content.Length < 4 ? $"{content.Length} bytes" : Convert.ToHexStringLower(content[..4]), "Name a file such as t10k-images-idx3-ubyte.gz", 0);
        }

        if (content[2] != UnsignedBytes)
        {
            throw Fault(name, "unsigned bytes (kind 08)", $"values of kind {content[2]:x2}", "Convert the values to bytes from 0 to 255", 2);
        }

        if (content[3] != dimensions)
        {
            throw Fault(name, dimensions == LabelDimensions ? "one dimension, as labels have (idx1)" : $"{dimensions} dimensions, as pictures have (idx3)", $"{content[3]}", "data.path is the file with the pictures, data.labels the one with their classes", 3);
        }

        int start = 4 + (4 * dimensions);
        if (content.Length < start)
        {
            throw Fault(name, $"the sizes of {dimensions} dimension{(dimensions == 1 ? "" : "s")} ({4 * dimensions} bytes)", $"{content.Length - 4} bytes before the end", "Fetch the file again", 4);
        }

        int[] sizes = new int[dimensions];
        UInt128 product = 1;
        for (int i = 0; i < dimensions; i++)
        {
            uint size = BinaryPrimitives.ReadUInt32BigEndian(content[(4 + (4 * i))..]);
            sizes[i] = size is >= 1 and <= int.MaxValue ? (int)size : throw Fault(name, $"a size of 1 to {int.MaxValue} for dimension {i + 1}", $"{size}", "Fetch the file again", 4 + (4 * i));
            product *= size;
        }

        int found = content.Length - start;
        return product == (UInt128)found ? new IdxFile(name, sizes, bytes[start..]) : throw Fault(
            name,
            $"{product} bytes of values ({string.Join(" x ", sizes)})",
            product > (UInt128)found ? $"{found} before the end: the file breaks off" : $"{found}: the file goes on behind them",
            "Fetch the file again",
            product > (UInt128)found ? content.Length : start + (long)product);
    }

    internal static DataException Fault(string name, string expected, string found, string remedy, long position) => new(name, expected, found, remedy, position: position);
}
