// Examples for each step: in the order of a keyed permutation of each pass, or in their own order for evaluation. The
// last batch of a pass is filled with empty rows, which count for nothing.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Independent examples that can be read in any order, from several threads at once.</summary>
public interface IExamples
{
    /// <summary>How many there are.</summary>
    long Count { get; }

    /// <summary>T: time steps of the longest.</summary>
    int Time { get; }

    /// <summary>How many of the last time steps have targets.</summary>
    int TargetTime { get; }

    /// <summary>Values a time step, or 0 when the input is token ids.</summary>
    int FeatureWidth { get; }

    /// <summary>Real-valued targets a time step, or 0 when targets are class ids.</summary>
    int TargetWidth { get; }

    /// <summary>The SHA-256 of the data, lower-case hexadecimal.</summary>
    string Sha256 { get; }

    /// <summary>Whether some are shorter than <see cref="Time"/>.</summary>
    bool DifferInLength => false;

    /// <summary>How many time steps with targets they have together.</summary>
    long Targets => Count * TargetTime;

    /// <summary>How many time steps an example has.</summary>
    int LengthOf(long example) => Time;

    /// <summary>
    /// Writes an example as row <paramref name="row"/> of a batch whose Time, TargetTime and Rows are set, and returns
    /// how many time steps it has. Cells beyond them are zero already, targets -1 or zero.
    /// </summary>
    int Read(long example, SpanBatch into, int row);
}

/// <summary>Batches of examples, each a row.</summary>
public interface IExampleSource : IBatchSource
{
    /// <summary>The examples in their own order.</summary>
    IExamples Examples { get; }
}

/// <summary>Batches of examples.</summary>
public sealed unsafe class WindowSource : IExampleSource
{
    private readonly IExamples _examples;
    private readonly ulong _seed;
    private readonly bool _shuffled;

    /// <summary>Deals <paramref name="examples"/> into batches of <paramref name="rows"/>.</summary>
    /// <param name="examples">The examples.</param>
    /// <param name="rows">B: rows of a batch.</param>
    /// <param name="seed">The job's seed, which keys each pass's order.</param>
    /// <param name="shuffled">Whether each pass has its own order; otherwise examples come as they are.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no example, or no row.</exception>
    public WindowSource(IExamples examples, int rows, ulong seed, bool shuffled)
    {
        ArgumentNullException.ThrowIfNull(examples);
        ArgumentOutOfRangeException.ThrowIfLessThan(examples.Count, 1, nameof(examples));
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        _examples = examples;
        _seed = seed;
        _shuffled = shuffled;
        BatchRows = rows;
        StepsPerPass = (examples.Count + rows - 1) / rows;
    }

    /// <inheritdoc/>
    public IExamples Examples => _examples;

    /// <inheritdoc/>
    public int BatchRows { get; }

    /// <inheritdoc/>
    public long StepsPerPass { get; }

    /// <inheritdoc/>
    public long TargetsPerPass => _examples.Targets;

    /// <inheritdoc/>
    public int MaximumTime => _examples.Time;

    /// <inheritdoc/>
    public int MaximumTargetTime => _examples.TargetTime;

    /// <inheritdoc/>
    public int FeatureWidth => _examples.FeatureWidth;

    /// <inheritdoc/>
    public int TargetWidth => _examples.TargetWidth;

    /// <inheritdoc/>
    public bool CarriesState => false;

    /// <inheritdoc/>
    public string DatasetSha256 => _examples.Sha256;

    /// <summary>Which example is read at a place of a pass: what the ledger verifies row ids against.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The place is not in [0, count).</exception>
    public long ExampleAt(long pass, long place)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(place);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(place, _examples.Count);
        return _shuffled ? Order(pass).At(place) : place;
    }

    /// <inheritdoc/>
    public StepPlan Plan(long version)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(version);
        return new StepPlan(
            version, version / StepsPerPass, version % StepsPerPass, MaximumTime, MaximumTargetTime, 0, MaximumTime, true);
    }

    /// <inheritdoc/>
    public void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into)
    {
        ArgumentNullException.ThrowIfNull(into);
        BatchBounds.Prepare(this, plan, firstRow, rows, into);
        Clear(into);
        KeyedPermutation order = Order(plan.Pass);
        for (int row = 0; row < rows; row++)
        {
            long place = plan.StepInPass * BatchRows + firstRow + row;
            if (place >= _examples.Count)
            {
                into.Lengths[row] = 0;
                into.RowIds[row] = -1;
                continue;
            }

            long example = _shuffled ? order.At(place) : place;
            into.RowIds[row] = example;
            into.Lengths[row] = _examples.Read(example, into, row);
        }
    }

    private KeyedPermutation Order(long pass) => new(_seed, RandomPurpose.Shuffle, (ulong)pass, _examples.Count);

    /// <summary>Empties the inputs and targets of a batch whose Time, TargetTime and Rows are set: zero, and no target.</summary>
    public static void Clear(SpanBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        long cells = (long)batch.Time * batch.Rows, targets = (long)batch.TargetTime * batch.Rows;
        if (batch.FeatureWidth == 0)
        {
            NativeMemory.Clear(batch.Tokens, (nuint)cells * sizeof(int));
        }
        else
        {
            NativeMemory.Clear(batch.Features, (nuint)(cells * batch.FeatureWidth) * sizeof(float));
        }

        if (batch.TargetWidth == 0)
        {
            NativeMemory.Fill(batch.TargetTokens, (nuint)targets * sizeof(int), 0xFF); // -1
        }
        else
        {
            NativeMemory.Clear(batch.TargetValues, (nuint)(targets * batch.TargetWidth) * sizeof(float));
        }
    }
}
