using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using Akka.Actor;
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
    /// <exception cref="WireException">A list is too long, a number out of its range, something is missing.</exception>
    /// <exception cref="ArgumentException">It is none that travels.</exception>
    public static Message Of(Carried carried)
    {
        ArrayBufferWriter<byte> buffer = s_buffer ??= new ArrayBufferWriter<byte>(4096);
        buffer.ResetWrittenCount();
        try
        {
            MessageCodec.Write(carried.From, carried.To, Parts.ToMessage(carried.Body), buffer);
        }
        catch (Exception error) when (error is NullReferenceException or InvalidOperationException)
        {
            throw new WireException($"a part of it is missing ({error.Message})");
        }

        return MessageCodec.Read(buffer.WrittenSpan).Message;
    }

    /// <summary>The same for what a peer sent: what is wrong with it is said, with who sent it, and it goes no further.</summary>
    /// <param name="carried">What it sent.</param>
    /// <param name="sender">Who; null when that is not known.</param>
    /// <param name="note">Is told.</param>
    /// <param name="message">The message; null when it is refused.</param>
    public static bool TryOf(Carried carried, IActorRef? sender, Action<string> note, [NotNullWhen(true)] out Message? message)
    {
        try
        {
            message = Of(carried);
            return true;
        }
        catch (Exception error) when (error is WireException or ArgumentException)
        {
            note($"refused a {carried.Body?.GetType().Name ?? "message without a body"} of {carried.From}{(sender is null ? "" : $" at {sender.Path.Address}")}: {error.Message}");
            message = null;
            return false;
        }
    }
}
