// The cluster's singleton. Whose node holds it may coordinate; everybody else finds the coordinator through it. It knows which
// actor lives on which node, passes messages on, and turns Akka's word about nodes into the protocol's about actors.
using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Cluster;
using Akka.Remote;
using ClusterRnn.Engines.Akka.Membership;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Is told whether this node holds the singleton.</summary>
internal interface ISeatHolder
{
    /// <summary>The singleton is here.</summary>
    void TakeSeat(IActorRef seat);

    /// <summary>It is not any more.</summary>
    void LoseSeat();

    /// <summary>Tells a person.</summary>
    void Note(string text);
}

/// <summary>The coordinator's end of all control messages, behind the singleton.</summary>
internal sealed class SeatSession(IActorRef seat, HostPort address, ControlTerms terms) : ICoordinatorControl
{
    private const int PartBytes = 64 << 10;

    private readonly ConcurrentDictionary<ActorId, SeatedNode> _nodes = [];
    private readonly ConcurrentQueue<IActorRef> _askers = []; // for the status

    /// <summary>On what terms nodes join.</summary>
    public ControlTerms Terms => terms;

    /// <summary>Who is connected.</summary>
    public ConcurrentDictionary<ActorId, SeatedNode> Nodes => _nodes;

    /// <summary>The offer in parts.</summary>
    public IReadOnlyList<byte[]> Offer { get; private set; } = [];

    /// <inheritdoc/>
    public Task<HostPort> OpenAsync(byte[] offer)
    {
        Offer = [.. offer.Chunk(PartBytes)];
        seat.Tell(new CoordinatorSeat.Open(this), ActorRefs.NoSender);
        return Task.FromResult(address);
    }

    /// <inheritdoc/>
    public int Count(ActorRole role) => _nodes.Keys.Count(actor => actor.Role == role);

    /// <inheritdoc/>
    public string? BulkAddressOf(ActorId server) => _nodes.TryGetValue(server, out SeatedNode? node) ? node.Bulk : null;

    /// <inheritdoc/>
    public void Send(ActorId from, ActorId to, Message message)
    {
        if (message is StatusReply)
        {
            while (_askers.TryDequeue(out IActorRef? asker))
            {
                asker.Tell(Carried.Of(from, ActorId.Coordinator, message), seat);
            }
        }
        else if (_nodes.TryGetValue(to, out SeatedNode? node))
        {
            node.Gate.Tell(Carried.Of(from, to, message), seat);
        }
    }

    /// <summary>Somebody asks how the job stands.</summary>
    public void AskStatus(IActorRef asker)
    {
        _askers.Enqueue(asker);
        terms.Received(ActorId.Coordinator, new StatusRequest()); // the reply comes back to this end
    }

    /// <inheritdoc/>
    public void Close(string reason) => seat.Tell(new CoordinatorSeat.Close(this, reason), ActorRefs.NoSender);

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        Close("the coordinator ends");
        return ValueTask.CompletedTask;
    }
}

/// <summary>A worker or server that has joined.</summary>
/// <param name="Gate">Its end.</param>
/// <param name="Bulk">Where it takes blocks, or empty.</param>
internal sealed record SeatedNode(IActorRef Gate, string Bulk);

/// <summary>The singleton.</summary>
internal sealed class CoordinatorSeat : UntypedActor, IWithTimers
{
    private static readonly TimeSpan s_askAfter = TimeSpan.FromMilliseconds(700); // an association that broke is not tried again at once
    private static readonly TimeSpan s_answerWithin = TimeSpan.FromMilliseconds(800);
    private static readonly TimeSpan s_rollAgain = TimeSpan.FromMilliseconds(100);
    private static readonly object s_roll = new();

    private readonly HashSet<IActorRef> _silent = []; // whose connection broke and who has not answered since
    private readonly HashSet<IActorRef> _refused = []; // each is mentioned once, however often it asks
    private readonly ISeatHolder _holder;
    private readonly global::Akka.Cluster.Cluster _cluster = global::Akka.Cluster.Cluster.Get(Context.System);
    private readonly int[] _next = new int[3]; // by role
    private SeatSession? _session;
    private Dictionary<Address, ActorId[]>? _present; // who lives where, as the nodes say; null when nobody needs to know

