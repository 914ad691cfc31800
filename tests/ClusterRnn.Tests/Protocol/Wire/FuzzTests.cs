// Damaged, cut, joined and random bytes for every decoder: 100,000 in the suite, a million with CLUSTERRNN_LONG_TESTS=1.
// A decoder may refuse them with a WireException or take them for a message; it may not throw anything else, and it may
// not allocate more than a small multiple of what it was given.
using System.Buffers;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.Protocol.Wire;

public class FuzzTests
{
    private static readonly int frames = Environment.GetEnvironmentVariable("CLUSTERRNN_LONG_TESTS") == "1" ? 1_000_000 : 100_000;

    private delegate void Decoder(ReadOnlySpan<byte> bytes);

    [Fact]
    public void No_bytes_break_a_decoder()
    {
        (string Name, byte[][] Seeds, Decoder Decode, bool Fixes)[] decoders =
        [
            ("message", Seeds(MessageCodec.Travelling, (s, t) => WireSamples.Encode(s.Actor(), s.Actor(), s.Message(t))), b => MessageCodec.Read(b), false),
            ("journal", Seeds(WireSamples.Records, (s, t) => WireSamples.Encode(s.Record(t))), ReadJournal, true),
            ("head", Seeds([typeof(FrameHeader)], (s, _) => Head(s)), b => FrameHeader.Read(b), true),
            ("hello", Seeds([typeof(NodeIdentity)], (s, _) => Hello(s)), b => Handshake.ReadHello(b, new System.Net.IPEndPoint(0, 0)), false),
        ];
        const int Seed = 20_240;
        var random = new Random(Seed);
        int refused = 0, taken = 0;
        for (int i = 0; i < frames; i++)
        {
            // Messages are most of what travels.
            (string name, byte[][] seeds, Decoder decode, bool fixes) = decoders[random.Next(8) is var pick && pick < 4 ? 0 : pick - 4];
            byte[] bytes = Damage(random, seeds);
            if (fixes && bytes.Length >= FrameHeader.Size && random.Next(2) == 0)
            {
                // A right checksum over wrong fields, or the checks behind it would never be reached.
                FixChecksum(name, bytes);
            }

            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                decode(bytes);
                taken++;
            }
            catch (WireException)
            {
                refused++;
            }
            catch (Exception error)
            {
                Assert.Fail($"frame {i} of seed {Seed}, a {name}: {error}\n{Convert.ToHexStringLower(bytes)}");
            }

            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < 16_384 + (16L * bytes.Length), $"frame {i} of seed {Seed}, a {name} of {bytes.Length} bytes: {allocated} bytes allocated");
        }

        // Damage that never passed, or always did, would test little.
        Assert.InRange(refused, frames / 4, frames);
        Assert.InRange(taken, frames / 100, frames);
    }

    private static byte[] Damage(Random random, byte[][] seeds)
    {
        byte[] bytes = [.. seeds[random.Next(seeds.Length)]];
        int kind = random.Next(8);
        if (kind == 0)
        {
            bytes = new byte[random.Next(200)];
            random.NextBytes(bytes);
            return bytes;
        }

        if (kind == 1)
        {
            return bytes[..random.Next(bytes.Length)];
        }

        if (kind == 2)
        {
            byte[] other = seeds[random.Next(seeds.Length)];
            return [.. bytes[..random.Next(bytes.Length)], .. other[random.Next(other.Length)..]];
        }

        for (int n = 1 + random.Next(3); n > 0; n--)
        {
            int at = random.Next(bytes.Length);
            switch (random.Next(4))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                default:
                    byte[] word = BitConverter.GetBytes(random.Next(4) switch { 0 => int.MaxValue, 1 => -1, 2 => random.Next(70_000), _ => random.Next() });
                    word.AsSpan(0, Math.Min(4, bytes.Length - at)).CopyTo(bytes.AsSpan(at));
                    break;
            }
        }

        return bytes;
    }

    private static byte[][] Seeds(IReadOnlyList<Type> types, Func<WireSamples, Type, byte[]> make)
        => [.. types.SelectMany(t => Enumerable.Range(0, 8).Select(seed => make(WireSamples.Of(new Random(seed)), t)))];

    private static byte[] Head(WireSamples samples)
    {
        byte[] bytes = new byte[FrameHeader.Size];
        FrameHeader.Of(FrameKind.Bulk, samples.Actor().Number, samples.Actor().Number, new byte[samples.Actor().Number], samples.Actor().Number).Write(bytes);
        return bytes;
    }

    private static byte[] Hello(WireSamples samples)
    {
        var bytes = new ArrayBufferWriter<byte>();
        new WireWriter(bytes).Int32(Limits.ProtocolVersion).Byte(0).Byte(1).Int32(samples.Actor().Number).Actor(samples.Actor())
            .Name("worker-3:7071").Bytes(new byte[9], 100).Bytes(new byte[32], 32);
        return bytes.WrittenSpan.ToArray();
    }

    private static void ReadJournal(ReadOnlySpan<byte> bytes)
    {
        while (JournalCodec.TryRead(ref bytes, out _))
        {
        }
    }

    private static void FixChecksum(string name, byte[] bytes)
    {
        if (name == "head")
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(40), Crc32C.Compute(bytes.AsSpan(0, 40)));
            return;
        }

        BitConverter.TryWriteBytes(bytes, bytes.Length - 8);
        BitConverter.TryWriteBytes(bytes.AsSpan(4), Crc32C.Append(Crc32C.Compute(bytes.AsSpan(0, 4)), bytes.AsSpan(8)));
    }
}
