// CRC-32C (Castagnoli), the checksum of frames and journals.
//
// The processor's instruction takes 8 bytes a cycle but needs 3 cycles until the next one may use its result: three
// streams side by side keep it busy. Their checksums are joined by moving the first two over the bytes that follow them,
// a multiplication by x^(8n) modulo the polynomial, done with four tables of 256 entries for each n that is used.
// Source: M. Adler, crc32c.c (2013). Vectors: RFC 3720, B.4.
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using ArmCrc32 = System.Runtime.Intrinsics.Arm.Crc32;

namespace ClusterRnn.Protocol.Wire;

/// <summary>CRC-32C. <c>Append(Append(0, a), b)</c> equals <c>Compute(ab)</c>.</summary>
public static class Crc32C
{
    private const uint Polynomial = 0x82F63B78; // reflected
    private const uint ToTheEighth = 0x00800000; // x^8, reflected: over one byte
    private const int LongStream = 8192, ShortStream = 256; // bytes of each of three streams

    private static readonly uint[] ByteTable = MakeByteTable();
    private static readonly uint[] OverLong = MakeShiftTable(LongStream);
    private static readonly uint[] OverShort = MakeShiftTable(ShortStream);

    /// <summary>The checksum of <paramref name="bytes"/>.</summary>
    public static uint Compute(ReadOnlySpan<byte> bytes) => Append(0, bytes);

    /// <summary>The checksum of what <paramref name="crc"/> covers followed by <paramref name="bytes"/>.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
        => Sse42.X64.IsSupported ? AppendSse42(crc, bytes) : ArmCrc32.Arm64.IsSupported ? AppendArm(crc, bytes) : AppendTable(crc, bytes);

    /// <summary>The checksum of two runs of bytes, one after the other, from the checksums of each.</summary>
    /// <param name="first">The checksum of the first run.</param>
    /// <param name="second">The checksum of the second run.</param>
    /// <param name="secondLength">How many bytes the second run has.</param>
    public static uint Combine(uint first, uint second, long secondLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(secondLength);
        // The ones before and after a run cancel out: only the first checksum has to be moved.
        uint power = ToTheEighth;
        while (secondLength > 0)
        {
            if ((secondLength & 1) != 0)
            {
                first = Multiply(power, first);
            }

            power = Multiply(power, power);
            secondLength >>= 1;
        }

        return first ^ second;
    }

    /// <summary>The reference, which every machine has.</summary>
    internal static uint AppendTable(uint crc, ReadOnlySpan<byte> bytes)
    {
        crc = ~crc;
        foreach (byte value in bytes)
        {
            crc = ByteTable[(byte)(crc ^ value)] ^ (crc >> 8);
        }

        return ~crc;
    }

    /// <summary>With the instruction of x64.</summary>
    internal static uint AppendSse42(uint crc, ReadOnlySpan<byte> bytes) => Append<Sse42Step>(crc, bytes);

    /// <summary>With the instruction of ARM64.</summary>
    internal static uint AppendArm(uint crc, ReadOnlySpan<byte> bytes) => Append<ArmStep>(crc, bytes);

    private static uint Append<TStep>(uint crc, ReadOnlySpan<byte> bytes)
        where TStep : struct, IStep
    {
        ref byte at = ref MemoryMarshal.GetReference(bytes);
        nint left = bytes.Length;
        crc = ~crc;
        while (left >= 3 * LongStream)
        {
            crc = ThreeStreams<TStep>(crc, ref at, LongStream, OverLong);
            at = ref Unsafe.Add(ref at, 3 * LongStream);
            left -= 3 * LongStream;
        }

        while (left >= 3 * ShortStream)
        {
            crc = ThreeStreams<TStep>(crc, ref at, ShortStream, OverShort);
            at = ref Unsafe.Add(ref at, 3 * ShortStream);
            left -= 3 * ShortStream;
        }

        for (; left >= sizeof(ulong); left -= sizeof(ulong), at = ref Unsafe.Add(ref at, sizeof(ulong)))
        {
            crc = TStep.Next(crc, Unsafe.ReadUnaligned<ulong>(ref at));
        }

        for (; left > 0; left--, at = ref Unsafe.Add(ref at, 1))
        {
            crc = TStep.Next(crc, at);
        }

        return ~crc;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint ThreeStreams<TStep>(uint crc, ref byte at, nint length, uint[] over)
        where TStep : struct, IStep
    {
        uint second = 0, third = 0;
        for (nint i = 0; i < length; i += sizeof(ulong))
        {
            crc = TStep.Next(crc, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref at, i)));
            second = TStep.Next(second, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref at, i + length)));
            third = TStep.Next(third, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref at, i + (2 * length))));
        }

        return Shift(over, Shift(over, crc) ^ second) ^ third;
    }

    private static uint Shift(uint[] over, uint crc)
        => over[crc & 0xFF] ^ over[256 + ((crc >> 8) & 0xFF)] ^ over[512 + ((crc >> 16) & 0xFF)] ^ over[768 + (crc >> 24)];

    private static uint[] MakeByteTable()
    {
        uint[] table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++)
            {
                value = (value >> 1) ^ ((value & 1) * Polynomial);
            }

            table[i] = value;
        }

        return table;
    }

    // What a checksum becomes over so many bytes, a power of two of them.
    private static uint[] MakeShiftTable(int bytes)
    {
        uint power = ToTheEighth;
        for (int i = 0; i < BitOperations.Log2((uint)bytes); i++)
        {
            power = Multiply(power, power);
        }

        uint[] table = new uint[4 * 256];
        for (int place = 0; place < 4; place++)
        {
            for (uint i = 0; i < 256; i++)
            {
                table[(place * 256) + i] = Multiply(power, i << (8 * place));
            }
        }

        return table;
    }

    // The product of two polynomials modulo the polynomial, all reflected: bit 31 is x^0.
    private static uint Multiply(uint left, uint right)
    {
        uint product = 0;
        for (int bit = 31; bit >= 0; bit--)
        {
            product ^= ((left >> bit) & 1) * right;
            right = (right >> 1) ^ ((right & 1) * Polynomial);
        }

        return product;
    }

    private interface IStep
    {
        static abstract uint Next(uint crc, ulong value);

        static abstract uint Next(uint crc, byte value);
    }

    private readonly struct Sse42Step : IStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Next(uint crc, ulong value) => (uint)Sse42.X64.Crc32(crc, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Next(uint crc, byte value) => Sse42.Crc32(crc, value);
    }

    private readonly struct ArmStep : IStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Next(uint crc, ulong value) => ArmCrc32.Arm64.ComputeCrc32C(crc, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Next(uint crc, byte value) => ArmCrc32.ComputeCrc32C(crc, value);
    }
}
