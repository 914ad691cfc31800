// Digests of states and gradients, by which two answers to the same question are compared. Not against malice: against
// faults. XXH64 (Yann Collet, BSD), seed 0: about 8 GB/s, so digesting a gradient costs less than sending it.
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ClusterRnn.Training.Computing;

/// <summary>XXH64 of native memory.</summary>
public static unsafe class ContentDigest
{
    private const ulong Prime1 = 0x9E3779B185EBCA87;
    private const ulong Prime2 = 0xC2B2AE3D27D4EB4F;
    private const ulong Prime3 = 0x165667B19E3779F9;
    private const ulong Prime4 = 0x85EBCA77C2B2AE63;
    private const ulong Prime5 = 0x27D4EB2F165667C5;

    /// <summary>The digest of floats' bits, for floats that are finite.</summary>
    public static ulong OfFloats(float* values, long count) => Of((byte*)values, count * sizeof(float));

    /// <summary>The digest of floats of which some are not finite: every NaN counts as the same, whatever its sign and payload, which differ between machines.</summary>
    public static ulong OfNonFinite(float* values, long count)
    {
        const int Part = 256;
        float* canonical = stackalloc float[Part];
        ulong digest = 0;
        for (long at = 0; at < count; at += Part)
        {
            int floats = (int)Math.Min(Part, count - at);
            for (int i = 0; i < floats; i++)
            {
                float value = values[at + i];
                canonical[i] = float.IsNaN(value) ? float.NaN : value;
            }

            digest = Join(digest, OfFloats(canonical, floats));
        }

        return digest;
    }

    /// <summary>The digest of bytes.</summary>
    public static ulong Of(byte* data, long bytes)
    {
        byte* end = data + bytes;
        ulong hash;
        if (bytes >= 32)
        {
            ulong a = unchecked(Prime1 + Prime2), b = Prime2, c = 0, d = unchecked(0 - Prime1);
            for (; data <= end - 32; data += 32)
            {
                a = Round(a, Read64(data));
                b = Round(b, Read64(data + 8));
                c = Round(c, Read64(data + 16));
                d = Round(d, Read64(data + 24));
            }

            hash = BitOperations.RotateLeft(a, 1) + BitOperations.RotateLeft(b, 7) + BitOperations.RotateLeft(c, 12) + BitOperations.RotateLeft(d, 18);
            hash = Merge(Merge(Merge(Merge(hash, a), b), c), d);
        }
        else
        {
            hash = Prime5;
        }

        hash += (ulong)bytes;
        for (; data <= end - 8; data += 8)
        {
            hash = BitOperations.RotateLeft(hash ^ Round(0, Read64(data)), 27) * Prime1 + Prime4;
        }

        if (data <= end - 4)
        {
            hash = BitOperations.RotateLeft(hash ^ Unsafe.ReadUnaligned<uint>(data) * Prime1, 23) * Prime2 + Prime3;
            data += 4;
        }

        for (; data < end; data++)
        {
            hash = BitOperations.RotateLeft(hash ^ *data * Prime5, 11) * Prime1;
        }

        hash = (hash ^ (hash >> 33)) * Prime2;
        hash = (hash ^ (hash >> 29)) * Prime3;
        return hash ^ (hash >> 32);
    }

    /// <summary>Joins digests in order.</summary>
    public static ulong Join(ulong digest, ulong next) => Merge(digest ^ Prime5, next);

    /// <summary>Whether no element is NaN or infinite.</summary>
    public static bool IsFinite(float* values, long count)
    {
        // x - x is 0 for what is finite and NaN otherwise, and NaN stays in a sum.
        Vector256<float> sum = default;
        long i = 0;
        for (; i <= count - 8; i += 8)
        {
            Vector256<float> x = Vector256.Load(values + i);
            sum += x - x;
        }

        bool finite = Vector256.EqualsAll(sum, Vector256<float>.Zero);
        for (; i < count; i++)
        {
            finite &= float.IsFinite(values[i]);
        }

        return finite;
    }

    private static ulong Round(ulong lane, ulong input) => BitOperations.RotateLeft(lane + input * Prime2, 31) * Prime1;

    private static ulong Merge(ulong hash, ulong lane) => (hash ^ Round(0, lane)) * Prime1 + Prime4;

    private static ulong Read64(byte* at) => Unsafe.ReadUnaligned<ulong>(at);
}
