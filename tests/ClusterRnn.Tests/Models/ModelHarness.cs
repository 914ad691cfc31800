// A model with parameters, one batch and the executor around them: what the tests of this folder ask about.
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

internal sealed unsafe class ModelHarness : IDisposable
{
    private readonly NativeBuffer<float> parameters;

    public ModelHarness(Model model, int time, int targetTime, int rows, ulong seed = 1, bool valueTargets = false)
    {
        Model = model;
        parameters = new NativeBuffer<float>(model.Layout.Length);
        model.Initialize(seed, parameters.AsSpan());
        int features = model.Input == InputKind.Tokens ? 0 : model.InputWidth;
        int targets = model.Loss is LossKind.CrossEntropy or LossKind.Ctc && !valueTargets ? 0 : model.TargetWidth;
        Batch = new SpanBatch(time, Math.Max(1, rows), features, targets) { Time = time, Rows = rows, TargetTime = targetTime };
        StateIn = new float[rows * model.StateWidth];
        StateOut = new float[rows * model.StateWidth];
    }

    public Model Model { get; }

    public SpanBatch Batch { get; }

    public float[] StateIn { get; }

    public float[] StateOut { get; private set; }

    /// <summary>Whether rows start from the layers' own states instead of <see cref="StateIn"/>.</summary>
    public bool ResetState { get; set; }

    public Span<float> Parameters => parameters.AsSpan();

    public Span<float> Tensor(string name) => parameters.AsSpan(Model.Layout[name].Offset, (int)Model.Layout[name].Count);

