// Rows for workers without a copy of the data: a batch as a block of 32-bit words, and the worker's side of asking for it.
using System.Runtime.InteropServices;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>How a batch lies in a block: inputs, targets, lengths, row ids (two words each), each for the rows that are there.</summary>
internal static unsafe class BatchBlock
{
    /// <summary>The words of a batch.</summary>
    public static long Words(SpanBatch batch) => Words(batch.FeatureWidth, batch.TargetWidth, batch.Time, batch.TargetTime, batch.Rows);

    /// <summary>The words of a batch of this shape.</summary>
    public static long Words(int featureWidth, int targetWidth, int time, int targetTime, int rows)
        => ((long)time * Math.Max(1, featureWidth) + (long)targetTime * Math.Max(1, targetWidth) + 3) * rows;

    /// <summary>Writes a batch.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="into">[<see cref="Words(SpanBatch)"/>], overwritten.</param>
    public static void Write(SpanBatch batch, float* into)
    {
        long inputs = (long)batch.Time * batch.Rows * Math.Max(1, batch.FeatureWidth);
        long targets = (long)batch.TargetTime * batch.Rows * Math.Max(1, batch.TargetWidth);
        into = Copy(batch.Tokens is null ? batch.Features : (float*)batch.Tokens, into, inputs);
        into = Copy(batch.TargetTokens is null ? batch.TargetValues : (float*)batch.TargetTokens, into, targets);
        into = Copy((float*)batch.Lengths, into, batch.Rows);
        Copy((float*)batch.RowIds, into, 2L * batch.Rows);
    }

    /// <summary>Reads what <see cref="Write"/> wrote for the shape that is set in <paramref name="batch"/>.</summary>
    public static void Read(float* from, SpanBatch batch)
    {
        long inputs = (long)batch.Time * batch.Rows * Math.Max(1, batch.FeatureWidth);
        long targets = (long)batch.TargetTime * batch.Rows * Math.Max(1, batch.TargetWidth);
        Copy(from, batch.Tokens is null ? batch.Features : (float*)batch.Tokens, inputs);
        from += inputs;
        Copy(from, batch.TargetTokens is null ? batch.TargetValues : (float*)batch.TargetTokens, targets);
        from += targets;
        Copy(from, (float*)batch.Lengths, batch.Rows);
        from += batch.Rows;
        Copy(from, (float*)batch.RowIds, 2L * batch.Rows);
    }

    private static float* Copy(float* from, float* into, long words)
    {
        NativeMemory.Copy(from, into, checked((nuint)(words * sizeof(float))));
        return into + words;
    }
}

/// <summary>Asks the coordinator for rows and waits for them; threads that compute side by side ask one after the other.</summary>
/// <param name="ask">Sends a question.</param>
/// <param name="pool">Where answers lie.</param>
/// <param name="timeout">How long an answer may take.</param>
internal sealed unsafe class RowRequests(Action<ReadRows> ask, BlockPool pool, TimeSpan timeout) : IRowSupplier
{
    private const int Repetitions = 10;

    private readonly Lock _turn = new(); // held from a question to the end of reading its answer
    private readonly object _gate = new();
    private ReadRows? _asked; // guarded by _gate
    private RowsArrived? _arrived;
    private string? _refused;
    private StepPlan _plan; // guarded by _turn
    private (DataPart Part, long Version) _planOf = (DataPart.Train, -1);

    /// <summary>Floats that an answer to the present question has; -1 when nothing is asked.</summary>
    /// <param name="arrived">The answer's message.</param>
    /// <param name="source">The source in question.</param>
    public static long ExpectedFloats(RowsArrived arrived, SourceDescription source)
        => arrived.Time < 0 || arrived.Time > source.MaximumTime || arrived.TargetTime < 0 || arrived.TargetTime > source.MaximumTargetTime
            || arrived.Rows < 0 || arrived.Rows > source.BatchRows
            ? -1
            : BatchBlock.Words(source.FeatureWidth, source.TargetWidth, arrived.Time, arrived.TargetTime, arrived.Rows);

    /// <inheritdoc/>
    public StepPlan Plan(DataPart part, long version)
    {
        lock (_turn)
        {
            if (_planOf != (part, version))
            {
                RowsArrived arrived = Ask(new ReadRows((int)part, version, 0, 0));
                pool.Return(arrived.Payload);
                _plan = PlanOf(arrived);
                _planOf = (part, version);
            }

            return _plan;
        }
    }

    /// <inheritdoc/>
    public void Fill(DataPart part, StepPlan plan, int firstRow, int rows, SpanBatch into)
    {
        lock (_turn)
        {
            RowsArrived arrived = Ask(new ReadRows((int)part, plan.Version, firstRow, rows));
            try
            {
                into.Time = arrived.Time;
                into.Rows = rows;
                into.FirstRow = firstRow;
                into.StartTime = arrived.StartTime;
                into.TargetTime = arrived.TargetTime;
                BatchBlock.Read(pool[arrived.Payload], into);
            }
            finally
            {
                pool.Return(arrived.Payload);
            }
        }
    }

    /// <summary>An answer has arrived; one that nobody waits for is dropped.</summary>
    public void Take(RowsArrived arrived)
    {
        lock (_gate)
        {
            if (_asked is { } asked && _arrived is null && asked.Part == arrived.Part && asked.Version == arrived.Version
                && asked.FirstRow == arrived.FirstRow && asked.Rows == arrived.Rows)
            {
                _arrived = arrived;
                Monitor.PulseAll(_gate);
                return;
            }
        }

        pool.Return(arrived.Payload);
    }

    /// <summary>The coordinator can't answer.</summary>
    public void Take(RowsRefused refused)
    {
        lock (_gate)
        {
            if (_asked is { } asked && asked.Part == refused.Part && asked.Version == refused.Version)
            {
                _refused = refused.Reason;
                Monitor.PulseAll(_gate);
            }
        }
    }

    private static StepPlan PlanOf(RowsArrived arrived) => new(
        arrived.Version, arrived.Pass, arrived.StepInPass, arrived.Time, arrived.TargetTime, arrived.StartTime, arrived.CaptureTime, arrived.ResetState);

    private RowsArrived Ask(ReadRows question)
    {
        lock (_gate)
        {
            (_asked, _arrived, _refused) = (question, null, null);
            try
            {
                for (int i = 0; i < Repetitions; i++)
                {
                    ask(question);
                    long until = Environment.TickCount64 + (long)(timeout.TotalMilliseconds / Repetitions);
                    while (_arrived is null && _refused is null && until - Environment.TickCount64 is > 0 and var left)
                    {
                        Monitor.Wait(_gate, (int)left);
                    }

                    if (_refused is { } reason)
                    {
                        throw new TrainingException($"The coordinator refused the rows of step {question.Version}: {reason}");
                    }

                    if (_arrived is { } arrived)
                    {
                        return arrived;
                    }
                }

                throw new TrainingException($"The coordinator did not send the rows of step {question.Version} within {timeout.TotalSeconds:0} s.");
            }
            finally
            {
                _asked = null;
            }
        }
    }
}
