// What a model puts out for examples, a batch at a time: whoever judges or uses it takes the rows one after the other.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>Takes a row of a batch.</summary>
/// <param name="batch">The batch.</param>
/// <param name="row">Which row.</param>
/// <param name="outputs">The whole batch's outputs [target time, rows, width].</param>
internal unsafe delegate void OutputVisitor(SpanBatch batch, int row, float* outputs);

/// <summary>Computes examples.</summary>
internal static unsafe class ExampleOutputs
{
    private const int BatchRows = 64;

    // Outputs of a batch; with many classes and long rows fewer rows are computed at once.
    private const long MostOutputs = 1 << 24;

    /// <summary>Shows the outputs of the first examples, in order; <see cref="SpanBatch.RowIds"/> says which a row is.</summary>
    /// <param name="model">The model.</param>
    /// <param name="examples">The examples.</param>
    /// <param name="most">How many of them at the most.</param>
    /// <param name="logits">Whether outputs are logits instead of what the last layer's activation makes of them.</param>
    /// <param name="visit">Is shown each row.</param>
    /// <param name="cancellation">Gives up between batches.</param>
    public static void Visit(TrainedModel model, IExamples examples, long most, bool logits, OutputVisitor visit, CancellationToken cancellation)
    {
        int count = (int)Math.Min(examples.Count, most), width = model.Model.OutputWidth;
        int rows = (int)Math.Clamp(MostOutputs / ((long)examples.TargetTime * width), 1, Math.Min(BatchRows, count));
        using var batch = new SpanBatch(examples.Time, rows, examples.FeatureWidth, examples.TargetWidth);
        using ModelExecutor executor = model.CreateExecutor(examples.Time, examples.TargetTime, rows);
        using var outputs = new NativeBuffer<float>((long)examples.TargetTime * rows * width);
        for (int first = 0; first < count; first += rows)
        {
            cancellation.ThrowIfCancellationRequested();
            batch.Rows = Math.Min(rows, count - first);
            batch.Time = 1;
            for (int row = 0; row < batch.Rows; row++)
            {
                batch.Time = Math.Max(batch.Time, examples.LengthOf(first + row));
            }

            batch.TargetTime = examples.TargetTime == examples.Time ? batch.Time : examples.TargetTime;
            WindowSource.Clear(batch);
            for (int row = 0; row < batch.Rows; row++)
            {
                batch.RowIds[row] = first + row;
                batch.Lengths[row] = examples.Read(first + row, batch, row);
            }

            executor.Predict(batch, null, null, outputs.Pointer, logits);
            for (int row = 0; row < batch.Rows; row++)
            {
                visit(batch, row, outputs.Pointer);
            }
        }
    }
}
