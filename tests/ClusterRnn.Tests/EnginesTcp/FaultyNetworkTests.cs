// The network of experiments: which bytes a condition holds for, and that a proxy carries them unchanged, late, or not at all.
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Engines.Tcp.Experiments;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class FaultyNetworkTests
{
    private static readonly NodeName s_worker = NodeName.Worker(1);
    private static readonly NodeName s_server = NodeName.Server(0);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(FaultDirection.Both, true, true)]
    [InlineData(FaultDirection.In, false, true)]
    [InlineData(FaultDirection.Out, true, false)]
    public void A_condition_holds_one_way_or_both(FaultDirection direction, bool outward, bool inward)
    {
        var network = new FaultyNetwork(1);
        NetworkCondition cut = network.Begin(new NetworkCondition(s_worker, [], direction) { IsCut = true });
        Assert.Equal(outward, network.CutOn(s_worker, s_server) is not null);
        Assert.Equal(inward, network.CutOn(s_server, s_worker) is not null);
        Assert.Equal(inward, network.CutOn(null, s_worker) is not null);
        Assert.Null(network.CutOn(s_server, NodeName.Coordinator));
        network.End(cut);
        Assert.Null(network.CutOn(s_worker, s_server));
    }

    [Fact]
    public void A_condition_holds_for_its_peers_only()
    {
        var network = new FaultyNetwork(1);
        network.Begin(new NetworkCondition(s_worker, [s_server]) { IsCut = true });
        Assert.NotNull(network.CutOn(s_worker, s_server));
        Assert.Null(network.CutOn(s_worker, NodeName.Coordinator));
        Assert.Null(network.CutOn(null, s_worker));
        network.EndAll();
        Assert.Null(network.CutOn(s_worker, s_server));
    }

    [Fact]
    public void Delays_add_up()
    {
        var network = new FaultyNetwork(1);
        Assert.Equal((TimeSpan.Zero, TimeSpan.Zero), network.DelaysOf(s_worker, s_server, 1000));
        network.Begin(new NetworkCondition(s_worker, []) { Latency = TimeSpan.FromMilliseconds(30), Jitter = TimeSpan.FromMilliseconds(10) });
        network.Begin(new NetworkCondition(s_worker, []) { BytesPerSecond = 10_000 });
        double[] late = [.. Enumerable.Range(0, 1000).Select(_ => network.DelaysOf(s_server, s_worker, 1000).Late.TotalMilliseconds)];
        Assert.All(late, ms => Assert.InRange(ms, 20, 40));
        Assert.InRange(late.Average(), 29, 31);
        Assert.Equal(100, network.DelaysOf(s_server, s_worker, 1000).Sending.TotalMilliseconds, 6);
        Assert.Equal((TimeSpan.Zero, TimeSpan.Zero), network.DelaysOf(s_server, NodeName.Coordinator, 1000));
    }

    [Fact]
    public void What_is_lost_comes_after_a_timeout_and_twice_lost_after_three()
    {
        var network = new FaultyNetwork(1);
        network.Begin(new NetworkCondition(s_worker, []) { Loss = 0.25 });
        double[] late = [.. Enumerable.Range(0, 4000).Select(_ => network.DelaysOf(s_worker, s_server, 1).Late.TotalMilliseconds)];
        Assert.InRange(late.Count(ms => ms == 0) / 4000.0, 0.72, 0.78);
        Assert.InRange(late.Count(ms => ms == 200) / 4000.0, 0.16, 0.22);
        Assert.InRange(late.Count(ms => ms == 600) / 4000.0, 0.03, 0.07);
        var again = new FaultyNetwork(1);
        again.Begin(new NetworkCondition(s_worker, []) { Loss = 0.25 });
        Assert.Equal(late, Enumerable.Range(0, 4000).Select(_ => again.DelaysOf(s_worker, s_server, 1).Late.TotalMilliseconds));
    }

    [Fact]
    public async Task One_bit_of_a_message_is_flipped_and_nothing_else()
    {
        var network = new FaultyNetwork(1);
        byte[] frame = new byte[FrameHeader.Size + 10];
        FrameHeader.Of(FrameKind.Control, 0, 0, frame.AsSpan(FrameHeader.Size), 0).Write(frame);
        byte[] sent = [.. frame];
        Task flipped = network.FlipBits(s_worker, [s_server], 1, FrameKind.Control);
        network.DamageIfDue(s_worker, NodeName.Coordinator, sent);
        network.DamageIfDue(s_worker, s_server, sent.AsSpan(3)); // the middle of a frame
        Assert.Equal(frame, sent);
        network.DamageIfDue(s_server, s_worker, sent);
        await flipped.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        int place = Assert.Single(Enumerable.Range(0, frame.Length), i => frame[i] != sent[i]);
        Assert.True(place >= FrameHeader.Size, "the head was damaged, not the message");
        byte[] next = [.. frame];
        network.DamageIfDue(s_worker, s_server, next);
        Assert.Equal(frame, next);
    }

    [Fact]
    public async Task A_proxy_carries_every_byte_holds_them_back_and_lets_them_go()
    {
        var network = new FaultyNetwork(1);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await using var proxy = new FaultyProxy(network, new IPEndPoint(IPAddress.Loopback, 0), (IPEndPoint)listener.LocalEndpoint, s_server, Who);
        using var near = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await near.ConnectAsync(IPEndPoint.Parse(proxy.Address), TestContext.Current.CancellationToken);
        byte[] opening = [.. Enumerable.Repeat((byte)0, 17), (byte)PeerRole.Worker, 3, 0, 0, 0];
        await near.SendAsync(opening, TestContext.Current.CancellationToken);
        using Socket far = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal(opening, await ReadAsync(far, opening.Length));

        network.Begin(new NetworkCondition(s_worker, []) { Latency = TimeSpan.FromMilliseconds(40) });
        byte[] many = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * 7))];
        long since = Environment.TickCount64;
        Task<int> sending = near.SendAsync(many, TestContext.Current.CancellationToken).AsTask();
        Assert.Equal(many, await ReadAsync(far, many.Length));
        Assert.True(Environment.TickCount64 - since >= 35, "it came too soon");
        await sending;

        NetworkCondition cut = network.Begin(new NetworkCondition(s_worker, [], FaultDirection.Out) { IsCut = true });
        await near.SendAsync(many.AsMemory(0, 1000), TestContext.Current.CancellationToken);
        await far.SendAsync(many.AsMemory(0, 500), TestContext.Current.CancellationToken);
        Assert.Equal(many[..500], await ReadAsync(near, 500)); // the other way is open
        Assert.Equal(0, far.Available);
        network.End(cut);
        Assert.Equal(many[..1000], await ReadAsync(far, 1000));
        Assert.Equal(1000, proxy.HeldBytes);
        near.Close();
        Assert.Equal(0, await far.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken).AsTask().WaitAsync(s_patience, TestContext.Current.CancellationToken));

        static NodeName? Who(ProxyCaller caller) => caller == new ProxyCaller(PeerRole.Worker, 3) ? s_worker : null;
    }

    private static async Task<byte[]> ReadAsync(Socket socket, int count)
    {
        byte[] bytes = new byte[count];
        for (int read = 0; read < count;)
        {
            int more = await socket.ReceiveAsync(bytes.AsMemory(read), TestContext.Current.CancellationToken).AsTask().WaitAsync(s_patience, TestContext.Current.CancellationToken);
            Assert.True(more > 0, $"the connection ended after {read} of {count} bytes");
            read += more;
        }

        return bytes;
    }
}
