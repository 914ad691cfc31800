// What a node does with what it must not take: a type that is not allowed, a message that is too large, a serializer nobody
// knows, a peer without the token. Each is refused and said, and the node lives on.
using System.Collections.Concurrent;
using Akka.Actor;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Engines.Akka.Cluster;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Akka;

public sealed class StrangerTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);
    private readonly ConcurrentQueue<string> _said = [];

    [Fact]
    public async Task What_is_not_allowed_is_refused_and_the_node_lives_on()
    {
        AkkaNode first = await AkkaNode.StartAsync(Options([], "a-token-for-this-test"), _said.Enqueue, TestContext.Current.CancellationToken);
        await using (first.ConfigureAwait(false))
        {
            AkkaNode second = await AkkaNode.StartAsync(Options([first.Address], "a-token-for-this-test"), _said.Enqueue, TestContext.Current.CancellationToken);
            await using (second.ConfigureAwait(false))
            {
                IActorRef echo = await EchoAsync(first, second);

                echo.Tell(new Carried(ActorId.Coordinator, ActorId.Coordinator, new Version(1, 2)), ActorRefs.NoSender);
                await SaysAsync("Unsafe Type Deserialization");
                await AnswersAsync(echo);

                echo.Tell(new Version(1, 2), ActorRefs.NoSender);
                await SaysAsync("does not travel between nodes");
                await AnswersAsync(echo);

                echo.Tell(new JobOfferPart(1, 0, 1, new byte[Limits.MaximumControlBytes]), ActorRefs.NoSender);
                await SaysAsync("Discarding oversized payload");
                await AnswersAsync(echo);
            }
        }
    }

    [Fact]
    public async Task A_node_without_the_token_is_not_let_in()
    {
        AkkaNode first = await AkkaNode.StartAsync(Options([], "a-token-for-this-test"), _said.Enqueue, TestContext.Current.CancellationToken);
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

    private async Task SaysAsync(string text)
    {
        for (long until = Environment.TickCount64 + (long)s_patience.TotalMilliseconds; !_said.Any(line => line.Contains(text, StringComparison.Ordinal)); await Task.Delay(20))
        {
            Assert.True(Environment.TickCount64 < until, $"nobody said '{text}', but: {string.Join("\n", _said)}");
        }
    }

    private sealed class Echo : UntypedActor
    {
        protected override void OnReceive(object message) => Sender.Tell(message, Self);
    }
}
