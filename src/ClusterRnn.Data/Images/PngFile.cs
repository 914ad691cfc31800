// PNG files (ISO/IEC 15948), what is needed of them: pictures of 8 bits a channel, grey or coloured, not interlaced, are read as grey;
// grey ones of 8 bits are written. Chunks have a checksum each, rows a filter each; the pixels are one zlib stream.
using System.Buffers.Binary;
using System.IO.Compression;

namespace ClusterRnn.Data;

/// <summary>A grey picture.</summary>
/// <param name="Width">Pixels of a row.</param>
/// <param name="Height">Rows.</param>
/// <param name="Pixels">[Height, Width], 0 black to 255 white.</param>
public sealed record PngFile(int Width, int Height, byte[] Pixels)
{
    private const int MostPixels = 1 << 26;
    private static readonly byte[] s_signature = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A];
    private static readonly uint[] s_checksums = Checksums();

    /// <summary>Reads a file's bytes.</summary>
    /// <param name="name">The file, for messages.</param>
    /// <param name="bytes">Its contents.</param>
    /// <exception cref="DataException">They are no PNG file that can be read, or are damaged.</exception>
    public static PngFile Parse(string name, byte[] bytes)
    {
        ArgumentNullException.ThrowIfNull(bytes);
        if (!bytes.AsSpan().StartsWith(s_signature))
        {
            throw Fault(name, "a PNG file, which begins with 89504e470d0a1a0a", bytes.Length < 8 ? $"{bytes.Length} bytes" : Convert.ToHexStringLower(bytes.AsSpan(0, 8)), 0);
        }

        int width = 0, height = 0, channels = 0, at = 8;
        using var packed = new MemoryStream();
        while (true)
        {
            if (bytes.Length - at < 12)
            {
                throw Fault(name, "a chunk's length, name and checksum (12 bytes)", $"{bytes.Length - at} bytes before the end", at);
            }

            uint length = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(at));
            string kind = System.Text.Encoding.Latin1.GetString(bytes, at + 4, 4);
            if (length > bytes.Length - at - 12)
            {
                throw Fault(name, $"{length} bytes in the chunk '{kind}'", $"{bytes.Length - at - 12} before the end: the file breaks off", at);
            }

            ReadOnlySpan<byte> content = bytes.AsSpan(at + 8, (int)length);
            uint stated = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(at + 8 + (int)length)), found = Checksum(bytes.AsSpan(at + 4, 4 + (int)length));
            if (stated != found)
            {
                throw Fault(name, $"the checksum {stated:x8} of the chunk '{kind}'", $"{found:x8}: the file is damaged", at);
            }

            if (kind == "IHDR")
            {
                (width, height, channels) = Header(name, content, at + 8);
            }
            else if (channels == 0)
            {
                throw Fault(name, "the chunk 'IHDR' first", $"'{kind}'", at);
            }
            else if (kind == "IDAT")
            {
                packed.Write(content);
            }
            else if (kind == "IEND")
            {
                break;
            }

            at += 12 + (int)length;
        }

        return new PngFile(width, height, Grey(name, Unpack(name, packed, height * ((channels * width) + 1)), width, height, channels));
    }

    /// <summary>The file's bytes.</summary>
    public byte[] ToBytes()
    {
        using var file = new MemoryStream();
        file.Write(s_signature);
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, Width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), Height);
        header[8] = 8; // bits; grey, the one compression, the one set of filters, not interlaced are all 0
        Chunk(file, "IHDR", header);
        using var packed = new MemoryStream();
        using (var zlib = new ZLibStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
        {
            for (int row = 0; row < Height; row++)
            {
                zlib.WriteByte(0); // no filter
                zlib.Write(Pixels, row * Width, Width);
            }
        }

        Chunk(file, "IDAT", packed.ToArray());
        Chunk(file, "IEND", []);
        return file.ToArray();
    }

    private static (int Width, int Height, int Channels) Header(string name, ReadOnlySpan<byte> content, int position)
    {
        if (content.Length != 13)
        {
            throw Fault(name, "13 bytes in the chunk 'IHDR'", $"{content.Length}", position);
        }

        uint width = BinaryPrimitives.ReadUInt32BigEndian(content), height = BinaryPrimitives.ReadUInt32BigEndian(content[4..]);
        int channels = content[9] switch { 0 => 1, 2 => 3, 4 => 2, 6 => 4, _ => 0 };
        if (width == 0 || height == 0 || (ulong)width * height > MostPixels)
        {
            throw Fault(name, $"a picture of 1 to {MostPixels} pixels", $"{width} x {height}", position);
        }

        return content[8] == 8 && channels > 0 && content[12] == 0 ? ((int)width, (int)height, channels) : throw Fault(
            name, "8 bits a channel, grey or red, green and blue, not interlaced", $"{content[8]} bits, colour type {content[9]}, interlacing {content[12]}", position + 8);
    }

    private static byte[] Unpack(string name, MemoryStream packed, int length)
    {
        // As much as there is, not as the header says: a few bytes may call themselves a picture of any size.
        using var rows = new MemoryStream();
        byte[] buffer = new byte[1 << 16];
        packed.Position = 0;
        try
        {
            using var zlib = new ZLibStream(packed, CompressionMode.Decompress);
            for (int read; rows.Length < length && (read = zlib.Read(buffer, 0, (int)Math.Min(buffer.Length, length - rows.Length))) > 0;)
            {
                rows.Write(buffer, 0, read);
            }
        }
        catch (InvalidDataException fault)
        {
            throw new DataException(name, "pixels packed by zlib", fault.Message.TrimEnd('.'), "Fetch or make the picture again", inner: fault);
        }

        return rows.Length == length ? rows.ToArray() : throw new DataException(name, $"{length} bytes of unpacked pixels", $"{rows.Length}", "Fetch or make the picture again");
    }

    // Undoes each row's filter, in place; then the grey of a colour is its brightness (ITU-R BT.601), on white where it is see-through.
    private static byte[] Grey(string name, byte[] rows, int width, int height, int channels)
    {
        int stride = channels * width;
        byte[] above = new byte[stride], pixels = new byte[width * height];
        for (int row = 0; row < height; row++)
        {
            byte filter = rows[row * (stride + 1)];
            Span<byte> line = rows.AsSpan((row * (stride + 1)) + 1, stride);
            for (int i = 0; i < stride; i++)
            {
                int left = i >= channels ? line[i - channels] : 0, up = above[i], corner = i >= channels ? above[i - channels] : 0;
                line[i] += (byte)(filter switch
                {
                    0 => 0,
                    1 => left,
                    2 => up,
                    3 => (left + up) / 2,
                    4 => Paeth(left, up, corner),
                    _ => throw new DataException(name, "a filter from 0 to 4", $"{filter} in row {row + 1}", "Fetch or make the picture again"),
                });
            }

            line.CopyTo(above);
            for (int column = 0; column < width; column++)
            {
                ReadOnlySpan<byte> pixel = line.Slice(column * channels, channels);
                int grey = channels < 3 ? pixel[0] : ((299 * pixel[0]) + (587 * pixel[1]) + (114 * pixel[2]) + 500) / 1000, opaque = channels is 2 or 4 ? pixel[^1] : 255;
                pixels[(row * width) + column] = (byte)(((grey * opaque) + (255 * (255 - opaque)) + 127) / 255);
            }
        }

        return pixels;
    }

    private static int Paeth(int left, int up, int corner)
    {
        int guess = left + up - corner, toLeft = Math.Abs(guess - left), toUp = Math.Abs(guess - up), toCorner = Math.Abs(guess - corner);
        return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
    }

    private static void Chunk(MemoryStream file, string kind, byte[] content)
    {
        byte[] named = [.. System.Text.Encoding.Latin1.GetBytes(kind), .. content], number = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, content.Length);
        file.Write(number);
        file.Write(named);
        BinaryPrimitives.WriteUInt32BigEndian(number, Checksum(named));
        file.Write(number);
    }

    // CRC-32 of the polynomial 0xEDB88320, bits reversed.
    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint sum = uint.MaxValue;
        foreach (byte value in bytes)
        {
            sum = s_checksums[(byte)(sum ^ value)] ^ (sum >> 8);
        }

        return ~sum;
    }

    private static uint[] Checksums()
    {
        uint[] table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint sum = i;
            for (int bit = 0; bit < 8; bit++)
            {
                sum = (sum & 1) == 0 ? sum >> 1 : 0xEDB88320 ^ (sum >> 1);
            }

            table[i] = sum;
        }

        return table;
    }

    private static DataException Fault(string name, string expected, string found, long position) => new(name, expected, found, "Fetch or make the picture again, as PNG of 8 bits", position: position);
}