    public CoordinatorSeat(ISeatHolder holder) => _holder = holder;

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <inheritdoc/>
    protected override void PreStart()
    {
        _cluster.Subscribe(
            Self, ClusterEvent.SubscriptionInitialStateMode.InitialStateAsEvents, typeof(ClusterEvent.IMemberEvent), typeof(ClusterEvent.IReachabilityEvent));
        Context.System.EventStream.Subscribe(Self, typeof(DisassociatedEvent));
        _holder.TakeSeat(Self);
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        _cluster.Unsubscribe(Self);
        Context.System.EventStream.Unsubscribe(Self);
        _holder.LoseSeat();
    }

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case Open open:
                _session = open.Session;
                Array.Fill(_next, open.Session.Terms.FirstNumber);
                _present = open.Session.Terms.Awaited.Count > 0 ? [] : null;
                CallTheRoll();
                break;
            case Close close when _session == close.Session:
                foreach (SeatedNode node in close.Session.Nodes.Values)
                {
                    node.Gate.Tell(new CoordinatorLeaves(close.Reason), Self);
                }

                _session = null;
                break;
            case JoinJob join when _session is { } session:
                Join(session, join);
                break;
            case Carried { Body: StatusRequest } when _session is { } session:
                session.AskStatus(Sender);
                break;
            case Carried carried when _session is { } session && session.Nodes.TryGetValue(carried.From, out SeatedNode? node) && node.Gate.Equals(Sender):
                if (Checked.TryOf(carried, Sender, _holder.Note, out Message? sent))
                {
                    session.Terms.Received(carried.From, sent);
                }

                break;
            case Present { Actors: { } here } when _present is not null:
                _present[Sender.Path.Address.Host is null ? _cluster.SelfAddress : Sender.Path.Address] = here;
                if (Unheard(_present).Length == 0)
                {
                    CallTheRoll();
                }

                break;
            case CallAgain:
                CallTheRoll();
                break;
            case Terminated terminated when _session is { } session:
                Gone(session, terminated.ActorRef, $"{terminated.ActorRef.Path.Address} has ended");
                break;
            case DisassociatedEvent broken when _session is { } session:
                foreach (SeatedNode node in session.Nodes.Values.Where(node => node.Gate.Path.Address.Equals(broken.RemoteAddress)))
                {
                    _silent.Add(node.Gate);
                    Timers.StartSingleTimer(node.Gate, new Ask(node.Gate), s_askAfter);
                }

