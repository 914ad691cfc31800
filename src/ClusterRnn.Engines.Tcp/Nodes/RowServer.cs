// Sends rows of the data to workers that have no copy of it, on a thread of its own.
using System.Collections.Concurrent;
using ClusterRnn.Data;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>Answers <see cref="ReadRows"/>.</summary>
internal sealed unsafe class RowServer : IDisposable
{
    private const int LongestQueue = 4096; // four for each worker a job may have

    private readonly TrainingJob _job;
    private readonly BlockPool _pool;
    private readonly BulkPeers _peers;
    private readonly BlockingCollection<(ActorId From, ReadRows Question)> _questions = new(LongestQueue);
    private readonly Dictionary<DataPart, SpanBatch> _batches = [];
    private readonly Thread _thread;

    /// <summary>Starts the thread.</summary>
    public RowServer(TrainingJob job, BlockPool pool, BulkPeers peers)
    {
        _job = job;
        _pool = pool;
        _peers = peers;
        _thread = new Thread(Run) { IsBackground = true, Name = "rows" };
        _thread.Start();
    }

    /// <summary>Takes a question in; one too many is dropped, and asked again.</summary>
    public void Ask(ActorId from, ReadRows question) => _questions.TryAdd((from, question));

    /// <inheritdoc/>
    public void Dispose()
    {
        _questions.CompleteAdding();
        _thread.Join(TimeSpan.FromSeconds(10));
        foreach (SpanBatch batch in _batches.Values)
        {
            batch.Dispose();
        }
    }

    private void Run()
    {
        foreach ((ActorId from, ReadRows question) in _questions.GetConsumingEnumerable())
        {
            try
            {
                Answer(from, question);
            }
            catch (Exception error) when (error is ArgumentException or DataException or IOException)
            {
                _peers.Send(ActorId.Coordinator, from, new RowsRefused(question.Part, question.Version, error.Message), 0, question.Version);
            }
        }
    }

    private void Answer(ActorId from, ReadRows question)
    {
        var part = (DataPart)question.Part;
        IBatchSource source = _job.Source(part);
        StepPlan plan = source.Plan(question.Version);
        var answer = new RowsArrived(
            question.Part,
            question.Version,
            question.FirstRow,
            question.Rows,
            plan.Pass,
            plan.StepInPass,
            plan.Time,
            plan.TargetTime,
            plan.StartTime,
            plan.CaptureTime,
            plan.ResetState,
            0);
        if (question.Rows == 0)
        {
            _peers.Send(ActorId.Coordinator, from, answer, 0, question.Version);
            return;
        }

        if (!_batches.TryGetValue(part, out SpanBatch? batch))
        {
            _batches.Add(part, batch = new SpanBatch(source.MaximumTime, source.BatchRows, source.FeatureWidth, source.TargetWidth));
        }

        source.Fill(plan, question.FirstRow, question.Rows, batch);
        long words = BatchBlock.Words(batch);
        float* block = _pool.Rent(words, out long number);
        if (block is null)
        {
            return; // asked again when there is room
        }

        BatchBlock.Write(batch, block);
        _peers.Send(ActorId.Coordinator, from, answer with { Time = batch.Time, TargetTime = batch.TargetTime, StartTime = batch.StartTime }, 0, question.Version, block, words, () => _pool.Return(number));
    }
}
