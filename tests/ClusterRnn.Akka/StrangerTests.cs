// What a node does with what it must not take: a type that is not allowed, a message that is too large, a manifest or serializer
// nobody knows, a peer without the token. Each is refused, it is said what and of whom, and the node lives on.
using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Serialization;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Engines.Akka.Cluster;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Akka;

public sealed class StrangerTests
{
    private const string Token = "a-token-for-this-test";
    private const int Membership = 5; // the number of the serializer for Akka's own messages about members
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);
    private readonly ConcurrentQueue<string> _said = [];

    [Fact]
    public async Task What_is_not_allowed_is_refused_and_the_node_lives_on()
    {
        AkkaNode first = await StartAsync([]);
        await using (first.ConfigureAwait(false))
        {
            AkkaNode second = await StartAsync([first.Address]);
            await using (second.ConfigureAwait(false))
            {
                IActorRef echo = await EchoAsync(first, second);

                echo.Tell(new Carried(ActorId.Coordinator, ActorId.Coordinator, new Version(1, 2)), ActorRefs.NoSender);
                await SaysAsync("Unsafe Type Deserialization Detected! [type: System.Version, ", about: second);
                await AnswersAsync(echo);

                echo.Tell(new Version(1, 2), ActorRefs.NoSender);
                await SaysAsync("System.Version does not travel between nodes", about: first);
                await AnswersAsync(echo);

                echo.Tell(new JobOfferPart(1, 0, 1, new byte[Limits.MaximumControlBytes]), ActorRefs.NoSender);
                await SaysAsync("Discarding oversized payload", nameof(JobOfferPart), about: first);
                await AnswersAsync(echo);
            }
        }
    }

    [Fact]
    public async Task What_another_program_sends_is_refused_by_name_and_the_node_lives_on()
    {
        AkkaNode first = await StartAsync([]);
        await using (first.ConfigureAwait(false))
        {
            AkkaNode second = await StartAsync([first.Address]);
            await using (second.ConfigureAwait(false))
            {
                IActorRef echo = await EchoAsync(first, second);
                using var anything = new MemoryStream();
                new Hyperion.Serializer().Serialize(new Version(1, 2), anything);
                int hyperion = second.System.Serialization.FindSerializerFor(new JobEndHeard()).Identifier;

                await SendAsync(4711, "strange/1", [1], "Cannot find serializer with id [4711] (manifest [strange/1])");
                await SendAsync(hyperion, "Nobody.Knows, Nowhere", [1], $"Cannot find manifest class [Nobody.Knows, Nowhere] for serializer with id [{hyperion}]");
                await SendAsync(Membership, "strange/2", [1], "manifest [strange/2]");
                await SendAsync(hyperion, "", anything.ToArray(), "Unsafe Type Deserialization Detected! [type: System.Version, ");
                await SendAsync(hyperion, "", [255, 1, 2, 3], "Failed to deserialize");

                async Task SendAsync(int serializer, string manifest, byte[] bytes, string refusal)
                {
                    second.System.Serialization.AddSerializationMap(typeof(Strange), new StrangeSerializer((ExtendedActorSystem)second.System, serializer, manifest, bytes));
                    echo.Tell(new Strange(), ActorRefs.NoSender);
                    await SaysAsync(refusal, about: second);
                    await AnswersAsync(echo);
                }
            }
        }
    }

    [Fact]
    public async Task A_frame_that_is_too_large_ends_its_link_and_nothing_else()
    {
        AkkaNode first = await StartAsync([]);
        await using (first.ConfigureAwait(false))
        {
            var quiet = new Quiet();
            ByteLink link = await ByteLink.ConnectAsync(
                first.Address, new NodeIdentity(PeerRole.Worker, -1), NodeSecurity.OfToken(Token), quiet, new TransportOptions(), TestContext.Current.CancellationToken);
            Assert.True(link.TrySend(new byte[Limits.MaximumControlBytes + 1]));
            await SaysAsync("a Control frame has at most", $"found {Limits.MaximumControlBytes + 1}");
            await quiet.Ended.WaitAsync(s_patience, TestContext.Current.CancellationToken);
            AkkaNode second = await StartAsync([first.Address]);
            await using (second.ConfigureAwait(false))
            {
                await AnswersAsync(await EchoAsync(first, second));
            }
        }
    }

    [Fact]
    public async Task A_message_out_of_the_protocols_bounds_is_refused_and_the_coordinator_stays()
    {
        AkkaNode first = await StartAsync([]);
        await using (first.ConfigureAwait(false))
        {
            var arrived = new ConcurrentQueue<Message>();
            var session = new SeatSession(await first.Seated.WaitAsync(s_patience), first.Address, new ControlTerms("job", 0, (_, message) => arrived.Enqueue(message), _said.Enqueue, []));
            await session.OpenAsync([1, 2, 3]);
            AkkaNode second = await StartAsync([first.Address]);
            await using (second.ConfigureAwait(false))
            {
                IActorRef coordinator = second.CoordinatorProxy;
                var inbox = Inbox.Create(second.System);
                JoinRefused? refused = null;
                await SoonAsync(() => (refused ??= RefusedAtOnce(coordinator, new JoinJob(new ActorId(ActorRole.Worker, -1), null!, ""))) is not null, "a coordinator that is found");
                await SaysAsync($"refused a node at {HoconText.AddressOf(second.Address)}: its request is no proper one");
                inbox.Send(coordinator, new JoinJob(new ActorId(ActorRole.Worker, -1), "", ""));
                ActorId worker = ActorId.Worker(Assert.IsType<JobOfferPart>(await inbox.ReceiveAsync(s_patience)).Number);

                inbox.Send(coordinator, new Carried(worker, ActorId.Coordinator, new Coverage(1, 2, 3, 0, null!)));
                await SaysAsync($"refused a {nameof(Coverage)} of {worker} at {HoconText.AddressOf(second.Address)}: ");
                inbox.Send(coordinator, new Carried(worker, ActorId.Coordinator, null!));
                await SaysAsync($"refused a message without a body of {worker} at {HoconText.AddressOf(second.Address)}: ");
                inbox.Send(coordinator, new Carried(worker, ActorId.Coordinator, new Heartbeat(1, 2, 3)));
                await SoonAsync(() => arrived.OfType<Heartbeat>().Any(), "the next message");
                Assert.IsType<Heartbeat>(Assert.Single(arrived));
                Assert.False(first.Removed.IsCompleted, "the coordinator lost its seat");
            }
        }
    }

    [Fact]
    public async Task A_client_is_told_the_status_and_gets_nowhere_else()
    {
        AkkaNode first = await StartAsync([]);
        await using (first.ConfigureAwait(false))
        {
            SeatSession? session = null;
            var status = new StatusReply(1, 2, "at work", 3, false, [], []);
            session = new SeatSession(
                await first.Seated.WaitAsync(s_patience),
                first.Address,
                new ControlTerms("job", 0, (_, message) => session!.Send(ActorId.Coordinator, ActorId.Coordinator, message is StatusRequest ? status : message), _said.Enqueue, []));
            AkkaNode second = await StartAsync([first.Address]);
            await using (second.ConfigureAwait(false))
            {
                // Nobody coordinates yet.
                TransportException none = await Assert.ThrowsAsync<TransportException>(() => StatusClient.AskAsync(first.Address, NodeSecurity.OfToken(Token), TestContext.Current.CancellationToken));
                Assert.Contains("no coordinator that answered", none.Message, StringComparison.Ordinal);
                await session.OpenAsync([1, 2, 3]);
                foreach (AkkaNode asked in new[] { first, second })
                {
                    StatusReply reply = await StatusClient.AskAsync(asked.Address, NodeSecurity.OfToken(Token), TestContext.Current.CancellationToken);
                    Assert.Equal(("at work", 2L), (reply.Activity, reply.Version));
                }

                await Assert.ThrowsAsync<TransportException>(() => StatusClient.AskAsync(first.Address, NodeSecurity.OfToken("another"), TestContext.Current.CancellationToken));
            }

            // One that calls for Akka is heard as a client all the same.
            var quiet = new Quiet();
            ByteLink link = await ByteLink.ConnectAsync(
                first.Address, new NodeIdentity(PeerRole.Client, -1), NodeSecurity.OfToken(Token), quiet, new TransportOptions(), TestContext.Current.CancellationToken);
            link.TrySend([1, 2, 3]);
            Assert.Contains("no message has the tag", await quiet.Ended.WaitAsync(s_patience, TestContext.Current.CancellationToken), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_node_without_the_token_is_not_let_in()
    {
        AkkaNode first = await StartAsync([]);
        await using (first.ConfigureAwait(false))
        {
            AkkaEngineOptions stranger = Options([first.Address], "another-token") with { JoinTimeout = TimeSpan.FromSeconds(4) };
            TransportException refused = await Assert.ThrowsAsync<TransportException>(() => AkkaNode.StartAsync(stranger, _ => { }, TestContext.Current.CancellationToken));
            Assert.Contains("no cluster let this node in", refused.Message, StringComparison.Ordinal);
            await SaysAsync("its token is not this job's");
            Assert.Single(global::Akka.Cluster.Cluster.Get(first.System).State.Members);
        }
    }

    [Fact]
    public async Task Nodes_with_certificates_find_each_other()
    {
        string folder = Directory.CreateTempSubdirectory("certs").FullName;
        try
        {
            Certificates.Create(folder, 1);
            using NodeSecurity coordinator = NodeSecurity.Load(folder, PeerRole.Coordinator), worker = NodeSecurity.Load(folder, PeerRole.Worker);
            AkkaNode first = await AkkaNode.StartAsync(Options([], "") with { Security = coordinator }, _said.Enqueue, TestContext.Current.CancellationToken);
            await using (first.ConfigureAwait(false))
            {
                AkkaEngineOptions other = Options([first.Address], "") with { Security = worker, Roles = AkkaRoles.Worker };
                AkkaNode second = await AkkaNode.StartAsync(other, _said.Enqueue, TestContext.Current.CancellationToken);
                await using (second.ConfigureAwait(false))
                {
                    await AnswersAsync(await EchoAsync(first, second));
                    await AnswersAsync(await EchoAsync(second, first)); // a worker is called as well
                }

                AkkaEngineOptions plain = Options([first.Address], "") with { Roles = AkkaRoles.Worker, JoinTimeout = TimeSpan.FromSeconds(4) };
                await Assert.ThrowsAsync<TransportException>(() => AkkaNode.StartAsync(plain, _ => { }, TestContext.Current.CancellationToken));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static AkkaEngineOptions Options(HostPort[] seeds, string token) => new()
    {
        SeedNodes = seeds,
        Security = NodeSecurity.OfToken(token),
        JoinTimeout = s_patience,
    };

    private static async Task<IActorRef> EchoAsync(AkkaNode at, AkkaNode from)
    {
        at.System.ActorOf(Props.Create<Echo>(), "echo");
        Address address = global::Akka.Cluster.Cluster.Get(at.System).SelfAddress;
        return await from.System.ActorSelection(new RootActorPath(address) / "user" / "echo").ResolveOne(s_patience);
    }

    private static async Task AnswersAsync(IActorRef echo) => Assert.IsType<JobEndHeard>(await echo.Ask<object>(new JobEndHeard(), s_patience));

    private Task<AkkaNode> StartAsync(HostPort[] seeds) => AkkaNode.StartAsync(Options(seeds, Token), _said.Enqueue, TestContext.Current.CancellationToken);

    private Task SaysAsync(string text, string more = "", AkkaNode? about = null) => SoonAsync(
        () => _said.Any(line => line.Contains(text, StringComparison.Ordinal)
            && line.Contains(more, StringComparison.Ordinal)
            && (about is null || line.StartsWith($"Akka about {about.Address}: ", StringComparison.Ordinal))),
        $"'{text}{more}'{(about is null ? "" : $" about {about.Address}")}");

    /// <summary>The coordinator's refusal; null while the node does not know where it is.</summary>
    private static JoinRefused? RefusedAtOnce(IActorRef coordinator, JoinJob join)
    {
        Task<JoinRefused> refused = coordinator.Ask<JoinRefused>(join, TimeSpan.FromSeconds(1));
        return Task.WaitAny(refused, Task.Delay(TimeSpan.FromSeconds(2))) == 0 && refused.IsCompletedSuccessfully ? refused.Result : null;
    }

    private async Task SoonAsync(Func<bool> isSo, string what)
    {
        for (long until = Environment.TickCount64 + (long)s_patience.TotalMilliseconds; !isSo(); await Task.Delay(20))
        {
            Assert.True(Environment.TickCount64 < until, $"expected {what}; said was: {string.Join("\n", _said)}");
        }
    }

    private sealed record Strange;

    /// <summary>Writes what a test wants, under the number and manifest it wants.</summary>
    private sealed class StrangeSerializer(ExtendedActorSystem system, int identifier, string manifest, byte[] bytes) : SerializerWithStringManifest(system)
    {
        public override int Identifier => identifier;

        public override string Manifest(object o) => manifest;

        public override byte[] ToBinary(object obj) => bytes;

        public override object FromBinary(byte[] received, string read) => throw new NotSupportedException();
    }

    private sealed class Quiet : IBytesHandler
    {
        private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<string> Ended => _ended.Task;

        public void Opened(ByteLink link)
        {
        }

        public void Received(ByteLink link, ReadOnlySpan<byte> message)
        {
        }

        public void Closed(ByteLink link, string reason) => _ended.TrySetResult(reason);
    }

    private sealed class Echo : UntypedActor
    {
        protected override void OnReceive(object message) => Sender.Tell(message, Self);
    }
}
