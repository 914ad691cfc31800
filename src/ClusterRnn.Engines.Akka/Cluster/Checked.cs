using System.Buffers;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Holds what Hyperion read against the protocol's bounds: its objects are made without their constructors.</summary>
internal static class Checked
{
    [ThreadStatic]
    private static ArrayBufferWriter<byte>? s_buffer;

    /// <summary>The message as the protocol's own codec writes and reads it.</summary>
    /// <exception cref="WireException">A list is too long, a number out of its range.</exception>
    /// <exception cref="ArgumentException">It is none that travels.</exception>
    public static Message Of(Carried carried)
    {
        ArrayBufferWriter<byte> buffer = s_buffer ??= new ArrayBufferWriter<byte>(4096);
        buffer.ResetWrittenCount();
        MessageCodec.Write(carried.From, carried.To, Parts.ToMessage(carried.Body), buffer);
        return MessageCodec.Read(buffer.WrittenSpan).Message;
    }
}
