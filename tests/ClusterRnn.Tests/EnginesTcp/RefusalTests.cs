// Strangers at the door: each is sent away with one line in the log that names it, and the door stays open for others.
using System.Buffers;
using System.Net.Sockets;
using System.Text;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.EnginesTcp;

public class RefusalTests
{
    private static readonly TransportOptions Options = new();
    private static readonly TransportOptions Hasty = new() { HandshakeTimeout = TimeSpan.FromMilliseconds(400) };

    public static TheoryData<bool, string, string> Nonsense()
    {
        var cases = new TheoryData<bool, string, string>();
        foreach (bool bulk in new[] { false, true })
        {
            cases.Add(bulk, "garbage", "expected a handshake");
            cases.Add(bulk, "http", "expected a handshake, found bytes that begin with 20544547");
            cases.Add(bulk, "oversized", "at most 65536 bytes, found kind 1 with 2147483647");
            cases.Add(bulk, "truncated", "ended within the handshake");
            cases.Add(bulk, "nothing", "ended within the handshake");
            cases.Add(bulk, "silence", "not complete within 0.4 s");
            cases.Add(bulk, "drip", "not complete within 0.4 s");
            cases.Add(bulk, "wire version", $"expected wire version {Limits.WireVersion}, found 9");
            cases.Add(bulk, "protocol version", $"expected protocol version {Limits.ProtocolVersion}, found 77");
            cases.Add(bulk, "bad hello", "expected a purpose up to 2");
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Nonsense))]
    public async Task Nonsense_is_refused_with_one_line(bool bulk, string what, string expected)
    {
        await using Ports ports = await Ports.OpenAsync(options: Hasty);
        HostPort address = bulk ? ports.BulkAddress : ports.ControlAddress;
        await using NetworkPeer peer = new(await Stranger.CallAsync(address));
        string name = peer.Stream.Socket.LocalEndPoint!.ToString()!;
        var random = new Random(3);
        byte[] garbage = new byte[100_000];
        random.NextBytes(garbage);
        byte[] bytes = what switch
        {
            "garbage" => garbage,
            "http" => Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            "oversized" => Record(Limits.WireVersion, 1, [], int.MaxValue),
            "truncated" => Record(Limits.WireVersion, 1, new byte[10], 100),
            "wire version" => Record(9, 1, new byte[40]),
            "protocol version" => Record(Limits.WireVersion, 1, [77, 0, 0, 0, 1, 2, 3]),
            "bad hello" => Record(Limits.WireVersion, 1, [(byte)Limits.ProtocolVersion, 0, 0, 0, 200, 2, 3]),
            _ => [],
        };
        Task<byte[]> answer = Stranger.HearAsync(peer.Stream);
        try
        {
            await peer.Stream.WriteAsync(bytes);
            if (what is "truncated" or "nothing")
            {
                peer.Stream.Socket.Shutdown(SocketShutdown.Send);
            }

            foreach (byte one in what == "drip" ? Record(Limits.WireVersion, 1, new byte[40]) : [])
            {
                await peer.Stream.WriteAsync(new[] { one });
                await Task.Delay(30);
            }
        }
        catch (IOException)
        {
            // Cut while it was still talking.
        }

        byte[] heard = await answer;
        await Soon.UntilAsync(() => !ports.Log.IsEmpty, "a line in the log");
        if (what.EndsWith("version", StringComparison.Ordinal))
        {
            Assert.Contains(expected, Encoding.UTF8.GetString(heard), StringComparison.Ordinal);
        }

        await AssertGoodPeerEntersAsync(ports, bulk);
        string line = Assert.Single(ports.Log);
        Assert.StartsWith($"refused {name} at the {(bulk ? "bulk" : "control")} port: ", line, StringComparison.Ordinal);
        Assert.Contains(expected, line, StringComparison.Ordinal);
        await Soon.UntilAsync(() => (bulk ? ports.Bulk.Connections : ports.Control.Connections) == 0, "the end of every connection");
        Assert.Equal(1, bulk ? ports.Bulk.Refused : ports.Control.Refused);
    }

    [Theory]
    [InlineData("one-secret", "another-secret")]
    [InlineData("one-secret", null)]
    [InlineData(null, "another-secret")]
    public async Task Another_token_is_refused_at_both_ports_and_never_shown(string? theirs, string? ours)
    {
        using NodeSecurity? listening = theirs is null ? null : NodeSecurity.OfToken(theirs);
        using NodeSecurity? calling = ours is null ? null : NodeSecurity.OfToken(ours);
        await using Ports ports = await Ports.OpenAsync(listening);
        await using var proxy = new Proxy(ports.ControlAddress);
        var recorder = new ControlRecorder();
        TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(proxy.Address, Stranger.Worker, calling, recorder, Options, default));
        Assert.Contains("its token is not this job's", error.Message, StringComparison.Ordinal);
        using var bulk = new BulkRecorder();
        error = await Assert.ThrowsAsync<TransportException>(() => BulkLink.ConnectAsync(ports.BulkAddress, ActorId.Coordinator, Stranger.Worker, calling, bulk, Options, default));
        Assert.Contains("token", error.Message, StringComparison.Ordinal);
        await Soon.UntilAsync(() => ports.Log.Count == 2, "two lines in the log");
        Assert.Empty(ports.Offers);
        string all = string.Join('\n', ports.Log) + error.Message + Encoding.Latin1.GetString([.. proxy.Seen.SelectMany(s => s)]);
        Assert.DoesNotContain("secret", all, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_right_token_enters_and_does_not_travel()
    {
        using NodeSecurity security = NodeSecurity.OfToken("one-secret\n");
        await using Ports ports = await Ports.OpenAsync(security);
        await using var proxy = new Proxy(ports.ControlAddress);
        var recorder = new ControlRecorder();
        await using ControlLink link = await ControlLink.ConnectAsync(proxy.Address, Stranger.Worker, security, recorder, Options, default);
        Assert.NotEmpty(proxy.Seen);
        Assert.DoesNotContain("secret", Encoding.Latin1.GetString([.. proxy.Seen.SelectMany(s => s)]), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Whoever_answers_without_the_token_is_not_believed()
    {
        using var listener = new TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        Task impostor = Task.Run(async () =>
        {
            using Socket socket = await listener.AcceptSocketAsync();
            using var stream = new NetworkStream(socket);
            var handshake = new Handshake(stream, "guessed"u8.ToArray());
            await stream.ReadExactlyAsync(new byte[12]);
            // It accepts whatever comes, with a proof made of another token.
            await stream.WriteAsync(Record(Limits.WireVersion, 2, new byte[32]));
            await handshake.AcceptAsync(1, default, default);
            await Stranger.HearAsync(stream);
        });
        using NodeSecurity security = NodeSecurity.OfToken("one-secret");
        TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(
            new HostPort("127.0.0.1", ((System.Net.IPEndPoint)listener.LocalEndpoint).Port), Stranger.Worker, security, new ControlRecorder(), Options, default));
        Assert.Contains("does not know this job's token", error.Message, StringComparison.Ordinal);
        await impostor.Within();
    }

    [Fact]
    public async Task The_engines_own_refusal_reaches_the_caller_and_the_log()
    {
        await using Ports ports = await Ports.OpenAsync(refusal: "expected data a1, found b2");
        TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(ports.ControlAddress, Stranger.Worker, null, new ControlRecorder(), Options, default));
        Assert.Contains("expected data a1, found b2", error.Message, StringComparison.Ordinal);
        Assert.Contains(ports.ControlAddress.ToString(), error.Message, StringComparison.Ordinal);
        await Soon.UntilAsync(() => !ports.Log.IsEmpty, "a line in the log");
        Assert.Contains("found b2", Assert.Single(ports.Log), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_wrong_port_or_the_wrong_actor_is_told_so()
    {
        await using Ports ports = await Ports.OpenAsync();
        TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(ports.BulkAddress, Stranger.Worker, null, new ControlRecorder(), Options, default));
        Assert.Contains("this is a bulk port", error.Message, StringComparison.Ordinal);
        using var bulk = new BulkRecorder();
        error = await Assert.ThrowsAsync<TransportException>(() => BulkLink.ConnectAsync(ports.BulkAddress, ActorId.Server(2), Stranger.Worker, null, bulk, Options, default));
        Assert.Contains("this is a coordinator, not server 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_at_the_other_end_is_said_within_the_deadline()
    {
        int free;
        using (var listener = new TcpListener(System.Net.IPAddress.Loopback, 0))
        {
            listener.Start();
            free = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
        }

        TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(new HostPort("127.0.0.1", free), Stranger.Worker, null, new ControlRecorder(), Options, default));
        Assert.Contains("can't connect (ConnectionRefused)", error.Message, StringComparison.Ordinal);

        using var silent = new TcpListener(System.Net.IPAddress.Loopback, 0);
        silent.Start();
        error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(
            new HostPort("127.0.0.1", ((System.Net.IPEndPoint)silent.LocalEndpoint).Port), Stranger.Worker, null, new ControlRecorder(), Hasty, default));
        Assert.Contains("no answer within 0.4 s", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_number_of_connections_is_bounded_and_a_crowd_leaves_nothing_behind(bool bulk)
    {
        await using Ports ports = await Ports.OpenAsync(options: Options with { MaximumConnections = 8 });
        HostPort address = bulk ? ports.BulkAddress : ports.ControlAddress;
        Func<int> connections = bulk ? () => ports.Bulk.Connections : () => ports.Control.Connections;
        var crowd = new List<NetworkStream>();
        for (int i = 0; i < 8; i++)
        {
            crowd.Add(await Stranger.CallAsync(address));
        }

        await Soon.UntilAsync(() => connections() == 8, "eight connections");
        await UnlessCutAsync(async () =>
        {
            await using NetworkPeer ninth = new(await Stranger.CallAsync(address));
            Assert.Empty(await Stranger.HearAsync(ninth.Stream));
        });
        await Soon.UntilAsync(() => ports.Log.Count > 0, "a line in the log");
        Assert.Contains("8 connections are open", Assert.Single(ports.Log), StringComparison.Ordinal);
        foreach (NetworkStream stream in crowd)
        {
            await stream.DisposeAsync();
        }

        for (int i = 0; i < 200; i++)
        {
            await UnlessCutAsync(async () =>
            {
                await using NetworkPeer passing = new(await Stranger.CallAsync(address));
                await passing.Stream.WriteAsync(Record(Limits.WireVersion, 1, [], 60_000));
            });
        }

        await Soon.UntilAsync(() => connections() == 0, "the end of the crowd");
        await AssertGoodPeerEntersAsync(ports, bulk);
    }

    /// <summary>One connection too many may be cut before its caller knows that it was open.</summary>
    private static async Task UnlessCutAsync(Func<Task> call)
    {
        try
        {
            await call();
        }
        catch (Exception error) when ((error as SocketException ?? error.InnerException as SocketException)?.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
            // refused, as it should be
        }
    }

    private static async Task AssertGoodPeerEntersAsync(Ports ports, bool bulk)
    {
        if (bulk)
        {
            using var recorder = new BulkRecorder();
            await using BulkLink link = await BulkLink.ConnectAsync(ports.BulkAddress, ActorId.Coordinator, Stranger.Worker, null, recorder, Options, default);
        }
        else
        {
            await using ControlLink link = await ControlLink.ConnectAsync(ports.ControlAddress, Stranger.Worker, null, new ControlRecorder(), Options, default);
        }
    }

    /// <summary>A record of a handshake, its length true or claimed.</summary>
    private static byte[] Record(ushort version, byte kind, byte[] body, int? length = null)
    {
        var bytes = new ArrayBufferWriter<byte>();
        new WireWriter(bytes).Int32(0x484E5243).UInt16(version).Byte(kind).Byte(0).Int32(length ?? body.Length);
        bytes.Write(body);
        return bytes.WrittenSpan.ToArray();
    }
}
