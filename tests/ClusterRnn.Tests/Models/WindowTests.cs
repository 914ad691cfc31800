using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>Windows: padding, captured state, look-back, stepwise prediction, executors larger than their batch, no allocation.</summary>
public sealed unsafe class WindowTests
{
    /// <summary>Rows padded to a longer window give the bits of the shorter one: gradient, sums, state.</summary>
    [Theory, MemberData(nameof(TestModels.EveryName), MemberType = typeof(TestModels))]
    public void PaddingChangesNothing(string name)
    {
        using ModelHarness exact = TestModels.Harness(name, time: 3, rows: 4).Fill(11, 3, 1, 2, 3);
        using ModelHarness padded = Padded(exact, name, time: 7, junk: 0f);
        using ModelHarness dirty = Padded(exact, name, time: 7, junk: 3f);
        StepResult expected = exact.Train(), clean = padded.Train(), junk = dirty.Train();
        foreach (StepResult actual in new[] { clean, junk })
        {
            Assert.Equal(StepResult.Hash(expected.Gradient), StepResult.Hash(actual.Gradient));
            Assert.Equal(expected.Sums.Sums, actual.Sums.Sums);
            Assert.Equal(expected.Sums.Counts, actual.Sums.Counts);
            Assert.Equal(expected.StateOut, actual.StateOut);
        }

        exact.Batch.Lengths[0] = 2;
        Assert.NotEqual(StepResult.Hash(expected.Gradient), StepResult.Hash(exact.Train().Gradient));
    }

    /// <summary>The state captured within a window is the state of a window that ends there.</summary>
    [Theory, MemberData(nameof(TestModels.Names), MemberType = typeof(TestModels))]
    public void CapturedStateIsThatOfAShorterWindow(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, time: 5, rows: 3).Fill(12);
        for (int capture = 0; capture <= 5; capture++)
        {
            float[] captured = harness.Train(capture).StateOut;
            if (capture == 0)
            {
                Assert.Equal(harness.StateIn, captured);
                continue;
            }

            using ModelHarness shorter = Shortened(harness, name, capture);
            Assert.Equal(shorter.Train().StateOut, captured);
        }

