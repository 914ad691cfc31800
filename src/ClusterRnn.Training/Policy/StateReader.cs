using System.Text;

namespace ClusterRnn.Training.Policy;

/// <summary>Reads little-endian state that another process wrote, so that wrong bytes end in a message and not in a wrong training.</summary>
internal sealed class StateReader : IDisposable
{
    private readonly BinaryReader reader;
    private readonly string what;

    public StateReader(ReadOnlySpan<byte> bytes, string what)
    {
        this.what = what;
        reader = new BinaryReader(new MemoryStream(bytes.ToArray()), Encoding.UTF8);
    }

    public void ExpectFormat(byte format)
    {
        byte found = Byte();
        if (found != format)
        {
            throw new TrainingException($"The {what} has format {found}, expected {format}: it was written by another version of the program.");
        }
    }

    public void ExpectEnd()
    {
        long left = reader.BaseStream.Length - reader.BaseStream.Position;
        if (left != 0)
        {
            throw new TrainingException($"The {what} has {left} bytes too many.");
        }
    }

    public byte Byte() => Read(reader.ReadByte);

    public bool Bool() => Read(reader.ReadByte) switch
    {
        0 => false,
        1 => true,
        byte other => throw new TrainingException($"The {what} holds {other} where 0 or 1 was expected."),
    };

    public int Int() => Read(reader.ReadInt32);

    public long Long() => Read(reader.ReadInt64);

    public float Float() => Read(reader.ReadSingle);

    public double Double() => Read(reader.ReadDouble);

    public double[] Doubles() => Array(Double);

    public long[] Longs() => Array(Long);

    public void Dispose() => reader.Dispose();

    private T[] Array<T>(Func<T> element)
    {
        int count = Int();
        long room = (reader.BaseStream.Length - reader.BaseStream.Position) / sizeof(long);
        if (count < 0 || count > room)
        {
            throw new TrainingException($"The {what} names an array of {count} numbers, but has room for {room}.");
        }

        var values = new T[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = element();
        }

        return values;
    }

    private T Read<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (EndOfStreamException e)
        {
            throw new TrainingException($"The {what} ends after {reader.BaseStream.Length} bytes, expected more.", e);
        }
    }
}

/// <summary>Writes what <see cref="StateReader"/> reads.</summary>
internal static class StateWriting
{
    public static void WriteArray(this BinaryWriter writer, IReadOnlyList<double> values)
    {
        writer.Write(values.Count);
        foreach (double value in values)
        {
            writer.Write(double.IsNaN(value) ? double.NaN : value);
        }
    }

    public static void WriteArray(this BinaryWriter writer, IReadOnlyList<long> values)
    {
        writer.Write(values.Count);
        foreach (long value in values)
        {
            writer.Write(value);
        }
    }
}
