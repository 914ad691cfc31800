// How fast blocks go over loopback: the bulk path beside a bare socket, and beside a bare SslStream with TLS.
//
// The bare ones are two threads that block in Send and Receive on native memory, without frames and checksums: what the
// system gives to whoever asks for nothing else. Contenders take turns, so that whatever else the machine does meets all
// of them; medians are shown, of the time that passed and of the processor time both ends took.
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Cli.Bench;

/// <summary>Measures the bulk path.</summary>
internal static class NetworkBench
{
    private const int Chunk = 256 << 10;

    /// <summary>Runs all contenders and writes a table.</summary>
    /// <param name="terminal">Where to.</param>
    /// <param name="sizes">The sizes of blocks, in MiB.</param>
    /// <param name="repetitions">Turns of each contender.</param>
    /// <param name="bytesPerTurn">How many bytes go over in a turn, at least one block.</param>
    /// <param name="cancellation">Gives up between turns.</param>
    public static async Task RunAsync(Terminal terminal, IReadOnlyList<int> sizes, int repetitions, long bytesPerTurn, CancellationToken cancellation)
    {
        string folder = Path.Combine(Path.GetTempPath(), "clusterrnn-bench-" + Path.GetRandomFileName());
        Certificates.Create(folder, 1);
        try
        {
            using NodeSecurity coordinator = NodeSecurity.Load(folder, PeerRole.Coordinator), worker = NodeSecurity.Load(folder, PeerRole.Worker);
            var rows = new List<string[]>();
            foreach (int mebibytes in sizes)
            {
                long bytes = (long)mebibytes << 20;
                int blocks = (int)Math.Max(1, bytesPerTurn / bytes);
                IContender[] contenders =
                [
                    await BareSocket.OpenAsync(null).ConfigureAwait(false),
                    await BulkPath.OpenAsync(null, null, cancellation).ConfigureAwait(false),
                    await BareSocket.OpenAsync(folder).ConfigureAwait(false),
                    await BulkPath.OpenAsync(coordinator, worker, cancellation).ConfigureAwait(false),
                ];
                using var payload = new NativeBuffer<float>(bytes / sizeof(float));
                for (long i = 0; i < payload.Length; i++)
                {
                    payload[i] = i * 0.25f;
                }

                (double[] speeds, double[] costs) = await MeasureAsync(contenders, payload, blocks, repetitions, cancellation).ConfigureAwait(false);
                foreach (IContender contender in contenders)
                {
                    await contender.DisposeAsync().ConfigureAwait(false);
                }

                rows.Add(
                [
                    $"{mebibytes} MiB",
                    Speed(speeds[0]), Speed(speeds[1]), Share(speeds[1] / speeds[0]), Share(costs[0] / costs[1]),
                    Speed(speeds[2]), Speed(speeds[3]), Share(speeds[3] / speeds[2]), Share(costs[2] / costs[3]),
                ]);
            }

            Tables.Write(terminal, ["block", "socket GB/s", "bulk path", "share", "by CPU", "SslStream GB/s", "bulk path, TLS", "share", "by CPU"], rows);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    private static async Task<(double[] Speeds, double[] Costs)> MeasureAsync(IContender[] contenders, NativeBuffer<float> payload, int blocks, int repetitions, CancellationToken cancellation)
    {
        double[][] speeds = [.. contenders.Select(_ => new double[repetitions])], costs = [.. contenders.Select(_ => new double[repetitions])];
        // The first turn warms up.
        for (int turn = -1; turn < repetitions; turn++)
        {
            for (int i = 0; i < contenders.Length; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                TimeSpan before = Environment.CpuUsage.TotalTime;
                long began = Stopwatch.GetTimestamp();
                await contenders[i].SendAsync(payload, blocks).WaitAsync(TimeSpan.FromSeconds(60), cancellation).ConfigureAwait(false);
                if (turn >= 0)
                {
                    speeds[i][turn] = payload.Length * sizeof(float) * (double)blocks / Stopwatch.GetElapsedTime(began).TotalSeconds;
                    costs[i][turn] = (Environment.CpuUsage.TotalTime - before).TotalSeconds;
                }
            }
        }

        return ([.. speeds.Select(Median)], [.. costs.Select(Median)]);
    }

    private static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);

    private static string Speed(double bytesPerSecond) => (bytesPerSecond / 1e9).ToString("0.00", CultureInfo.InvariantCulture);

    private static string Share(double share) => (100 * share).ToString("0", CultureInfo.InvariantCulture) + " %";

    private interface IContender : IAsyncDisposable
    {
        /// <summary>Sends a block many times and waits until the last has arrived.</summary>
        Task SendAsync(NativeBuffer<float> payload, int blocks);
    }

    private sealed class BareSocket(Stream sender, Stream receiver, Socket? sendingSocket, Socket? receivingSocket) : IContender
    {
        public static async Task<IContender> OpenAsync(string? certificates)
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var sending = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await sending.ConnectAsync(listener.LocalEndpoint).ConfigureAwait(false);
            Socket receiving = await listener.AcceptSocketAsync().ConfigureAwait(false);
            receiving.NoDelay = true;
            var sender = new NetworkStream(sending, true);
            var receiver = new NetworkStream(receiving, true);
            if (certificates is null)
            {
                return new BareSocket(sender, receiver, sending, receiving);
            }

            using var shown = X509Certificate2.CreateFromPemFile(
                Path.Combine(certificates, Certificates.CertificateFile(PeerRole.Server)), Path.Combine(certificates, Certificates.KeyFile(PeerRole.Server)));
            var encrypted = new SslStream(sender);
            var decrypted = new SslStream(receiver);
            await Task.WhenAll(
                decrypted.AuthenticateAsServerAsync(shown),
                encrypted.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "x", RemoteCertificateValidationCallback = (_, _, _, _) => true })).ConfigureAwait(false);
            return new BareSocket(encrypted, decrypted, null, null);
        }

        public Task SendAsync(NativeBuffer<float> payload, int blocks)
        {
            long bytes = payload.Length * sizeof(float);
            return Task.WhenAll(OnThread(() => Send(payload, bytes, blocks)), OnThread(() => Receive(bytes, blocks)));
        }

        public async ValueTask DisposeAsync()
        {
            await sender.DisposeAsync().ConfigureAwait(false);
            await receiver.DisposeAsync().ConfigureAwait(false);
        }

        private unsafe void Send(NativeBuffer<float> payload, long bytes, int blocks)
        {
            for (int block = 0; block < blocks; block++)
            {
                for (long done = 0; done < bytes;)
                {
                    var chunk = new ReadOnlySpan<byte>((byte*)payload.Pointer + done, (int)Math.Min(Chunk, bytes - done));
                    if (sendingSocket is not null)
                    {
                        done += sendingSocket.Send(chunk);
                    }
                    else
                    {
                        sender.Write(chunk);
                        done += chunk.Length;
                    }
                }
            }
        }

        private unsafe void Receive(long bytes, int blocks)
        {
            using var into = new NativeBuffer<byte>(bytes);
            for (int block = 0; block < blocks; block++)
            {
                for (long done = 0; done < bytes;)
                {
                    var chunk = new Span<byte>(into.Pointer + done, (int)Math.Min(Chunk, bytes - done));
                    int read = receivingSocket is not null ? receivingSocket.Receive(chunk) : receiver.Read(chunk);
                    done += read > 0 ? read : throw new IOException("the connection of the measurement broke");
                }
            }
        }

        private static Task OnThread(Action work) => Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private sealed class BulkPath(BulkListener listener, BulkLink link, Counting far) : IContender
    {
        public static async Task<IContender> OpenAsync(NodeSecurity? accepting, NodeSecurity? dialing, CancellationToken cancellation)
        {
            var options = new TransportOptions();
            var far = new Counting();
            BulkListener listener = await BulkListener.StartAsync(
                new HostPort("127.0.0.1", 0), PeerRole.Coordinator, accepting, options, offer => LinkAdmission<IBulkHandler>.Accept(far, offer.Number), _ => { }, cancellation).ConfigureAwait(false);
            BulkLink link = await BulkLink.ConnectAsync(
                new HostPort("127.0.0.1", listener.LocalEndPoint.Port), ActorId.Coordinator, new NodeIdentity(PeerRole.Worker, 1), dialing, new Counting(), options, cancellation).ConfigureAwait(false);
            return new BulkPath(listener, link, far);
        }

        public unsafe Task SendAsync(NativeBuffer<float> payload, int blocks)
        {
            Task arrived = far.Expect(blocks);
            for (int block = 0; block < blocks; block++)
            {
                if (!link.TrySend(ActorId.Worker(1), ActorId.Coordinator, new StatePiece(1, 1, 1, 1, 1, 0), 1, 1, payload.Pointer, payload.Length, null, null))
                {
                    throw new IOException("the link of the measurement broke");
                }
            }

            return arrived;
        }

        public async ValueTask DisposeAsync()
        {
            await link.DisposeAsync().ConfigureAwait(false);
            await listener.DisposeAsync().ConfigureAwait(false);
            far.Dispose();
        }
    }

    /// <summary>Takes blocks into one place and counts them.</summary>
    private sealed unsafe class Counting : IBulkHandler, IDisposable
    {
        private readonly NativeBlockPool _pool = new();
        private TaskCompletionSource _arrived = new();
        private int _left;

        public Task Expect(int blocks)
        {
            _left = blocks;
            _arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _arrived.Task;
        }

        public void Opened(BulkLink link)
        {
        }

        public float* Reserve(BulkLink link, in Envelope envelope, long epoch, long step, long floats) => _pool.Rent(floats);

        public void Arrived(BulkLink link, in Envelope envelope, float* payload, long floats)
        {
            _pool.Return(payload, floats);
            if (--_left == 0)
            {
                _arrived.SetResult();
            }
        }

        public void Dropped(BulkLink link, in Envelope envelope, float* payload, long floats, bool damaged) => _pool.Return(payload, floats);

        public void Closed(BulkLink link, string reason) => _arrived.TrySetException(new IOException(reason));

        public void Dispose() => _pool.Dispose();
    }
}
