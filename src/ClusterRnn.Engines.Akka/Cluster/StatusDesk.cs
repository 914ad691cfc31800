// `clusterrnn status` calls a node of an Akka cluster as it calls a tcp coordinator. What it asks is passed on to the singleton,
// wherever that one is. A client's bytes never reach Akka.
using System.Buffers;
using Akka.Actor;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Answers a client.</summary>
/// <param name="system">The node's actor system.</param>
/// <param name="note">Is told what a person should know.</param>
internal sealed class StatusDesk(ActorSystem system, Action<string> note) : IBytesHandler
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(4); // less than a client has

    /// <inheritdoc/>
    public void Opened(ByteLink link)
    {
    }

    /// <inheritdoc/>
    public void Received(ByteLink link, ReadOnlySpan<byte> message)
    {
        try
        {
            if (MessageCodec.Read(message).Message is StatusRequest request)
            {
                _ = AnswerAsync(link, request);
            }
        }
        catch (WireException error)
        {
            link.Close(error.Message);
        }
    }

    /// <inheritdoc/>
    public void Closed(ByteLink link, string reason)
    {
    }

    private async Task AnswerAsync(ByteLink link, StatusRequest request)
    {
        try
        {
            ActorSelection coordinator = system.ActorSelection($"/user/{AkkaNode.ProxyName}");
            Carried reply = await coordinator.Ask<Carried>(Carried.Of(ActorId.Coordinator, ActorId.Coordinator, request), s_patience).ConfigureAwait(false);
            if (!Checked.TryOf(reply, sender: null, note, out Message? status))
            {
                link.Close("the coordinator's answer can't be read; this node's log says why");
                return;
            }

            var bytes = new ArrayBufferWriter<byte>(1024);
            MessageCodec.Write(reply.From, reply.To, status, bytes);
            link.TrySend(bytes.WrittenSpan);
        }
        catch (Exception error) when (error is AskTimeoutException or OperationCanceledException)
        {
            link.Close($"the cluster has no coordinator that answered within {s_patience.TotalSeconds:0} s; one node may be taking over from another");
        }
    }
}
