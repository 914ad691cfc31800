// From the last layer's output to the loss, its gradient and the metrics' sums. The gradient is that of the SUM over
// targets; the division by the global count happens once, where all counts are known.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Losses;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Models;

/// <summary>A model's loss and metrics over one slice.</summary>
internal sealed unsafe class LossHead
{
    private readonly LossKind loss;
    private readonly MetricSchema metrics;
    private readonly Signal output;
    private readonly float* scratch; // [target cells, stride]: the outputs, where there is no room for their gradient
    private readonly double* cellLosses; // [target cells]
    private readonly int* predictions; // [target cells]
    private readonly CtcLoss? labels;
    private readonly GaussianMixture? mixture;
    private readonly int targetWidth;
    private readonly float* means; // [target cells, targetWidth]: of a mixture

    public LossHead(Model model, Signal output, LayerPlan plan, int maximumTargetTime)
    {
        loss = model.Loss;
        metrics = model.Metrics;
        this.output = output;
        long cells = (long)maximumTargetTime * plan.MaximumRows;
        scratch = output.HasGradient ? null : plan.Arena.Floats(cells * output.Stride);
        cellLosses = plan.Arena.Doubles(cells);
        predictions = plan.Arena.Ints(loss is LossKind.CrossEntropy or LossKind.Ctc ? cells : 0);
        targetWidth = model.TargetWidth;
        mixture = GaussianMixture.Of(model);
        means = plan.Arena.Floats(mixture is null ? 0 : cells * targetWidth);
        labels = loss == LossKind.Ctc ? new CtcLoss(plan.Arena, maximumTargetTime, output.Width) : null;
    }

    private bool NeedsPredictions => metrics.CorrectCount >= 0 || metrics.ConfusionCount >= 0;

    /// <summary>Refuses a batch whose targets are of another kind.</summary>
    public void Check(SpanBatch batch)
    {
        if (loss is LossKind.CrossEntropy or LossKind.Ctc)
        {
            if (batch.TargetTokens is null)
            {
                throw new ArgumentException($"{loss} needs class ids as targets, the batch has values.", nameof(batch));
            }
        }
        else if (batch.TargetValues is null || batch.TargetWidth != targetWidth)
        {
            throw new ArgumentException($"{loss} needs {targetWidth} values a target, the batch has {(batch.TargetValues is null ? "class ids" : batch.TargetWidth)}.", nameof(batch));
        }
    }

    /// <summary>Adds to <paramref name="sums"/> and, in training, fills the gradient of the output.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="order">The order in which its rows were computed.</param>
    /// <param name="sums">The sums of each shard.</param>
    public void Forward(SpanBatch batch, RowOrder order, ShardSums sums)
    {
        StepScope scope = output.Scope;
        // Targets belong to the window's last time steps; a segment has a part of them.
        long firstTarget = scope.IsLast ? 0 : (scope.Start + scope.From - (batch.Time - batch.TargetTime)) * (long)scope.Rows;
        int times = labels is null ? scope.Time - scope.From : batch.TargetTime; // labels have no times
        int* targetTokens = batch.TargetTokens is null ? null : order.TargetTokens(batch.TargetTokens + firstTarget, times);
        float* targetValues = batch.TargetValues is null ? null : order.TargetValues(batch.TargetValues + (firstTarget * batch.TargetWidth), times, batch.TargetWidth);
        float* values = output.At(scope.From);
        float* gradient = output.HasGradient ? output.GradientAt(scope.From) : scratch;
        long floats = (long)scope.Cells * output.Stride;
        NativeMemory.Copy(values, gradient, (nuint)floats * sizeof(float));
        if (labels is not null)
        {
            SumLabels(labels, targetTokens, times, scope, gradient, sums);
            return;
        }

        for (int time = scope.From, run; time < scope.Time; time += run)
        {
            run = scope.RunFrom(time);
            int first = (time - scope.From) * scope.Rows, cells = run == 1 ? scope.RowsAt(time) : run * scope.Rows;
            long at = (long)first * output.Stride;
            if (loss == LossKind.CrossEntropy)
            {
                SoftmaxCrossEntropy.Evaluate(cells, output.Width, gradient + at, output.Stride, targetTokens + first, cellLosses + first);
                if (NeedsPredictions)
                {
                    SoftmaxCrossEntropy.Predict(cells, output.Width, values + at, output.Stride, predictions + first);
                }
            }
            else if (loss == LossKind.BinaryCrossEntropy)
            {
                BinaryCrossEntropy.Evaluate(cells, output.Width, gradient + at, output.Stride, targetValues + ((long)first * output.Width), cellLosses + first);
            }
            else if (mixture is { } density)
            {
                for (int cell = first; cell < first + cells; cell++)
                {
                    var outputs = new Span<float>(gradient + ((long)cell * output.Stride), output.Width);
                    density.Mean(outputs, new Span<float>(means + ((long)cell * targetWidth), targetWidth));
                    cellLosses[cell] = density.Evaluate(outputs, new ReadOnlySpan<float>(targetValues + ((long)cell * targetWidth), targetWidth));
                }
            }
            else
            {
                MeanSquaredError.Evaluate(cells, output.Width, gradient + at, output.Stride, targetValues + ((long)first * output.Width), cellLosses + first);
            }
        }

        scope.ClearEnded(gradient - (scope.FirstCell * (long)output.Stride), output.Stride);
        for (int shard = 0; shard < scope.Shards.Shards; shard++)
        {
            Sum(targetTokens, targetValues, scope, shard, sums.SumsOf(shard), sums.CountsOf(shard), values);
        }
    }

