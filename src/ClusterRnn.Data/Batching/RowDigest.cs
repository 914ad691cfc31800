using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>
/// Digests of the rows a worker really read. The ledger compares them with the digest of the rows the permutation
/// asked for: who they are, where they start, how long they are, and every value in them.
/// </summary>
public static unsafe class RowDigest
{
    private const ulong Start = 0x9E3779B97F4A7C15;

    /// <summary>
    /// The digest of rows <c>[first, first + count)</c> of <paramref name="batch"/> (counted within it). It depends on
    /// the rows' global slots and contents alone, so that a shard has one digest however the batch was cut.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The rows don't lie in the batch.</exception>
    public static ulong Of(SpanBatch batch, int first, int count)
    {
        ArgumentNullException.ThrowIfNull(batch);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + count, batch.Rows);
        ulong digest = Start;
        for (int row = first; row < first + count; row++)
        {
            digest = Mix(digest, (ulong)(batch.FirstRow + row));
            digest = Mix(digest, (ulong)batch.RowIds[row]);
            digest = Mix(digest, (ulong)batch.StartTime);
            digest = Mix(digest, (ulong)batch.Lengths[row]);
            for (int time = 0; time < batch.Time; time++)
            {
                long cell = (long)time * batch.Rows + row;
                if (batch.FeatureWidth == 0)
                {
                    digest = Mix(digest, (uint)batch.Tokens[cell]);
                }
                else
                {
                    digest = Mix(digest, batch.Features + cell * batch.FeatureWidth, batch.FeatureWidth);
                }
            }

            for (int time = 0; time < batch.TargetTime; time++)
            {
                long cell = (long)time * batch.Rows + row;
                if (batch.TargetWidth == 0)
                {
                    digest = Mix(digest, (uint)batch.TargetTokens[cell]);
                }
                else
                {
                    digest = Mix(digest, batch.TargetValues + cell * batch.TargetWidth, batch.TargetWidth);
                }
            }
        }

        return digest;
    }

    private static ulong Mix(ulong digest, float* values, int count)
    {
        for (int i = 0; i < count; i++)
        {
            digest = Mix(digest, BitConverter.SingleToUInt32Bits(values[i]));
        }

        return digest;
    }

    // Multiplication by an odd constant and a xor-shift are both bijections, so two contents that differ in one value
    // can't collide.
    private static ulong Mix(ulong digest, ulong value)
    {
        ulong mixed = (digest ^ value) * 0xD6E8FEB86659FD93;
        return mixed ^ (mixed >> 32);
    }
}
