// Text as B endless streams for truncated backpropagation through time (TBPTT).
//
// N tokens hold M = N - 1 targets (every token but the first is predicted once). Stream b owns the targets
// [b M / B, (b + 1) M / B), so that streams differ by at most one and every target is counted exactly once per pass;
// its inputs are the tokens one place earlier. Step n of a pass counts the loss at times [n k1, (n + 1) k1) of every
// stream and reads the window [max(0, (n + 1) k1 - k2), (n + 1) k1): the k2 - k1 times before are context only, run
// again with the step's own parameters from the state committed at the window's start.
// The last span may be shorter; a stream that is one shorter than the longest ends one time step earlier in it.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>Tokens cut into streams, read span by span. Also used for evaluation: nothing here is shuffled.</summary>
public sealed unsafe class TokenStreamSource : IBatchSource
{
    private readonly ReadOnlyMemory<int> _tokens;
    private readonly long _targets;

    /// <summary>Cuts <paramref name="tokens"/> into <paramref name="streams"/> streams.</summary>
    /// <param name="tokens">The token ids.</param>
    /// <param name="streams">B: how many streams, the rows of the batch.</param>
    /// <param name="span">k1: time steps between updates.</param>
    /// <param name="lookBack">k2: how many time steps the gradient goes back; at least <paramref name="span"/>.</param>
    /// <param name="carriesState">Whether the state goes on from span to span; otherwise every window starts from zero.</param>
    /// <param name="datasetSha256">The SHA-256 of the data.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no target, a number is not positive, or k2 is below k1.</exception>
    public TokenStreamSource(
        ReadOnlyMemory<int> tokens, int streams, int span, int lookBack, bool carriesState, string datasetSha256)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens.Length, 2, nameof(tokens));
        ArgumentOutOfRangeException.ThrowIfLessThan(streams, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(span, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(lookBack, span);
        _tokens = tokens;
        _targets = tokens.Length - 1;
        BatchRows = streams;
        Span = span;
        LookBack = lookBack;
        CarriesState = carriesState;
        DatasetSha256 = datasetSha256;
        LongestStream = (_targets + streams - 1) / streams;
        StepsPerPass = (LongestStream + span - 1) / span;
        MaximumTime = (int)Math.Min(lookBack, LongestStream);
        MaximumTargetTime = (int)Math.Min(span, LongestStream);
    }

    /// <summary>k1: time steps between updates.</summary>
    public int Span { get; }

    /// <summary>k2: time steps the gradient goes back.</summary>
    public int LookBack { get; }

    /// <summary>The targets of the longest stream.</summary>
    public long LongestStream { get; }

    /// <inheritdoc/>
    public int BatchRows { get; }

    /// <inheritdoc/>
    public long StepsPerPass { get; }

    /// <inheritdoc/>
    public long TargetsPerPass => _targets;

    /// <inheritdoc/>
    public int MaximumTime { get; }

    /// <inheritdoc/>
    public int MaximumTargetTime { get; }

    /// <inheritdoc/>
    public int FeatureWidth => 0;

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public bool CarriesState { get; }

    /// <inheritdoc/>
    public string DatasetSha256 { get; }

    /// <summary>Where stream <paramref name="stream"/> starts in the tokens, and how many targets it owns.</summary>
    public (long First, long Count) StreamOf(int stream)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stream);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(stream, BatchRows);
        long first = (long)((Int128)stream * _targets / BatchRows);
        long end = (long)(((Int128)stream + 1) * _targets / BatchRows);
        return (first, end - first);
    }

    /// <inheritdoc/>
    public StepPlan Plan(long version)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(version);
        long pass = version / StepsPerPass;
        long step = version % StepsPerPass;
        long start = WindowStart(step);
        long end = Math.Min((step + 1) * Span, LongestStream);
        int time = (int)(end - start);
        // min: after the last step of a pass the formula may point beyond the data; that state is never read.
        int capture = (int)Math.Min(WindowStart(step + 1) - start, time);
        return new StepPlan(
            version, pass, step, time, (int)(end - step * Span), start, capture, start == 0 || !CarriesState);
    }

    /// <inheritdoc/>
    public void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into)
    {
        ArgumentNullException.ThrowIfNull(into);
        BatchBounds.Prepare(this, plan, firstRow, rows, into);
        ReadOnlySpan<int> tokens = _tokens.Span;
        int context = plan.Time - plan.TargetTime;
        for (int row = 0; row < rows; row++)
        {
            (long first, long count) = StreamOf(firstRow + row);
            int length = (int)Math.Clamp(count - plan.StartTime, 0, plan.Time);
            into.Lengths[row] = length;
            into.RowIds[row] = length == 0 ? -1 : firstRow + row;
            ReadOnlySpan<int> window = tokens.Slice((int)(first + Math.Min(plan.StartTime, count)), length + 1);
            for (int time = 0; time < plan.Time; time++)
            {
                into.Tokens[(long)time * rows + row] = time < length ? window[time] : 0;
            }

            for (int time = 0; time < plan.TargetTime; time++)
            {
                int at = context + time;
                into.TargetTokens[(long)time * rows + row] = at < length ? window[at + 1] : -1;
            }
        }
    }

    private long WindowStart(long step) => Math.Max(0, (step + 1) * Span - LookBack);
}