    /// <summary>Random inputs, targets and state; rows of the lengths given (all full by default).</summary>
    public ModelHarness Fill(ulong seed, params int[] lengths)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, 0, 0);
        for (int row = 0; row < Batch.Rows; row++)
        {
            int length = lengths.Length == 0 ? Batch.Time : lengths[row % lengths.Length];
            Batch.Lengths[row] = length;
            Batch.RowIds[row] = length == 0 ? -1 : row;
            for (int t = 0; t < Batch.Time; t++)
            {
                int position = t * Batch.Rows + row;
                if (Batch.Tokens is not null)
                {
                    Batch.Tokens[position] = t < length ? (int)key.Below(row, t, 0, Model.InputWidth) : 0;
                }

                for (int i = 0; i < Batch.FeatureWidth; i++)
                {
                    Batch.Features[position * Batch.FeatureWidth + i] = t < length ? key.NormalDeviate(row, t, 100 + i) : 0f;
                }
            }

            for (int t = 0; t < Batch.TargetTime; t++)
            {
                int position = t * Batch.Rows + row;
                bool valid = Model.ReturnsLast ? length > 0 : Batch.Time - Batch.TargetTime + t < length;
                if (Model.IsEncoderDecoder)
                {
                    // A target of a length of its own, in another order than the sources'.
                    int most = length == 0 ? 0 : Math.Max(1, Math.Min(Batch.TargetTime, 4 - (row % 3) - (length % 2)));
                    Batch.TargetTokens[position] = t < most ? SequenceTokens.End + (int)key.Below(row, t, 1, Model.OutputWidth - 2) : -1;
                }
                else if (Model.Loss == LossKind.Ctc)
                {
                    // Labels in order from the first time step on, few enough to fit.
                    Batch.TargetTokens[position] = t < (length + 1) / 3 ? 1 + (int)key.Below(row, t, 1, Model.OutputWidth - 1) : -1;
                }
                else if (Batch.TargetTokens is not null)
                {
                    Batch.TargetTokens[position] = valid ? (int)key.Below(row, t, 1, Model.OutputWidth) : -1;
                }

                for (int i = 0; i < Batch.TargetWidth; i++)
                {
                    float value = Model.Loss == LossKind.BinaryCrossEntropy ? key.Below(row, t, 5000 + i, 2) : key.NormalDeviate(row, t, 5000 + i);
                    Batch.TargetValues[position * Batch.TargetWidth + i] = valid ? value : 0f;
                }
            }

            for (int i = 0; i < Model.StateWidth; i++)
            {
                StateIn[row * Model.StateWidth + i] = 0.5f * key.NormalDeviate(row, 1 << 20, i);
            }
        }

        return this;
    }

    /// <summary>The rows [first, end) of this batch with the same parameters, as another worker would read them.</summary>
    public ModelHarness Rows(int first, int end)
    {
        int rows = end - first;
        var part = new ModelHarness(Model, Batch.MaximumTime, Batch.TargetTime, rows, valueTargets: Batch.TargetWidth > 0);
        Parameters.CopyTo(part.Parameters);
        part.Batch.Time = Batch.Time;
        part.Batch.FirstRow = Batch.FirstRow + first;
        part.Batch.StartTime = Batch.StartTime;
        for (int row = 0; row < rows; row++)
        {
            part.Batch.Lengths[row] = Batch.Lengths[first + row];
            part.Batch.RowIds[row] = Batch.RowIds[first + row];
        }

        part.ResetState = ResetState;
        CopyRows(Batch.Tokens, part.Batch.Tokens, 1, Batch.Time);
        CopyRows(Batch.Features, part.Batch.Features, Batch.FeatureWidth, Batch.Time);
        CopyRows(Batch.TargetTokens, part.Batch.TargetTokens, 1, Batch.TargetTime);
        CopyRows(Batch.TargetValues, part.Batch.TargetValues, Batch.TargetWidth, Batch.TargetTime);
        StateIn.AsSpan(first * Model.StateWidth, rows * Model.StateWidth).CopyTo(part.StateIn);
        return part;

        void CopyRows<T>(T* from, T* into, int width, int time)
            where T : unmanaged
        {
            for (int t = 0; from is not null && t < time; t++)
            {
                new Span<T>(from + ((t * Batch.Rows) + first) * width, rows * width).CopyTo(new Span<T>(into + t * rows * width, rows * width));
            }
        }
    }

    /// <summary>One training step over a range of shards, on an executor of its own; the batch must hold just these rows.</summary>
    public StepResult Train(TrainingSlice slice) => Run(slice, training: true);

    /// <summary>One training step with the whole batch as one shard.</summary>
    public StepResult Train(int? captureTime = null, bool resetState = false, long version = 0) =>
        Train(TrainingSlice.Whole(Batch.Rows, captureTime ?? Batch.Time, seed: 5, version, resetState || ResetState));

    /// <summary>The loss sum without gradients.</summary>
    public double Loss()
    {
        using var executor = new ModelExecutor(Model, Batch.Time, Batch.TargetTime, Math.Max(1, Batch.Rows), training: false);
        return Loss(executor);
    }

    /// <summary>The loss sum without gradients, on an executor that is kept.</summary>
    public double Loss(ModelExecutor executor)
    {
        var sums = new ShardSums(Model.Metrics, 1);
        executor.LoadParameters(parameters.Pointer);
        fixed (float* stateIn = StateIn)
        {
            executor.Evaluate(Batch, TrainingSlice.Whole(Batch.Rows, Batch.Time, resetState: ResetState), stateIn, null, sums);
        }

        return sums.Sums[0];
    }

    public float[] Predict(bool logits = false)
    {
        using var executor = new ModelExecutor(Model, Batch.Time, Batch.TargetTime, Batch.Rows, training: false);
        executor.LoadParameters(parameters.Pointer);
        var outputs = new float[Batch.TargetTime * Batch.Rows * Model.OutputWidth];
        fixed (float* stateIn = StateIn, stateOut = StateOut, result = outputs)
        {
            executor.Predict(Batch, ResetState ? null : stateIn, stateOut, result, logits);
        }

        return outputs;
    }

    public StepResult Run(TrainingSlice slice, bool training)
    {
        using var executor = new ModelExecutor(Model, Batch.Time, Batch.TargetTime, Math.Max(1, Batch.Rows), training, Math.Max(1, slice.Merge.Range.Count));
        executor.LoadParameters(parameters.Pointer);
        return Run(executor, slice, training);
    }

    public StepResult Run(ModelExecutor executor, TrainingSlice slice, bool training)
    {
        int subtrees = training ? slice.Merge.Subtrees.Length : 0;
        int length = (int)Model.Layout.Length;
        var sums = new ShardSums(Model.Metrics, slice.Merge.Range.Count);
        using var gradients = new NativeBuffer<float>((long)length * subtrees);
        gradients.AsSpan().Fill(float.NaN); // whatever is not overwritten shows
        var pointers = stackalloc float*[Math.Max(1, subtrees)];
        for (int i = 0; i < subtrees; i++)
        {
            pointers[i] = gradients.Pointer + (long)i * length;
        }

        StateOut = new float[StateIn.Length];
        fixed (float* stateIn = StateIn, stateOut = StateOut)
        {
            if (training)
            {
                executor.Train(Batch, slice, stateIn, stateOut, pointers, sums);
            }
            else
            {
                executor.Evaluate(Batch, slice, stateIn, stateOut, sums);
            }
        }

        var bySubtree = new Dictionary<ShardRange, float[]>();
        for (int i = 0; i < subtrees; i++)
        {
            bySubtree[slice.Merge.Subtrees[i]] = gradients.AsSpan((long)i * length, length).ToArray();
        }

        return new StepResult(bySubtree, sums, StateOut);
    }

    public void Dispose()
    {
        parameters.Dispose();
        Batch.Dispose();
    }
}

internal sealed record StepResult(Dictionary<ShardRange, float[]> Gradients, ShardSums Sums, float[] StateOut)
{
    /// <summary>The gradient when the slice was one subtree.</summary>
    public float[] Gradient => Gradients.Values.Single();

    public double Loss => Sums.Sums[0];

    public long Count => Sums.Counts[0];

    public static string Hash(ReadOnlySpan<float> values) => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values)));
}
