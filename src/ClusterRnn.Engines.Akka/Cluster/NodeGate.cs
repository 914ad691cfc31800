// A worker's or server's way to the coordinator, wherever that one is: it asks the singleton to be let in, again and again,
// holds on to whoever answered, and begins anew when that one is gone.
using Akka.Actor;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using Envelope = ClusterRnn.Protocol.Envelope;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>A node's end of its control messages.</summary>
internal sealed class NodeGate(AkkaNode node, ActorRole role, string? aliveFile, Action<string> log) : NodeControl(role, aliveFile), IDisposable
{
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IActorRef? _gate;
    private IActorRef? _coordinator;

    /// <inheritdoc/>
    public override IActorShell Host(IActor actor, IActorHost host) => new AkkaShell(node.System, actor, host);

    /// <summary>Joins the job.</summary>
    /// <param name="bulk">HOST:PORT of the node's own bulk port, or empty.</param>
    /// <param name="timeout">How long a coordinator is waited for.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="TransportException">There was none in time, or it refused.</exception>
    public async Task OpenAsync(string bulk, TimeSpan timeout, CancellationToken cancellation)
    {
        _gate = node.System.ActorOf(Props.CreateBy(new Producer(this, node.CoordinatorProxy, bulk)));
        try
        {
            await _opened.Task.WaitAsync(timeout, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException error)
        {
            throw new TransportException($"the cluster has no coordinator that answered within {timeout.TotalSeconds:0} s", error);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        node.HousesNoMore(Actor);
        if (_gate is not null)
        {
            node.System.Stop(_gate);
        }
    }

    /// <inheritdoc/>
    protected override void Transmit(ActorId from, ActorId to, Message message) => Volatile.Read(ref _coordinator)?.Tell(Carried.Of(from, to, message), _gate);

    private void LetIn(IActorRef coordinator, int number, JobOffer offer)
    {
        LetIn(number, offer);
        node.Houses(Actor);
        Volatile.Write(ref _coordinator, coordinator);
        _opened.TrySetResult();
    }

    private void Take(Carried carried, IActorRef sender)
    {
        if (Checked.TryOf(carried, sender, log, out Message? message))
        {
            Take(new Envelope(carried.From, carried.To, message));
        }
    }

    private void Left(string reason)
    {
        Volatile.Write(ref _coordinator, null);
        log($"the coordinator is gone: {reason}");
        Lose(reason);
    }

    private void Refused(string reason)
    {
        if (!_opened.TrySetException(new TransportException($"the coordinator refuses this node: {reason}") { IsRefusal = true }))
        {
            log($"the coordinator refuses this node: {reason}");
        }
    }

    private sealed class Producer(NodeGate gate, IActorRef proxy, string bulk) : IIndirectActorProducer
    {
        public Type ActorType => typeof(Gate);

        public ActorBase Produce() => new Gate(gate, proxy, bulk);

        public void Release(ActorBase actor)
        {
        }
    }

    private sealed class Gate(NodeGate gate, IActorRef proxy, string bulk) : UntypedActor, IWithTimers
    {
        private static readonly object s_ask = new();
        private static readonly TimeSpan s_again = TimeSpan.FromMilliseconds(250);

        private readonly SortedList<int, byte[]> _parts = [];
        private IActorRef? _coordinator;
        private IActorRef? _offering;

        public ITimerScheduler Timers { get; set; } = null!;

        protected override void PreStart() => Ask();

        protected override void OnReceive(object message)
        {
            switch (message)
            {
                case JobOfferPart part when _coordinator is null:
                    Take(part);
                    break;
                case JoinRefused refused when _coordinator is null:
                    gate.Refused(refused.Reason);
                    break;
                case Carried carried when Sender.Equals(_coordinator):
                    gate.Take(carried, Sender);
                    break;
                case CoordinatorLeaves leaves when Sender.Equals(_coordinator):
                    Context.Unwatch(_coordinator);
                    Begin(leaves.Reason);
                    break;
                case Terminated terminated when terminated.ActorRef.Equals(_coordinator):
                    Begin($"{terminated.ActorRef.Path.Address} has ended");
                    break;
                default:
                    if (ReferenceEquals(message, s_ask) && _coordinator is null)
                    {
                        Ask();
                    }

                    break;
            }
        }

        private void Begin(string reason)
        {
            _coordinator = null;
            _parts.Clear();
            gate.Left(reason);
            Ask();
        }

        private void Ask()
        {
            proxy.Tell(new JoinJob(gate.Actor, gate.JobId, bulk), Self);
            Timers.StartSingleTimer(s_ask, s_ask, s_again);
        }

        private void Take(JobOfferPart part)
        {
            if (!Sender.Equals(_offering))
            {
                _offering = Sender;
                _parts.Clear();
            }

            _parts[part.Part] = part.Bytes;
            if (_parts.Count != part.Parts)
            {
                return;
            }

            JobOffer offer = JobOffer.FromBytes(_parts.Values.SelectMany(bytes => bytes).ToArray());
            _coordinator = Sender;
            _parts.Clear();
            Context.Watch(_coordinator);
            gate.LetIn(_coordinator, part.Number, offer);
        }
    }
}