    /// <summary>Copies the outputs without padding and applies what the loss took over.</summary>
    /// <param name="into">[TargetTime, B, width], overwritten.</param>
    /// <param name="final">What the loss took over.</param>
    /// <param name="places">[B]: where each row lies, or null.</param>
    public void Outputs(float* into, ActivationKind final, int* places)
    {
        StepScope scope = output.Scope;
        for (int time = scope.From; time < scope.Time; time++)
        {
            for (int row = 0; row < scope.Rows; row++)
            {
                long cell = ((time - scope.From) * (long)scope.Rows) + row;
                float* values = output.At(time) + ((long)(places is null ? row : places[row]) * output.Stride);
                new ReadOnlySpan<float>(values, output.Width).CopyTo(new Span<float>(into + (cell * output.Width), output.Width));
            }
        }

        Activations.Forward(final, scope.Cells, output.Width, into, output.Width);
    }

    // Rows one by one, then the sums of each shard over its rows, ascending.
    private void SumLabels(CtcLoss ctc, int* targets, int mostLabels, StepScope scope, float* gradient, ShardSums sums)
    {
        for (int row = 0; row < scope.Rows; row++)
        {
            cellLosses[row] = ctc.Evaluate(scope.Lengths[row], gradient + ((long)row * output.Stride), (nint)scope.Rows * output.Stride, targets + row, scope.Rows, mostLabels, out predictions[row]);
        }

        scope.ClearEnded(gradient, output.Stride);
        for (int shard = 0; shard < scope.Shards.Shards; shard++)
        {
            int* cells = scope.Shards.Rows(shard);
            for (int i = 0; i < scope.Shards.Count(shard); i++)
            {
                if (cells[i] < scope.Rows)
                {
                    sums.SumsOf(shard)[0] += cellLosses[cells[i]]; // a row's first time step, the last ones in the list
                    sums.CountsOf(shard)[0] += predictions[cells[i]];
                }
            }
        }
    }

    private void Sum(int* targetTokens, float* targetValues, StepScope scope, int shard, Span<double> sums, Span<long> counts, float* values)
    {
        int* cells = scope.Shards.Rows(shard);
        int count = scope.Shards.Count(shard), width = targetWidth;
        for (int i = 0; i < count; i++)
        {
            int cell = cells[i] - scope.FirstCell;
            sums[0] += cellLosses[cell];
            if (loss == LossKind.CrossEntropy)
            {
                int actual = targetTokens[cell];
                if (actual >= 0)
                {
                    counts[0]++;
                    CountClass(counts, NeedsPredictions ? predictions[cell] : -1, actual);
                }

                continue;
            }

            counts[0] += width;
            float* outputs = mixture is null ? values + (long)cell * output.Stride : means + ((long)cell * width), targets = targetValues + (long)cell * width;
            for (int j = 0; j < width; j++)
            {
                if (loss == LossKind.BinaryCrossEntropy)
                {
                    CountBinary(counts, j, outputs[j] > 0f, targets[j] >= 0.5f);
                }
                else
                {
                    AddErrors(sums, (double)outputs[j] - targets[j]);
                }
            }
        }
    }

    private void AddErrors(Span<double> sums, double error)
    {
        if (metrics.AbsoluteErrorSum >= 0)
        {
            sums[metrics.AbsoluteErrorSum] += Math.Abs(error);
        }

        if (metrics.SquaredErrorSum > 0) // with the loss mean-squared-error it is the loss
        {
            sums[metrics.SquaredErrorSum] = Math.FusedMultiplyAdd(error, error, sums[metrics.SquaredErrorSum]);
        }
    }

    private void CountClass(Span<long> counts, int predicted, int actual)
    {
        if (metrics.CorrectCount >= 0 && predicted == actual)
        {
            counts[metrics.CorrectCount]++;
        }

        if (metrics.ConfusionCount >= 0)
        {
            Span<long> confusion = counts[metrics.ConfusionCount..];
            confusion[3 * actual] += predicted == actual ? 1 : 0;
            confusion[3 * predicted + 1]++;
            confusion[3 * actual + 2]++;
        }
    }

    private void CountBinary(Span<long> counts, int output, bool predicted, bool actual)
    {
        if (metrics.CorrectCount >= 0 && predicted == actual)
        {
            counts[metrics.CorrectCount]++;
        }

        if (metrics.ConfusionCount >= 0)
        {
            Span<long> confusion = counts.Slice(metrics.ConfusionCount + 3 * output, 3);
            confusion[0] += predicted && actual ? 1 : 0;
            confusion[1] += predicted ? 1 : 0;
            confusion[2] += actual ? 1 : 0;
        }
    }
}
