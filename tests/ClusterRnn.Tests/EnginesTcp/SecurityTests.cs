using System.Net;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class SecurityTests : IDisposable
{
    private static readonly TransportOptions Options = new();
    private readonly string _folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public void Dispose() => Directory.Delete(_folder, true);

    public SecurityTests() => Certificates.Create(_folder, 30);

    [Fact]
    public async Task Control_and_blocks_go_encrypted_between_the_roles()
    {
        using NodeSecurity coordinator = NodeSecurity.Load(_folder, PeerRole.Coordinator), worker = NodeSecurity.Load(_folder, PeerRole.Worker);
        await using Ports ports = await Ports.OpenAsync(coordinator);
        await using var proxy = new Proxy(ports.ControlAddress);
        await using ControlLink control = await ControlLink.ConnectAsync(proxy.Address, Stranger.Worker, worker, new ControlRecorder(), Options, default);
        Assert.True(control.TrySend(ActorId.Worker(3), ActorId.Coordinator, new WorkerHello(1, "a-name-that-shows", "")));
        Assert.Equal("a-name-that-shows", ((WorkerHello)(await (await ports.NextControlAsync()).NextAsync()).Message).JobId);
        Assert.DoesNotContain("a-name-that-shows", System.Text.Encoding.Latin1.GetString([.. proxy.Seen.SelectMany(s => s)]), StringComparison.Ordinal);

        using var near = new BulkRecorder();
        await using BulkLink link = await BulkLink.ConnectAsync(ports.BulkAddress, ActorId.Coordinator, Stranger.Worker, worker, near, Options, default);
        using BulkRecorder far = await ports.NextBulkAsync();
        using var block = new BulkLinkTests.Block(2_000_000);
        Assert.True(block.Send(link, 1, 2_000_000, null));
        Assert.True(block.Send(await far.Open, 2, 1_000_001, null));
        Assert.True(block.Holds((await far.NextAsync()).Values, 2_000_000));
        Assert.True(block.Holds((await near.NextAsync()).Values, 1_000_001));
        link.Close("done");
        Assert.Contains("done", await far.End, StringComparison.Ordinal);
        control.Close("done as well");
        await control.Completion.Within();
        Assert.Empty(ports.Log);
    }

    [Fact]
    public void A_key_of_another_certificate_is_said_to_be_one()
    {
        File.Copy(Path.Combine(_folder, "server.key"), Path.Combine(_folder, "worker.key"), true);
        TransportException error = Assert.Throws<TransportException>(() => NodeSecurity.Load(_folder, PeerRole.Worker));
        Assert.Contains("can't read the certificate of the worker", error.Message, StringComparison.Ordinal);
        Assert.Contains("does not match", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_is_read_without_a_port()
    {
        Assert.Equal(["::1", "::1", "10.0.0.5", "store-1"], new[] { "::1", "[::1]", "10.0.0.5", "store-1" }.Select(AddressRules.ParseHost));
        Assert.All(["", "a:b:c", "store-1:7071", "bad host"], text => Assert.Contains("is no host", Assert.Throws<TransportException>(() => AddressRules.ParseHost(text)).Message, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_certificate_of_another_authority_is_refused_by_either_end()
    {
        string other = Path.Combine(_folder, "other");
        Certificates.Create(other, 30);
        File.Copy(Path.Combine(_folder, "token"), Path.Combine(other, "token"), true);
        using NodeSecurity coordinator = NodeSecurity.Load(_folder, PeerRole.Coordinator), foreign = NodeSecurity.Load(other, PeerRole.Worker);
        await using Ports ports = await Ports.OpenAsync(coordinator);
        TransportException error = await FailToEnterAsync(ports, foreign);
        Assert.Contains("its certificate is of another authority", error.Message, StringComparison.Ordinal);
        await Soon.UntilAsync(() => !ports.Log.IsEmpty, "a line in the log");
        Assert.Single(ports.Log);

        // A caller that does not look at the coordinator's certificate is seen through by the coordinator.
        await using NetworkPeer careless = new(await Stranger.CallAsync(ports.BulkAddress));
        var encrypted = new System.Net.Security.SslStream(careless.Stream);
        using var shown = System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPemFile(Path.Combine(other, "worker.pem"), Path.Combine(other, "worker.key"));
        try
        {
            await encrypted.AuthenticateAsClientAsync(new System.Net.Security.SslClientAuthenticationOptions
            {
                TargetHost = "x",
                ClientCertificates = [shown],
                RemoteCertificateValidationCallback = (_, _, _, _) => true,
            }).Within();
        }
        catch (Exception seen) when (seen is IOException or System.Security.Authentication.AuthenticationException)
        {
            // TLS 1.3 tells the caller later, 1.2 at once.
        }

        await Soon.UntilAsync(() => ports.Log.Count == 2, "a second line");
        Assert.Contains("its certificate is of another authority", ports.Log.Last(), StringComparison.Ordinal);
        Assert.Empty(ports.Offers);
    }

    [Fact]
    public async Task A_role_is_what_the_certificate_says()
    {
        using NodeSecurity coordinator = NodeSecurity.Load(_folder, PeerRole.Coordinator), worker = NodeSecurity.Load(_folder, PeerRole.Worker);
        await using (Ports ports = await Ports.OpenAsync(coordinator))
        {
            TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(
                ports.ControlAddress, new NodeIdentity(PeerRole.Server, 1), worker, new ControlRecorder(), Options, default));
            Assert.Contains("it calls itself server, but its certificate is for a worker", error.Message, StringComparison.Ordinal);
            Assert.Contains("certificate is for a worker", Assert.Single(ports.Log), StringComparison.Ordinal);
        }

        // A worker can't pose as the coordinator, whatever it listens on.
        await using Ports posing = await Ports.OpenAsync(worker);
        TransportException refused = await FailToEnterAsync(posing, worker);
        Assert.Contains("certificate", refused.Message, StringComparison.Ordinal);
        Assert.Empty(posing.Offers);
    }

    [Fact]
    public async Task Encrypted_and_plain_ends_tell_each_other_apart()
    {
        using NodeSecurity coordinator = NodeSecurity.Load(_folder, PeerRole.Coordinator), worker = NodeSecurity.Load(_folder, PeerRole.Worker);
        await using (Ports secure = await Ports.OpenAsync(coordinator))
        {
            TransportException error = await FailToEnterAsync(secure, null);
            Assert.Contains("--certs", error.Message, StringComparison.Ordinal);
            await Soon.UntilAsync(() => !secure.Log.IsEmpty, "a line in the log");
            Assert.Contains("no TLS as expected", Assert.Single(secure.Log), StringComparison.Ordinal);
        }

        await using Ports plain = await Ports.OpenAsync();
        await FailToEnterAsync(plain, worker);
        await Soon.UntilAsync(() => !plain.Log.IsEmpty, "a line in the log");
        Assert.Contains("expected a handshake", Assert.Single(plain.Log), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_jobs_of_one_authority_are_kept_apart_by_their_tokens()
    {
        string other = Path.Combine(_folder, "other");
        Directory.CreateDirectory(other);
        foreach (string file in Directory.GetFiles(_folder))
        {
            File.Copy(file, Path.Combine(other, Path.GetFileName(file)));
        }

        File.WriteAllText(Path.Combine(other, "token"), new string('x', 64));
        using NodeSecurity coordinator = NodeSecurity.Load(_folder, PeerRole.Coordinator), worker = NodeSecurity.Load(other, PeerRole.Worker);
        await using Ports ports = await Ports.OpenAsync(coordinator);
        Assert.Contains("token", (await FailToEnterAsync(ports, worker)).Message, StringComparison.Ordinal);
        Assert.DoesNotContain(File.ReadAllText(Path.Combine(_folder, "token")).Trim(), string.Join('\n', ports.Log), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0.0.0.0:0")]
    [InlineData("*:0")]
    [InlineData("[::]:0")]
    public async Task Without_security_only_this_machine_is_listened_to(string address)
    {
        TransportException error = await Assert.ThrowsAsync<TransportException>(() => BulkListener.StartAsync(
            AddressRules.Parse(address), PeerRole.Server, null, Options, _ => LinkAdmission<IBulkHandler>.Refuse(""), _ => { }, default));
        Assert.Contains("clusterrnn certs --out certs", error.Message, StringComparison.Ordinal);
        using NodeSecurity token = NodeSecurity.OfToken("a token alone is not enough");
        await Assert.ThrowsAsync<TransportException>(() => ControlListener.StartAsync(
            AddressRules.Parse(address), token, Options, _ => LinkAdmission<IControlHandler>.Refuse(""), _ => { }, default));
        using NodeSecurity security = NodeSecurity.Load(_folder, PeerRole.Server);
        if (address[0] != '[' || System.Net.Sockets.Socket.OSSupportsIPv6)
        {
            await using BulkListener listener = await BulkListener.StartAsync(
                AddressRules.Parse(address), PeerRole.Server, security, Options, _ => LinkAdmission<IBulkHandler>.Refuse(""), _ => { }, default);
            Assert.NotEqual(0, listener.LocalEndPoint.Port);
        }
    }

    [Fact]
    public async Task A_port_that_is_taken_is_named()
    {
        await using Ports ports = await Ports.OpenAsync();
        TransportException error = await Assert.ThrowsAsync<TransportException>(() => ControlListener.StartAsync(
            ports.ControlAddress, null, Options, _ => LinkAdmission<IControlHandler>.Refuse(""), _ => { }, default));
        Assert.Contains(ports.ControlAddress.ToString(), error.Message, StringComparison.Ordinal);
        error = await Assert.ThrowsAsync<TransportException>(() => BulkListener.StartAsync(
            ports.BulkAddress, PeerRole.Server, null, Options, _ => LinkAdmission<IBulkHandler>.Refuse(""), _ => { }, default));
        Assert.Contains(ports.BulkAddress.ToString(), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_missing_broken_or_someone_elses_is_named()
    {
        Assert.True(Certificates.Exist(_folder));
        if (!OperatingSystem.IsWindows())
        {
            foreach (string secret in new[] { "token", "worker.key", "coordinator.key" })
            {
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_folder, secret)));
            }
        }

        File.Copy(Path.Combine(_folder, "server.pem"), Path.Combine(_folder, "worker.pem"), true);
        File.Copy(Path.Combine(_folder, "server.key"), Path.Combine(_folder, "worker.key"), true);
        Assert.Contains("clusterrnn-server", Fail(PeerRole.Worker), StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(_folder, "client.key"), "nonsense");
        Assert.Contains("client", Fail(PeerRole.Client), StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(_folder, "token"), "short");
        Assert.Contains("expected at least 32", Fail(PeerRole.Server), StringComparison.Ordinal);
        File.Delete(Path.Combine(_folder, "token"));
        Assert.Contains("lacks token", Fail(PeerRole.Server), StringComparison.Ordinal);
        Assert.False(Certificates.Exist(_folder));

        string Fail(PeerRole role) => Assert.Throws<TransportException>(() => NodeSecurity.Load(_folder, role)).Message;
    }

    [Theory]
    [InlineData("127.0.0.1:7070", "127.0.0.1", 7070)]
    [InlineData("[::1]:0", "::1", 0)]
    [InlineData("coordinator:65535", "coordinator", 65535)]
    [InlineData("node-3.example.com:80", "node-3.example.com", 80)]
    [InlineData("*:5", "0.0.0.0", 5)]
    public void Addresses_are_read(string text, string host, int port)
    {
        HostPort address = AddressRules.Parse(text);
        Assert.Equal((host, port), (address.Host, address.Port));
        Assert.Equal(address, AddressRules.Parse(address.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("host")]
    [InlineData(":80")]
    [InlineData("host:")]
    [InlineData("host:65536")]
    [InlineData("host:-1")]
    [InlineData("host:+1")]
    [InlineData("::1:80")]
    [InlineData("[::1]")]
    [InlineData("[coordinator]:80")]
    [InlineData("a b:80")]
    [InlineData("http://a:80")]
    public void What_is_no_address_is_refused(string text)
        => Assert.Contains("expected HOST:PORT", Assert.Throws<TransportException>(() => AddressRules.Parse(text)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("127.0.0.1:7071", "10.1.2.3", "finds itself only")]
    [InlineData("0.0.0.0:7071", "10.1.2.3", "no address others can connect to")]
    [InlineData("10.1.2.3:0", "10.1.2.3", "no address others can connect to")]
    [InlineData("a-name.invalid:7071", "10.1.2.3", "is not known here")]
    [InlineData("nonsense", "10.1.2.3", "expected HOST:PORT")]
    [InlineData("127.0.0.1:7071", "127.0.0.1", null)]
    [InlineData("10.1.2.3:7071", "10.1.2.3", null)]
    public async Task An_address_others_cannot_reach_is_found_out(string advertised, string seenFrom, string? problem)
    {
        string? why = await AddressRules.WhyUnreachableAsync("worker 3", advertised, IPAddress.Parse(seenFrom), TimeSpan.FromSeconds(5), default);
        if (problem is null)
        {
            Assert.Null(why);
            return;
        }

        Assert.Contains(problem, why, StringComparison.Ordinal);
        Assert.Contains("worker 3 at 10.1.2.3", why, StringComparison.Ordinal);
        Assert.Contains("--advertise HOST`", why, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_advertised_is_what_was_asked_for_or_is_listened_on()
    {
        Assert.Equal("127.0.0.1:99", AddressRules.Advertise(null, new IPEndPoint(IPAddress.Loopback, 99)).ToString());
        Assert.Equal("server-1:99", AddressRules.Advertise(new HostPort("server-1", 0), new IPEndPoint(IPAddress.Any, 99)).ToString());
        Assert.Equal("server-1:7", AddressRules.Advertise(new HostPort("server-1", 7), new IPEndPoint(IPAddress.Any, 99)).ToString());
        Assert.Contains("--advertise", Assert.Throws<TransportException>(() => AddressRules.Advertise(null, new IPEndPoint(IPAddress.Any, 99))).Message, StringComparison.Ordinal);
        Assert.Throws<TransportException>(() => AddressRules.Advertise(new HostPort("0.0.0.0", 7), new IPEndPoint(IPAddress.Any, 99)));
    }

    private static async Task<TransportException> FailToEnterAsync(Ports ports, NodeSecurity? security)
    {
        using var near = new BulkRecorder();
        return await Assert.ThrowsAsync<TransportException>(() => BulkLink.ConnectAsync(ports.BulkAddress, ActorId.Coordinator, Stranger.Worker, security, near, Options, default));
    }
}
