using System.Runtime.Intrinsics.X86;
using System.Text;
using ClusterRnn.Protocol.Wire;
using ArmCrc32 = System.Runtime.Intrinsics.Arm.Crc32;

namespace ClusterRnn.Tests.Protocol.Wire;

public class Crc32CTests
{
    // RFC 3720, B.4, and the check value of the catalogue of CRCs.
    [Fact]
    public void Known_vectors_have_their_known_checksums()
    {
        byte[] rising = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
        byte[] command =
        [
            0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
        ];
        foreach ((byte[] bytes, uint expected) in new[]
        {
            (new byte[32], 0x8A9136AAu),
            ([.. Enumerable.Repeat((byte)0xFF, 32)], 0x62A8AB43u),
            (rising, 0x46DD794Eu),
            ([.. rising.Reverse()], 0x113FDB5Cu),
            (command, 0xD9963A56u),
            (Encoding.ASCII.GetBytes("123456789"), 0xE3069283u),
            ([], 0u),
        })
        {
            Assert.All(Ways(), way => Assert.Equal(expected, way(0, bytes)));
        }
    }

    [Fact]
    public void Every_way_gives_the_same_at_every_length_and_place()
    {
        byte[] bytes = new byte[60_000];
        new Random(1).NextBytes(bytes);
        int[] lengths = [.. Enumerable.Range(0, 257), 767, 768, 769, 1535, 1536, 1543, 24_575, 24_576, 24_577, 49_152, 59_000];
        foreach (int length in lengths)
        {
            for (int offset = 0; offset < 9; offset += 4)
            {
                ReadOnlySpan<byte> part = bytes.AsSpan(offset, length);
                uint expected = Crc32C.AppendTable(0x12345678, part);
                foreach (Func<uint, byte[], uint> way in Ways())
                {
                    Assert.Equal(expected, way(0x12345678, part.ToArray()));
                }
            }
        }
    }

    [Fact]
    public void Parts_join_to_the_whole()
    {
        byte[] bytes = new byte[5000];
        new Random(2).NextBytes(bytes);
        uint whole = Crc32C.Compute(bytes);
        foreach (int cut in new[] { 0, 1, 7, 8, 255, 256, 1000, 4999, 5000 })
        {
            Assert.Equal(whole, Crc32C.Append(Crc32C.Compute(bytes.AsSpan(0, cut)), bytes.AsSpan(cut)));
            Assert.Equal(whole, Crc32C.Combine(Crc32C.Compute(bytes.AsSpan(0, cut)), Crc32C.Compute(bytes.AsSpan(cut)), bytes.Length - cut));
        }

        bytes[4000] ^= 1;
        Assert.NotEqual(whole, Crc32C.Compute(bytes));
    }

    private static IEnumerable<Func<uint, byte[], uint>> Ways()
    {
        yield return (crc, bytes) => Crc32C.Append(crc, bytes);
        yield return (crc, bytes) => Crc32C.AppendTable(crc, bytes);
        if (Sse42.X64.IsSupported)
        {
            yield return (crc, bytes) => Crc32C.AppendSse42(crc, bytes);
        }

        if (ArmCrc32.Arm64.IsSupported)
        {
            yield return (crc, bytes) => Crc32C.AppendArm(crc, bytes);
        }
    }
}