                break;
            case Ask ask when _silent.Contains(ask.Gate):
                ask.Gate.Tell(new Identify(null), Self);
                Timers.StartSingleTimer(ask.Gate, new Overdue(ask.Gate), s_answerWithin);
                break;
            case ActorIdentity { Subject: { } answering }:
                _silent.Remove(answering);
                break;
            case Overdue overdue when _silent.Remove(overdue.Gate) && _session is { } session:
                // A process that died: the failure detector and the resolver take seconds to say so.
                Gone(session, overdue.Gate, $"the connection to {overdue.Gate.Path.Address} broke, and it does not answer");
                overdue.Gate.Tell(new CoordinatorLeaves("its connection broke, and it did not answer in time; it may join again"), Self);
                break;
            case ClusterEvent.UnreachableMember unreachable:
                Changed(MemberChange.Unreachable, unreachable.Member);
                break;
            case ClusterEvent.ReachableMember reachable:
                Changed(MemberChange.Reachable, reachable.Member);
                break;
            case ClusterEvent.MemberDowned downed:
                Changed(MemberChange.Downed, downed.Member);
                break;
            case ClusterEvent.MemberRemoved removed:
                Changed(removed.PreviousStatus == MemberStatus.Down ? MemberChange.RemovedAfterCrash : MemberChange.RemovedAfterLeaving, removed.Member);
                break;
        }
    }

    private void Join(SeatSession session, JoinJob join)
    {
        if (WhyNot(session, join) is { } refusal)
        {
            if (_refused.Add(Sender))
            {
                _holder.Note($"refused a node at {Sender.Path.Address}: {refusal}");
            }

            Sender.Tell(new JoinRefused(refusal), Self);
            return;
        }

        IActorRef gate = Sender;
        ActorId actor = session.Nodes.FirstOrDefault(node => node.Value.Gate.Equals(gate)).Key; // it asks again: the answer is on its way
        bool isKnown = session.Nodes.TryGetValue(actor, out SeatedNode? known) && known.Gate.Equals(gate);
        if (!isKnown)
        {
            int role = (int)join.Actor.Role;
            int number = join.Actor.Number >= 0 ? join.Actor.Number : _next[role];
            _next[role] = Math.Max(_next[role], number + 1);
            actor = new ActorId(join.Actor.Role, number);
            session.Nodes[actor] = new SeatedNode(gate, join.Bulk);
            Context.Watch(gate);
        }

        for (int part = 0; part < session.Offer.Count; part++)
        {
            gate.Tell(new JobOfferPart(actor.Number, part, session.Offer.Count, session.Offer[part]), Self);
        }

        var book = new AddressBook([.. session.Nodes.Where(node => node.Key.Role == ActorRole.Server).OrderBy(node => node.Key).Select(node => new PeerAddress(node.Key, node.Value.Bulk))]);
        foreach ((ActorId other, SeatedNode node) in session.Nodes)
        {
            if (other == actor || actor.Role == ActorRole.Server)
            {
                node.Gate.Tell(Carried.Of(ActorId.Coordinator, other, book), Self);
            }
        }
    }

    private static string? WhyNot(SeatSession session, JoinJob join)
        => join.JobId is null || join.Bulk is null || join.Bulk.Length > Limits.MaximumTextBytes / 3 || join.Actor.Number < -1 ? "its request is no proper one"
            : join.JobId.Length > 0 && join.JobId != session.Terms.JobId ? $"this coordinator runs job {session.Terms.JobId}, the node belongs to job {join.JobId}"
            : join.Actor.Role is not (ActorRole.Worker or ActorRole.Server) ? "a coordinator does not join another one"
            : join.Actor.Role == ActorRole.Server && join.Bulk.Length == 0 ? "a server must say where it takes blocks"
            : null;

    /// <summary>
    /// Asks every member who lives there, until all have answered. A server that the journal names and nobody has is gone for good:
    /// its node was taken out, or it has ended. So nobody has to wait until its lease is over.
    /// </summary>
    private void CallTheRoll()
    {
        if (_present is not { } present || _session is not { } session)
        {
            return;
        }

        if (Unheard(present) is { Length: > 0 } unheard)
        {
            foreach (Address node in unheard)
            {
                Context.ActorSelection(new RootActorPath(node) / "user" / AkkaNode.StandbyName).Tell(new RollCall(), Self);
            }

            Timers.StartSingleTimer(s_roll, new CallAgain(), s_rollAgain);
            return;
        }

        _present = null;
        foreach (ActorId server in session.Terms.Awaited.Except(present.Values.SelectMany(here => here)).Except(session.Nodes.Keys))
        {
            session.Terms.Received(ActorId.Coordinator, new ActorDown(server, "no node of the cluster has it"));
        }
    }

    private Address[] Unheard(Dictionary<Address, ActorId[]> present)
        => [.. _cluster.State.Members.Select(member => member.Address).Where(address => !present.ContainsKey(address))];

    private void Changed(MemberChange change, Member member)
    {
        bool isLeaving = _cluster.SelfMember.Status is MemberStatus.Leaving or MemberStatus.Exiting or MemberStatus.Down or MemberStatus.Removed;
        MemberConsequence consequence = MemberChanges.Of(change, member.Address.ToString(), isLeaving);
        if (consequence.Warns)
        {
            _holder.Note(consequence.Reason);
        }

        if (consequence.Ends && _session is { } session)
        {
            foreach (SeatedNode node in session.Nodes.Values.Where(node => node.Gate.Path.Address.Equals(member.Address)).ToArray())
            {
                Gone(session, node.Gate, consequence.Reason);
            }
        }
    }

    private static void Gone(SeatSession session, IActorRef gate, string reason)
    {
        foreach ((ActorId actor, SeatedNode node) in session.Nodes.Where(node => node.Value.Gate.Equals(gate)).ToArray())
        {
            session.Nodes.TryRemove(actor, out _);
            session.Terms.Received(ActorId.Coordinator, new ActorDown(actor, reason));
        }
    }

    /// <summary>A coordinator begins.</summary>
    internal sealed record Open(SeatSession Session) : INoSerializationVerificationNeeded;

    private sealed record Ask(IActorRef Gate) : INoSerializationVerificationNeeded;

    private sealed record CallAgain : INoSerializationVerificationNeeded;

    private sealed record Overdue(IActorRef Gate) : INoSerializationVerificationNeeded;

    /// <summary>It ends.</summary>
    internal sealed record Close(SeatSession Session, string Reason) : INoSerializationVerificationNeeded;
}
