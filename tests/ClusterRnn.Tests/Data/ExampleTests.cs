// Generated examples and the buckets they are dealt from.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class ExampleTests
{
    private static readonly CopyData Copy = new() { Symbols = 5, Length = 3, Delay = 9, MinimumDelay = 2, Examples = 3000, Validation = 0.1, Test = 0.1 };

    private static Dataset Open(DataConfig config, int rows = 4, bool buckets = true) =>
        Dataset.Open(config, new Batching(rows, 8, 8, CarryState: true, Seed: 7) { Buckets = buckets }, ".");

    [Fact]
    public void ACopyShowsTheSymbolsAndAsksForThem()
    {
        Dataset data = Open(Copy);
        IExamples examples = ((IExampleSource)data.Training).Examples;
        Assert.Equal((7, 5, 2400L), (data.InputVocabulary, data.OutputWidth, examples.Count));
        using var batch = Batch(examples, rows: 1);
        var lengths = new HashSet<int>();
        for (int example = 0; example < 200; example++)
        {
            WindowSource.Clear(batch);
            int time = examples.Read(example, batch, 0);
            lengths.Add(time);
            Assert.Equal(examples.LengthOf(example), time);
            int[] tokens = new Span<int>(batch.Tokens, time).ToArray(), targets = new Span<int>(batch.TargetTokens, batch.Time).ToArray();
            Assert.All(tokens[..3], token => Assert.InRange(token, 0, 4));
            Assert.Equal(tokens[..3], targets[(time - 3)..time]);
            Assert.All(targets[..(time - 3)], target => Assert.Equal(-1, target));
            Assert.Equal(6, tokens[time - 4]);
            Assert.Equal(time - 4, tokens.Count(token => token == 5));
        }

        Assert.Equal(Enumerable.Range(8, 8), lengths.Order());
    }

    [Fact]
    public void AnAddingExampleMarksTwoValues()
    {
        Dataset data = Open(new AddingData { Length = 9, MinimumLength = 4, Examples = 100 });
        IExamples examples = ((IExampleSource)data.Training).Examples;
        using var batch = Batch(examples, rows: 1);
        for (int example = 0; example < 80; example++)
        {
            WindowSource.Clear(batch);
            int time = examples.Read(example, batch, 0);
            int[] marked = [.. Enumerable.Range(0, 9).Where(t => batch.Features[(2 * t) + 1] == 1f)];
            Assert.Equal(2, marked.Length);
            Assert.InRange(marked[0], 0, (time / 2) - 1);
            Assert.InRange(marked[1], time / 2, time - 1);
            Assert.Equal(batch.Features[2 * marked[0]] + batch.Features[2 * marked[1]], batch.TargetValues[0]);
        }
    }

    /// <summary>Pictures of a digit resemble each other more than those of others, without noise; the same picture is drawn again.</summary>
    [Fact]
    public void DigitsAreDrawn()
    {
        Dataset data = Open(new DigitsData { Noise = 0, Examples = 2000 });
        IExamples examples = ((IExampleSource)data.Training).Examples;
        using var batch = Batch(examples, rows: 1);
        float[][] means = [.. Enumerable.Range(0, 10).Select(_ => new float[16 * 12])];
        int[] counts = new int[10];
        for (int example = 0; example < 1000; example++)
        {
            float[] picture = Draw(example, out int digit);
            counts[digit]++;
            for (int i = 0; i < picture.Length; i++)
            {
                Assert.InRange(picture[i], 0f, 1f);
                means[digit][i] += picture[i];
            }
        }

        Assert.All(counts, count => Assert.InRange(count, 60, 140));
        int nearest = Enumerable.Range(1000, 300).Count(example =>
        {
            float[] picture = Draw(example, out int digit);
            double[] distances = [.. Enumerable.Range(0, 10).Select(d => picture.Select((p, i) => Math.Pow(p - (means[d][i] / counts[d]), 2)).Sum())];
            return Array.IndexOf(distances, distances.Min()) == digit;
        });
        Assert.True(nearest > 200, $"{nearest} of 300 are nearest to their own digit's mean");
        Assert.Equal(Draw(5, out _), Draw(5, out _));

        float[] Draw(int example, out int digit)
        {
            WindowSource.Clear(batch);
            examples.Read(example, batch, 0);
            digit = batch.TargetTokens[0];
            return new Span<float>(batch.Features, 16 * 12).ToArray();
        }
    }

    /// <summary>A strip's labels are its digits in order; its columns tell them apart, and how many it has varies.</summary>
    [Fact]
    public void DigitStringsHaveTheirLabelsFirst()
    {
        Dataset data = Open(new DigitStringsData { MinimumDigits = 1, MaximumDigits = 3, Examples = 400 });
        Assert.True(data.HasLabels);
        Assert.Equal(11, data.OutputWidth);
        IExamples examples = ((IExampleSource)data.Training).Examples;
        using var batch = Batch(examples, rows: 1);
        long targets = 0;
        var counts = new HashSet<int>();
        for (long example = 0; example < examples.Count; example++)
        {
            WindowSource.Clear(batch);
            int time = examples.Read(example, batch, 0);
            int[] labels = [.. new Span<int>(batch.TargetTokens, batch.Time).ToArray().TakeWhile(label => label >= 0)];
            Assert.Equal(examples.LengthOf(example), time);
            Assert.InRange(time, labels.Length * 12, labels.Length * 15);
            Assert.All(labels, label => Assert.InRange(label, 1, 10));
            Assert.All(new Span<int>(batch.TargetTokens + labels.Length, batch.Time - labels.Length).ToArray(), label => Assert.Equal(-1, label));
            counts.Add(labels.Length);
            targets += labels.Length;
        }

        Assert.Equal([1, 2, 3], counts.Order());
        Assert.Equal(targets, examples.Targets);
    }

    /// <summary>Each example once a pass; a batch's rows are neighbours in length; the order differs from pass to pass and seed to seed.</summary>
    [Fact]
    public void BucketsReadEachExampleOnceAPass()
    {
        var source = Assert.IsType<BucketSource>(Open(Copy).Training);
        var plain = Assert.IsType<WindowSource>(Open(Copy, buckets: false).Training);
        using var batch = Batch(source.Examples, rows: 4);
        List<long> first = Pass(0), second = Pass(1);
        Assert.Equal(Enumerable.Range(0, 2400).Select(i => (long)i), first.Order());
        Assert.Equal(Enumerable.Range(0, 2400).Select(i => (long)i), second.Order());
        Assert.NotEqual(first, second);
        Assert.Equal(first, Pass(0)); // again, after another pass was read
        Assert.True(Padding(source) < 0.02, $"{Padding(source)} of the cells are padding");
        Assert.True(Padding(plain) > 0.1, $"{Padding(plain)} without buckets");

        List<long> Pass(long pass)
        {
            var read = new List<long>();
            for (long step = 0; step < source.StepsPerPass; step++)
            {
                StepPlan plan = source.Plan((pass * source.StepsPerPass) + step);
                source.Fill(plan, 0, 4, batch);
                read.AddRange(new Span<long>(batch.RowIds, 4).ToArray());
                Assert.Equal(plan.Time, Enumerable.Range(0, 4).Max(row => batch.Lengths[row]));
                Assert.True(batch.Lengths[0] <= batch.Lengths[3]);
            }

            return read;
        }

        double Padding(IBatchSource from)
        {
            long cells = 0, valid = 0;
            for (long step = 0; step < from.StepsPerPass; step++)
            {
                StepPlan plan = from.Plan(step);
                from.Fill(plan, 0, 4, batch);
                cells += 4L * plan.Time;
                valid += new Span<int>(batch.Lengths, 4).ToArray().Sum();
            }

            return 1.0 - (valid / (double)cells);
        }
    }

    /// <summary>Any cut of rows reads what the whole batch does, and a short last batch has empty rows.</summary>
    [Fact]
    public void BucketsCanBeCut()
    {
        var source = Assert.IsType<BucketSource>(Open(Copy with { Examples = 1259, Validation = 0, Test = 0 }, rows: 7).Training);
        using SpanBatch whole = Batch(source.Examples, rows: 7), part = Batch(source.Examples, rows: 3);
        int empty = 0;
        for (long step = 0; step < source.StepsPerPass; step++)
        {
            StepPlan plan = source.Plan(step);
            source.Fill(plan, 0, 7, whole);
            source.Fill(plan, 2, 3, part);
            Assert.Equal(RowDigest.Of(whole, 2, 3), RowDigest.Of(part, 0, 3));
            empty += new Span<long>(whole.RowIds, 7).Count(-1L);
        }

        Assert.Equal(1, empty);
        Assert.Equal(1259 * 3, source.TargetsPerPass);
    }

    [Fact]
    public void NothingIsAllocatedOnceAPoolIsSorted()
    {
        var source = (BucketSource)Open(Copy).Training;
        using var batch = Batch(source.Examples, rows: 4);
        source.Fill(source.Plan(0), 0, 4, batch);
        source.Fill(source.Plan(source.StepsPerPass), 0, 4, batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (long step = 0; step < 2 * source.StepsPerPass; step++)
        {
            source.Fill(source.Plan(step), 0, 4, batch);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void SaysWhatDoesNotFit()
    {
        Assert.Contains("data.minimumDelay", Assert.Throws<DataException>(() => Open(Copy with { MinimumDelay = 10 })).Message);
        Assert.Contains("these examples are generated", Assert.Throws<DataException>(() => Open(Copy with { Path = "x.txt" })).Message);
        Assert.Contains("examples to train on", Assert.Throws<DataException>(() => Open(Copy with { Examples = 10, Validation = 0.5, Test = 0.5 })).Message);
    }

    private static SpanBatch Batch(IExamples examples, int rows) =>
        new(examples.Time, rows, examples.FeatureWidth, examples.TargetWidth) { Time = examples.Time, TargetTime = examples.TargetTime, Rows = rows };
}
