// Everything that happens in a run, in order, as lines and as one hash. The same seed gives the same lines, byte for byte.
//
//     0.012345 s  worker 3      <-  coordinator Assign { Epoch = 1, Version = 0, ... }      a message arrives
//     0.012345 s  worker 3      ->  server 100 ReadParameters { ... }                       a message is sent
//     0.012345 s  worker 3      do  ComputeShards { ... }                                   an effect for the host
//     0.014000 s  worker-1      !!  Kill worker-1 ...                                       a fault begins
using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Engines.Simulator.Events;

/// <summary>The trace of a run.</summary>
/// <param name="into">Is given each line; null where only the hash is wanted.</param>
internal sealed class Trace(TextWriter? into = null)
{
    private const int RememberedLines = 80;

    private readonly (long Ticks, string Who, string Way, string Other, object What)[] _last = new (long, string, string, string, object)[RememberedLines];
    private readonly ArrayBufferWriter<byte> _buffer = new(4096);
    private long _count;

    /// <summary>The hash of all lines so far.</summary>
    public ulong Hash { get; private set; } = 14695981039346656037;

    /// <summary>How many lines there were.</summary>
    public long Count => _count;

    /// <summary>Adds a line.</summary>
    /// <param name="ticks">When.</param>
    /// <param name="who">To whom it happened.</param>
    /// <param name="way">How: see above.</param>
    /// <param name="other">Who else takes part, or empty.</param>
    /// <param name="what">What.</param>
    public void Add(long ticks, string who, string way, string other, object what)
    {
        _last[_count++ % RememberedLines] = (ticks, who, way, other, what);
        _buffer.ResetWrittenCount();
        BitConverter.TryWriteBytes(_buffer.GetSpan(8), ticks);
        _buffer.Advance(8);
        Write(who);
        Write(way);
        Write(other);
        if (what is Message message && MessageCodec.Travels(message))
        {
            MessageCodec.Write(ActorId.Coordinator, ActorId.Coordinator, message, _buffer);
        }
        else
        {
            Write(Describe(what));
        }

        Hash = ContentDigest.Join(Hash, Digest(_buffer.WrittenSpan));
        into?.WriteLine(Line((ticks, who, way, other, what)));
    }

    /// <summary>The last lines.</summary>
    public IEnumerable<string> Last()
    {
        for (long i = Math.Max(0, _count - RememberedLines); i < _count; i++)
        {
            yield return Line(_last[i % RememberedLines]);
        }
    }

    /// <summary>What happened in words: records by name and value, arrays spelled out.</summary>
    public static string Describe(object what) => TraceText.Of(what);

    private static string Line((long Ticks, string Who, string Way, string Other, object What) line)
        => $"{new Instant(line.Ticks)}  {line.Who,-14}{line.Way}  {line.Other}{(line.Other.Length > 0 ? " " : "")}{Describe(line.What)}";

    private static unsafe ulong Digest(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* data = &MemoryMarshal.GetReference(bytes))
        {
            return ContentDigest.Of(data, bytes.Length);
        }
    }

    private void Write(string text)
    {
        int bytes = Encoding.UTF8.GetBytes(text, _buffer.GetSpan((text.Length * 3) + 1));
        _buffer.Advance(bytes);
        _buffer.GetSpan(1)[0] = 0;
        _buffer.Advance(1);
    }
}
