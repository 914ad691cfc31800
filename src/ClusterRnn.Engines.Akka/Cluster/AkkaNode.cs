// A member of the cluster: an actor system with remoting over our links, the singleton that may settle here, and the end.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Cluster;
using Akka.Cluster.Tools.Singleton;
using Akka.Configuration;
using Akka.Event;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>This process in the cluster.</summary>
internal sealed class AkkaNode : ISeatHolder, IAsyncDisposable
{
    /// <summary>The actor of every node by which the singleton is reached.</summary>
    public const string ProxyName = SingletonName + "-proxy";

    /// <summary>The actor of every node that answers for it, whoever coordinates.</summary>
    public const string StandbyName = "standby";

    private const string SingletonName = "coordinator";
    private const string TakenOut = "this node was taken out of the cluster: it was on the smaller side of a split, or silent for too long";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan s_farewell = TimeSpan.FromSeconds(2);

    private readonly Action<string> _note;
    private readonly TaskCompletionSource<IActorRef> _seated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<JobEnded> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _removed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly global::Akka.Cluster.Cluster _cluster;
    private readonly ConcurrentDictionary<ActorId, bool> _housed = [];
    private bool _isLeaving;

    private AkkaNode(ActorSystem system, Action<string> note)
    {
        System = system;
        _note = note;
        _cluster = global::Akka.Cluster.Cluster.Get(system);
        Address = new HostPort(_cluster.SelfAddress.Host, _cluster.SelfAddress.Port!.Value);
    }

    /// <summary>The actor system.</summary>
    public ActorSystem System { get; }

    /// <summary>Where the others reach it.</summary>
    public HostPort Address { get; }

    /// <summary>The coordinator, wherever it is.</summary>
    public IActorRef CoordinatorProxy { get; private set; } = ActorRefs.Nobody;

    /// <summary>Ends when this node may coordinate.</summary>
    public Task<IActorRef> Seated => _seated.Task;

    /// <summary>Ends when another node's coordinator has ended the job.</summary>
    public Task<JobEnded> JobEnded => _ended.Task;

    /// <summary>Ends, with why, when this node is no member any more though it did not ask to leave, or has lost the coordinator's seat.</summary>
    public Task<string> Removed => _removed.Task;

