using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>Asks a coordinator how its job stands.</summary>
public static class StatusClient
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromSeconds(5);

    /// <summary>Asks once.</summary>
    /// <param name="coordinator">Its control address.</param>
    /// <param name="security">The client's certificate and token.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="TransportException">There is no coordinator, it refuses, or it does not answer.</exception>
    public static async Task<StatusReply> AskAsync(HostPort coordinator, NodeSecurity security, CancellationToken cancellation)
    {
        var handler = new Handler();
        ControlLink link = await ControlLink.ConnectAsync(
            coordinator, new NodeIdentity(PeerRole.Client, -1), security, handler, new TransportOptions(), cancellation).ConfigureAwait(false);
        await using (link.ConfigureAwait(false))
        {
            link.TrySend(ActorId.Coordinator, ActorId.Coordinator, new StatusRequest());
            try
            {
                return await handler.Reply.Task.WaitAsync(s_timeout, cancellation).ConfigureAwait(false);
            }
            catch (TimeoutException error)
            {
                throw new TransportException($"the coordinator at {coordinator} did not answer within {s_timeout.TotalSeconds:0} s", error);
            }
        }
    }

    private sealed class Handler : IControlHandler
    {
        public TaskCompletionSource<StatusReply> Reply { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Opened(ControlLink link)
        {
        }

        public void Received(ControlLink link, in Envelope envelope)
        {
            if (envelope.Message is StatusReply reply)
            {
                Reply.TrySetResult(reply);
            }
        }

        public void Closed(ControlLink link, string reason) => Reply.TrySetException(new TransportException(reason));
    }
}
