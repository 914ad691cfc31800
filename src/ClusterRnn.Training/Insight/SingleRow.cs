using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Insight;

/// <summary>Rows by themselves, cut so that each ends with its last target.</summary>
internal static unsafe class SingleRow
{
    /// <summary>A row of tokens; its targets are for whoever looks at it to fill in.</summary>
    /// <param name="tokens">What it reads, at least one.</param>
    /// <param name="targets">How many of its last time steps have targets.</param>
    public static SpanBatch Of(ReadOnlySpan<int> tokens, int targets)
    {
        var row = new SpanBatch(tokens.Length, 1, 0, 0) { Time = tokens.Length, TargetTime = targets, Rows = 1 };
        row.Lengths[0] = tokens.Length;
        tokens.CopyTo(new Span<int>(row.Tokens, tokens.Length));
        return row;
    }

    /// <summary>The first rows of a source, at most so many, with at most so many time steps up to their last target.</summary>
    /// <param name="model">Who will read them.</param>
    /// <param name="source">The data.</param>
    /// <param name="most">The most rows.</param>
    /// <param name="time">The most time steps.</param>
    /// <returns>Rows to be disposed of.</returns>
    public static IReadOnlyList<SpanBatch> Of(Model model, IBatchSource source, int most, int time)
    {
        int rows = Math.Min(most, source.BatchRows);
        var single = new List<SpanBatch>();
        using var batch = new SpanBatch(source.MaximumTime, rows, source.FeatureWidth, source.TargetWidth);
        source.Fill(source.Plan(0), 0, rows, batch);
        for (int row = 0; row < rows; row++)
        {
            if (Cut(model, batch, row, time) is { } cut)
            {
                single.Add(cut);
            }
        }

        return single;
    }

    /// <summary>One row, its last target alone (of the loss ctc: all of its labels; of a pair: all of both sequences); null when it has no target.</summary>
    public static SpanBatch? Cut(Model model, SpanBatch from, int row, int most)
    {
        if (model.IsEncoderDecoder)
        {
            return Pair(from, row);
        }

        int firstTarget = from.Time - from.TargetTime, length = from.Lengths[row], end = length;
        bool isCtc = model.Loss == LossKind.Ctc;
        if (!model.ReturnsLast && !isCtc)
        {
            while (end > firstTarget && from.TargetTokens is not null && from.TargetTokens[((long)(end - 1 - firstTarget) * from.Rows) + row] < 0)
            {
                end--;
            }
        }

        if (length == 0 || end <= (model.ReturnsLast || isCtc ? 0 : firstTarget))
        {
            return null;
        }

        int time = isCtc ? end : Math.Min(end, most), start = end - time, targets = isCtc ? Math.Min(time, from.TargetTime) : model.ReturnsLast || from.TargetTokens is null ? 1 : time;
        var cut = new SpanBatch(time, 1, from.FeatureWidth, from.TargetWidth) { Time = time, TargetTime = targets, Rows = 1 };
        cut.Lengths[0] = time;
        cut.RowIds[0] = from.RowIds[row];
        for (int i = 0; i < time; i++)
        {
            if (from.Tokens is not null)
            {
                cut.Tokens[i] = from.Tokens[((long)(start + i) * from.Rows) + row];
            }
            else
            {
                CopyFeatures(from, start + i, row, cut, i);
            }
        }

        if (from.TargetTokens is not null)
        {
            new Span<int>(cut.TargetTokens, targets).Fill(-1); // time steps without a target that are looked at all the same
        }

        for (int i = isCtc ? 0 : targets - 1; i < targets; i++)
        {
            long cell = ((long)(isCtc ? i : model.ReturnsLast ? 0 : end - 1 - firstTarget) * from.Rows) + row;
            if (from.TargetTokens is not null)
            {
                cut.TargetTokens[i] = from.TargetTokens[cell];
            }
            else
            {
                new ReadOnlySpan<float>(from.TargetValues + (cell * from.TargetWidth), from.TargetWidth).CopyTo(new Span<float>(cut.TargetValues + ((long)i * from.TargetWidth), from.TargetWidth));
            }
        }

        return cut;
    }

    private static SpanBatch? Pair(SpanBatch from, int row)
    {
        int length = from.Lengths[row], targets = 0;
        while (targets < from.TargetTime && from.TargetTokens[((long)targets * from.Rows) + row] >= 0)
        {
            targets++;
        }

        if (length == 0 || targets == 0)
        {
            return null;
        }

        int time = Math.Max(length, targets);
        var pair = new SpanBatch(time, 1, from.FeatureWidth, 0) { Time = time, TargetTime = targets, Rows = 1 };
        pair.Lengths[0] = length;
        pair.RowIds[0] = from.RowIds[row];
        for (int i = 0; i < time; i++)
        {
            if (from.Tokens is null)
            {
                CopyFeatures(from, i, row, pair, i);
            }
            else
            {
                pair.Tokens[i] = from.Tokens[((long)i * from.Rows) + row];
            }
        }

        for (int i = 0; i < targets; i++)
        {
            pair.TargetTokens[i] = from.TargetTokens[((long)i * from.Rows) + row];
        }

        return pair;
    }

    private static void CopyFeatures(SpanBatch from, int time, int row, SpanBatch into, int at)
    {
        long cell = ((long)time * from.Rows) + row;
        new ReadOnlySpan<float>(from.Features + (cell * from.FeatureWidth), from.FeatureWidth).CopyTo(new Span<float>(into.Features + ((long)at * from.FeatureWidth), from.FeatureWidth));
    }
}