    /// <summary>Starts a node and waits until it is a member.</summary>
    /// <exception cref="TransportException">The address can't be listened on, or no cluster let it in in time.</exception>
    public static async Task<AkkaNode> StartAsync(AkkaEngineOptions options, Action<string> note, CancellationToken cancellation)
    {
        IPEndPoint local = await AddressRules.ListeningEndPointAsync(options.Listen, options.Security.UsesTls, options.JoinTimeout, cancellation).ConfigureAwait(false);
        HostPort advertised = AddressRules.Advertise(options.Advertise is { } host ? new HostPort(host, options.Listen.Port) : null, local);
        Config config = ConfigurationFactory.ParseString(HoconText.Of(options, advertised));
        ActorSystemSetup setup = BootstrapSetup.Create().WithConfig(config).And(ControlSerialization.Setup()).And(new NodeSetup(options, note));
        ActorSystem system;
        try
        {
            system = ActorSystem.Create(HoconText.SystemName, setup);
        }
        catch (Exception error) when (error.GetBaseException() is TransportException cause)
        {
            throw new TransportException(cause.Message, error);
        }

        var node = new AkkaNode(system, note);
        try
        {
            await node.JoinAsync(options, cancellation).ConfigureAwait(false);
            return node;
        }
        catch
        {
            await node.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public void TakeSeat(IActorRef seat) => _seated.TrySetResult(seat);

    /// <inheritdoc/>
    public void LoseSeat()
    {
        if (!_isLeaving)
        {
            _removed.TrySetResult(_cluster.SelfMember.Status is MemberStatus.Down or MemberStatus.Removed ? TakenOut : "the coordinator's seat has moved to another node");
        }
    }

    /// <inheritdoc/>
    public void Note(string text) => _note(text);

    /// <summary>A worker or server lives here from now on.</summary>
    public void Houses(ActorId actor) => _housed[actor] = true;

    /// <summary>It has ended.</summary>
    public void HousesNoMore(ActorId actor) => _housed.TryRemove(actor, out _);

    /// <summary>Tells those who wait to coordinate that there is nothing left to do, and waits a moment for their answers.</summary>
    public async Task TellEndAsync(JobEnded ended)
    {
        Address[] others = [.. _cluster.State.Members
            .Where(member => member.HasRole(HoconText.CoordinatorRole) && !member.Address.Equals(_cluster.SelfAddress)).Select(member => member.Address)];
        long started = Stopwatch.GetTimestamp();
        foreach (Address other in others)
        {
            TimeSpan left = s_farewell - Stopwatch.GetElapsedTime(started);
            if (left > TimeSpan.Zero)
            {
                try
                {
                    await System.ActorSelection(new RootActorPath(other) / "user" / StandbyName).Ask<JobEndHeard>(ended, left).ConfigureAwait(false);
                }
                catch (Exception error) when (error is AskTimeoutException or OperationCanceledException)
                {
                    _note($"{other} did not hear that the job has ended; if it takes over it finds nothing left to do");
                }
            }
        }
    }

    /// <summary>Leaves the cluster in order, then ends the system.</summary>
    public async ValueTask DisposeAsync()
    {
        _isLeaving = true;
        Task leaving = CoordinatedShutdown.Get(System).Run(CoordinatedShutdown.ClrExitReason.Instance);
        if (await Task.WhenAny(leaving, Task.Delay(s_patience)).ConfigureAwait(false) != leaving)
        {
            await System.Terminate().WaitAsync(s_patience).ConfigureAwait(false);
        }
    }

    private async Task JoinAsync(AkkaEngineOptions options, CancellationToken cancellation)
    {
        var up = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _cluster.RegisterOnMemberUp(() => up.TrySetResult());
        _cluster.RegisterOnMemberRemoved(() =>
        {
            if (!_isLeaving)
            {
                _removed.TrySetResult(TakenOut);
            }
        });
        System.ActorOf(Props.CreateBy(new StandbyProducer(this)), StandbyName);
        if (options.Roles.HasFlag(AkkaRoles.Coordinator))
        {
            System.ActorOf(
                ClusterSingletonManager.Props(
                    Props.CreateBy(new SeatProducer(this)), PoisonPill.Instance, ClusterSingletonManagerSettings.Create(System).WithRole(HoconText.CoordinatorRole)),
                SingletonName);
        }

        CoordinatorProxy = System.ActorOf(
            ClusterSingletonProxy.Props($"/user/{SingletonName}", ClusterSingletonProxySettings.Create(System).WithRole(HoconText.CoordinatorRole)),
            ProxyName);
        if (options.SeedNodes.Count == 0)
        {
            _cluster.Join(_cluster.SelfAddress);
        }

        try
        {
            await up.Task.WaitAsync(options.JoinTimeout, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException error)
        {
            throw new TransportException(
                $"no cluster let this node in within {options.JoinTimeout.TotalSeconds:0} s; asked {string.Join(", ", options.SeedNodes)}. The first seed node must be running.", error);
        }
    }

    private sealed class SeatProducer(AkkaNode node) : IIndirectActorProducer
    {
        public Type ActorType => typeof(CoordinatorSeat);

        public ActorBase Produce() => new CoordinatorSeat(node);

        public void Release(ActorBase actor)
        {
        }
    }

    private sealed class StandbyProducer(AkkaNode node) : IIndirectActorProducer
    {
        public Type ActorType => typeof(Standby);

        public ActorBase Produce() => new Standby(node);

        public void Release(ActorBase actor)
        {
        }
    }

    private sealed class Standby(AkkaNode node) : UntypedActor
    {
        protected override void OnReceive(object message)
        {
            switch (message)
            {
                case JobEnded ended:
                    node._ended.TrySetResult(ended);
                    Sender.Tell(new JobEndHeard(), Self);
                    break;
                case RollCall:
                    Sender.Tell(new Present([.. node._housed.Keys]), Self);
                    break;
            }
        }
    }
}

/// <summary>Akka's warnings and errors, for the person who runs the node.</summary>
public sealed class NoteLogger : UntypedActor
{
    private const string Advice = " Could not find any internal Akka.NET serializer"; // said of every serializer that is not Akka's own

    private static readonly string[] s_broken = ["Association ", "AssociationError", "Disassociated", "Tried to associate", "Shut down address"];

    private readonly Action<string> _note = Context.System.Settings.Setup.Get<NodeSetup>().Value.Note;

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case InitializeLogger:
                Sender.Tell(new LoggerInitialized(), Self);
                break;
            case Error error:
                Say(error, error.Cause);
                break;
            case Warning warning:
                Say(warning, warning.Cause);
                break;
        }
    }

    // That a connection broke is said by the membership, with what follows from it.
    private void Say(LogEvent happened, Exception? cause)
    {
        string text = $"{happened.Message}".Split('\n')[0].Split(Advice)[0];
        if (!s_broken.Any(text.StartsWith))
        {
            string peer = HoconText.NodeIn(happened.LogSource) is { } node ? $" about {node}" : "", why = cause?.GetBaseException().Message ?? "";
            _note($"Akka{peer}: {text}{(text.Contains(why, StringComparison.Ordinal) ? "" : ": " + why)}");
        }
    }
}