        if (harness.Model.StateWidth > 0)
        {
            Assert.NotEqual(harness.Train(4).StateOut, harness.Train(5).StateOut);
            if (harness.Model.DocumentStart < 0) // else the state before may have been forgotten
            {
                Assert.NotEqual(harness.Train(5).StateOut, harness.Train(5, resetState: true).StateOut);
            }
        }
    }

    /// <summary>One step at a time with the state carried gives the outputs of the whole window, bit for bit.</summary>
    [Theory, MemberData(nameof(TestModels.Recurrent), MemberType = typeof(TestModels))]
    public void StepwisePredictionIsTheWindows(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, time: 6, rows: 3).Fill(13);
        float[] whole = harness.Predict(logits: true);
        if (harness.Model.ReturnsLast)
        {
            return;
        }

        var stepwise = new List<float>();
        using ModelHarness single = TestModels.Harness(name, time: 1, rows: 3).Fill(13);
        harness.StateIn.CopyTo(single.StateIn, 0);
        for (int t = 0; t < 6; t++)
        {
            CopyTime(harness, t, single, 0);
            stepwise.AddRange(single.Predict(logits: true));
            single.StateOut.CopyTo(single.StateIn, 0);
        }

        Assert.Equal(whole, stepwise);
        Assert.Equal(harness.StateOut, single.StateOut);
    }

    /// <summary>Time steps one or several at a time, with the keys and values of earlier ones kept, give the outputs of the whole window, bit for bit.</summary>
    [Theory, MemberData(nameof(TestModels.Continuing), MemberType = typeof(TestModels))]
    public void ContinuedPredictionIsTheWindows(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, time: 9, rows: 3).Fill(13);
        float[] whole = harness.Predict(logits: true);
        foreach (int piece in new[] { 1, 2, 4 })
        {
            var continued = new List<float>();
            using var executor = new ModelExecutor(harness.Model, piece, piece, 3, training: false, contextTime: 9);
            using ModelHarness part = TestModels.Harness(name, piece, rows: 3).Fill(13);
            harness.StateIn.CopyTo(part.StateIn, 0);
            for (int round = 0; round < 2; round++)
            {
                continued.Clear();
                for (int t = 0; t < 9; t += piece)
                {
                    int time = Math.Min(piece, 9 - t);
                    part.Batch.Time = part.Batch.TargetTime = time;
                    for (int row = 0; row < 3; row++)
                    {
                        part.Batch.Lengths[row] = time;
                    }

                    for (int i = 0; i < time; i++)
                    {
                        CopyTime(harness, t + i, part, i);
                    }

                    float[] outputs = new float[time * 3 * harness.Model.OutputWidth];
                    fixed (float* parameters = harness.Parameters, into = outputs, stateIn = part.StateIn, stateOut = part.StateOut)
                    {
                        executor.LoadParameters(parameters);
                        executor.Continue(part.Batch, stateIn, stateOut, into, logits: true);
                    }

                    part.StateOut.CopyTo(part.StateIn, 0);
                    continued.AddRange(outputs);
                }

                Assert.Equal(whole, continued);
                Assert.Throws<InvalidOperationException>(() => executor.Continue(part.Batch, null, null, null));
                executor.Forget();
                harness.StateIn.CopyTo(part.StateIn, 0);
            }

            // What came before matters: without it the last time steps come out otherwise.
            Assert.NotEqual(whole.TakeLast(harness.Model.OutputWidth), part.Predict(logits: true).TakeLast(harness.Model.OutputWidth));
        }
    }

    [Fact]
    public void FullAttentionCannotContinue()
    {
        Model model = TestModels.Everything["attention-full"]();
        Assert.Contains("causal: true", Assert.Throws<ModelException>(() => new ModelExecutor(model, 1, 1, 1, training: false, contextTime: 4)).Message);
    }

    /// <summary>A window longer than there are learned places is refused with both numbers.</summary>
    [Fact]
    public void PlacesMustReachTheWindowsEnd()
    {
        string message = Assert.Throws<ModelException>(() => ModelExecutor.MeasureBytes(TestModels.All["transformer-post-tanh"](), 10, 10, 1, training: true)).Message;
        Assert.Contains("9 time steps", message);
        Assert.Contains("at least 10", message);
    }

    /// <summary>The loss on the last steps sends gradient through the whole window.</summary>
    [Fact]
    public void LookBackReachesFurtherThanTheTargets()
    {
        using ModelHarness harness = TestModels.Harness("embedding-lstm-dense", time: 6, rows: 2, targetTime: 2).Fill(14);
        ParameterTensor table = harness.Model.Layout["embedding.weight"];
        // A token that stands at time 0 only: its gradient comes through the state alone.
        for (int i = 0; i < 12; i++)
        {
            harness.Batch.Tokens[i] = i < 2 ? 10 : i % 9;
        }

        float[] row = harness.Train().Gradient.AsSpan((int)table.Offset + 10 * 5, 5).ToArray();
        Assert.All(row, g => Assert.NotEqual(0f, g));
        Assert.Equal(4, harness.Train().Count);
    }

    /// <summary>An executor for more time, targets, rows and shards gives the same bits, also after it computed another batch.</summary>
    [Theory, MemberData(nameof(TestModels.EveryName), MemberType = typeof(TestModels))]
    public void LargerExecutorsAndUsedBuffersChangeNothing(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, time: 4, rows: 3).Fill(15, 4, 2, 3);
        using ModelHarness other = TestModels.Harness(name, time: 6, rows: 5, seed: 2).Fill(16);
        int targets = harness.Model.ReturnsLast ? 1 : 6;
        using var executor = new ModelExecutor(harness.Model, 9, targets, 7, training: true);
        fixed (float* parameters = other.Parameters)
        {
            executor.LoadParameters(parameters);
            other.Run(executor, TrainingSlice.Whole(5, 6), training: true);
        }

        fixed (float* parameters = harness.Parameters)
        {
            executor.LoadParameters(parameters);
            var slice = TrainingSlice.Whole(3, 4, seed: 5);
            StepResult again = harness.Run(executor, slice, training: true), fresh = harness.Train();
            Assert.Equal(StepResult.Hash(fresh.Gradient), StepResult.Hash(again.Gradient));
            Assert.Equal(fresh.StateOut, again.StateOut);
        }
    }

    /// <summary>Without dropout, evaluation sums what training sums, and prediction's outputs have that loss.</summary>
    [Fact]
    public void EvaluationAgreesWithTraining()
    {
        using ModelHarness plain = TestModels.Harness("embedding-gru-dense", 5, 4).Fill(17, 5, 3, 4);
        Assert.Equal(plain.Train().Sums.Sums, plain.Run(TrainingSlice.Whole(4, 5), training: false).Sums.Sums);
        using ModelHarness dropping = TestModels.Harness("stacks-with-dropout", 5, 4).Fill(17);
        Assert.NotEqual(dropping.Train().Sums.Sums[0], dropping.Run(TrainingSlice.Whole(4, 5), training: false).Sums.Sums[0]);
        float[] probabilities = plain.Predict();
        Assert.All(probabilities.Chunk(11), row => Assert.InRange(row.Sum(), 0.99999, 1.00001));
        Assert.Contains(plain.Predict(logits: true), value => value < 0);
    }

    [Theory, InlineData("stacks-with-dropout"), InlineData("normalized-dropout"), InlineData("transformer-dropout"), InlineData("convolution-plane-dropout")]
    public void AllocatesNothing(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, 5, 6).Fill(18, 5, 4);
        using var executor = new ModelExecutor(harness.Model, 5, 5, 6, training: true);
        var slice = new TrainingSlice(new(new(0, 4), 4), [0, 1, 3, 4, 6], 1, 2, 5, false);
        var sums = new ShardSums(harness.Model.Metrics, 4);
        float[] gradient = new float[harness.Model.Layout.Length], state = new float[6 * harness.Model.StateWidth];
        fixed (float* parameters = harness.Parameters, target = gradient, states = state)
        {
            float** targets = stackalloc float*[1];
            targets[0] = target;
            float* parametersPointer = parameters, statePointer = states;
            Step(targets);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 100; i++)
            {
                Step(targets);
            }

            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

            void Step(float** into)
            {
                executor.LoadParameters(parametersPointer);
                executor.Train(harness.Batch, slice, statePointer, statePointer, into, sums);
                executor.Evaluate(harness.Batch, slice, statePointer, statePointer, sums);
            }
        }
    }

    [Fact]
    public void MemoryIsMeasuredBeforeItIsReserved()
    {
        Model model = TestModels.All["stacks-with-dropout"]();
        using var executor = new ModelExecutor(model, 5, 5, 6, training: true, maximumShards: 3);
        Assert.Equal(executor.MemoryBytes, ModelExecutor.MeasureBytes(model, 5, 5, 6, training: true, maximumShards: 3));
        Assert.InRange(ModelExecutor.MeasureBytes(model, 5, 5, 12, training: true, maximumShards: 3), executor.MemoryBytes + 1, 2 * executor.MemoryBytes);
        Assert.True(ModelExecutor.MeasureBytes(model, 5, 5, 6, training: false, maximumShards: 3) < executor.MemoryBytes);
    }

    [Fact]
    public void SaysWhatDoesNotFit()
    {
        using ModelHarness harness = TestModels.Harness("embedding-lstm-dense", 4, 3).Fill(19);
        using var small = new ModelExecutor(harness.Model, 3, 3, 3, training: false);
        Assert.Throws<InvalidOperationException>(() => small.Predict(harness.Batch, null, null, null));
        fixed (float* parameters = harness.Parameters)
        {
            small.LoadParameters(parameters);
        }

        Assert.Contains("4 time steps", Assert.Throws<ArgumentException>(() => small.Predict(harness.Batch, null, null, null)).Message);
        Assert.Throws<InvalidOperationException>(() => small.Train(harness.Batch, TrainingSlice.Whole(3, 3), null, null, null, new ShardSums(harness.Model.Metrics, 1)));
    }

    private static ModelHarness Padded(ModelHarness exact, string name, int time, float junk)
    {
        ModelHarness padded = TestModels.Harness(name, time, exact.Batch.Rows, targetTime: time);
        exact.StateIn.CopyTo(padded.StateIn, 0);
        for (int row = 0; row < exact.Batch.Rows; row++)
        {
            padded.Batch.Lengths[row] = exact.Batch.Lengths[row];
        }

        for (int t = 0; t < time; t++)
        {
            if (t < exact.Batch.Time)
            {
                CopyTime(exact, t, padded, t);
            }
            else
            {
                Junk(padded, t, junk);
            }
        }

        return padded;
    }

    private static ModelHarness Shortened(ModelHarness harness, string name, int time)
    {
        ModelHarness shorter = TestModels.Harness(name, time, harness.Batch.Rows).Fill(12);
        harness.StateIn.CopyTo(shorter.StateIn, 0);
        for (int t = 0; t < time; t++)
        {
            CopyTime(harness, t, shorter, t);
        }

        return shorter;
    }

    private static void CopyTime(ModelHarness from, int time, ModelHarness into, int at)
    {
        int rows = from.Batch.Rows, width = from.Batch.FeatureWidth, targetWidth = from.Batch.TargetWidth;
        Copy(from.Batch.Tokens, into.Batch.Tokens, 1, time, at);
        Copy(from.Batch.Features, into.Batch.Features, width, time, at);
        if (from.Model.ReturnsLast)
        {
            time = at = 0;
        }

        Copy(from.Batch.TargetTokens, into.Batch.TargetTokens, 1, time, at);
        Copy(from.Batch.TargetValues, into.Batch.TargetValues, targetWidth, time, at);

        void Copy<T>(T* source, T* target, int columns, int t, int into)
            where T : unmanaged
        {
            if (source is not null)
            {
                new Span<T>(source + t * rows * columns, rows * columns).CopyTo(new Span<T>(target + into * rows * columns, rows * columns));
            }
        }
    }

    private static void Junk(ModelHarness harness, int time, float junk)
    {
        int rows = harness.Batch.Rows;
        if (harness.Batch.Tokens is not null)
        {
            new Span<int>(harness.Batch.Tokens + time * rows, rows).Fill((int)junk);
        }
        else
        {
            new Span<float>(harness.Batch.Features + time * rows * harness.Batch.FeatureWidth, rows * harness.Batch.FeatureWidth).Fill(junk);
        }

        if (harness.Model.ReturnsLast)
        {
            return;
        }

        if (harness.Batch.TargetTokens is not null)
        {
            new Span<int>(harness.Batch.TargetTokens + time * rows, rows).Fill(-1);
        }
        else
        {
            new Span<float>(harness.Batch.TargetValues + time * rows * harness.Batch.TargetWidth, rows * harness.Batch.TargetWidth).Fill(junk);
        }
    }
}
