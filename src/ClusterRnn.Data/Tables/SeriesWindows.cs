using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>
/// Sliding windows over a part of a series, but for those with missing cells where such are to be left out. Example i reads <c>Window</c> rows that end at <see cref="LastInputRow"/>
/// and has the next <c>Horizon</c> rows as targets: [horizon, targets] values, at its last time step or at every one.
/// </summary>
public sealed unsafe class SeriesWindows : IExamples
{
    private readonly SeriesSplit _split;
    private readonly float[] _features; // [rows, Features]
    private readonly float[] _targets; // [rows, Targets]
    private readonly int _firstEnd;
    private readonly int[]? _ends; // the last input row of each example, where some windows are left out

    internal SeriesWindows(SeriesSplit split, SeriesPart part, float[] features, float[] targets)
    {
        _split = split;
        _features = features;
        _targets = targets;
        _firstEnd = Math.Max(split.Window - 1, part.Start - 1 + (split.EveryStep ? split.Window - 1 : 0));
        Count = Math.Max(0, part.End - split.Horizon - _firstEnd);
        if (split.Table.Gaps is not null)
        {
            _ends = [.. Enumerable.Range(_firstEnd, (int)Count).Where(last => split.ReadsWhole(last) && split.PredictsWhole(last))];
            LeftOut = (int)Count - _ends.Length;
            Count = _ends.Length;
        }
    }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public int Time => _split.Window;

    /// <inheritdoc/>
    public int TargetTime => _split.EveryStep ? _split.Window : 1;

    /// <inheritdoc/>
    public int FeatureWidth => _split.Features.Count;

    /// <inheritdoc/>
    public int TargetWidth => _split.Horizon * _split.Targets.Count;

    /// <inheritdoc/>
    public string Sha256 => _split.Table.Sha256;

    /// <summary>The table's row of an example's last time step; its first target is the row after it.</summary>
    public int LastInputRow(long example) => _ends is null ? _firstEnd + (int)example : _ends[example];

    /// <summary>How many windows are left out because a cell they read or predict is missing.</summary>
    public int LeftOut { get; }

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        ArgumentNullException.ThrowIfNull(into);
        int first = LastInputRow(example) - Time + 1;
        int features = FeatureWidth, targets = _split.Targets.Count, width = TargetWidth;
        for (int time = 0; time < Time; time++)
        {
            _features.AsSpan((first + time) * features, features)
                .CopyTo(new Span<float>(into.Features + ((long)time * into.Rows + row) * features, features));
        }

        for (int time = 0; time < TargetTime; time++)
        {
            int next = LastInputRow(example) - TargetTime + time + 2;
            _targets.AsSpan(next * targets, width)
                .CopyTo(new Span<float>(into.TargetValues + ((long)time * into.Rows + row) * width, width));
        }

        return Time;
    }
}
