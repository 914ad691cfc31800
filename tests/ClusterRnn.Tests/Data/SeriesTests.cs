using System.Text.Json;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class SeriesTests
{
    private static readonly Batching Small = new(4, 8, 8, true, 1);

    [Fact]
    public void A_random_walk_that_outlasts_the_calendar_is_refused()
    {
        DataException error = Assert.Throws<DataException>(() => SeriesGenerators.RandomWalk(1, 3_000_000, 100, 0.01));
        Assert.Contains("Take fewer data.rows", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_pass_reads_every_window_once_in_an_order_of_its_own()
    {
        Gen<(int Rows, int Window, int Batch)> shapes =
            from rows in Gen.Choose(30, 120)
            from window in Gen.Choose(1, 12)
            from batch in Gen.Choose(1, 17)
            select (rows, window, batch);
        Check.One(Config.QuickThrowOnFailure, Prop.ForAll(shapes.ToArbitrary(), shape =>
        {
            SeriesSplit split = SeriesSplit.Of(Counting(shape.Rows), new TableData { Window = shape.Window, Scale = Scaling.None, Validation = 0, Test = 0 });
            var source = new WindowSource(split.Windows(split.Training), shape.Batch, 5, shuffled: true);
            long examples = shape.Rows - shape.Window;
            var orders = new List<string>();
            for (int pass = 0; pass < 2; pass++)
            {
                List<long> ids = Read(source, pass);
                Assert.Equal(Enumerable.Range(0, (int)examples).Select(id => (long)id), ids.Order());
                Assert.Equal(ids, Enumerable.Range(0, (int)examples).Select(place => source.ExampleAt(pass, place)));
                orders.Add(string.Join(',', ids));
            }

            Assert.Equal(examples, source.TargetsPerPass);
            Assert.True(examples < 20 || orders[0] != orders[1]);
        }));
    }

    [Fact]
    public void The_last_batch_is_filled_with_empty_rows()
    {
        SeriesSplit split = SeriesSplit.Of(Counting(20), new TableData { Window = 5, Validation = 0, Test = 0 });
        var source = new WindowSource(split.Windows(split.Training), 4, 1, shuffled: false);
        using var batch = Batch(source);
        source.Fill(source.Plan(0), 0, 4, batch);
        source.Fill(source.Plan(3), 0, 4, batch);
        Assert.Equal(4, source.StepsPerPass);
        Assert.Equal([5, 5, 5, 0], new Span<int>(batch.Lengths, 4).ToArray());
        Assert.Equal([12, 13, 14, -1], new Span<long>(batch.RowIds, 4).ToArray());
        for (int time = 0; time < 5; time++)
        {
            Assert.Equal(0f, batch.Features[(time * 4 + 3) * 2]);
            Assert.NotEqual(0f, batch.Features[(time * 4 + 2) * 2]);
        }

        Assert.Equal(0f, batch.TargetValues[3]);
        StepPlan plan = source.Plan(3);
        Assert.Equal((5, 1, 5, true, 0L), (plan.Time, plan.TargetTime, plan.CaptureTime, plan.ResetState, plan.StartTime));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(3, false)]
    [InlineData(2, true)]
    public void Targets_are_the_rows_after_the_inputs_and_lie_in_their_part(int horizon, bool everyStep)
    {
        var config = new TableData
        {
            Window = 4,
            Horizon = horizon,
            EveryStep = everyStep,
            Scale = Scaling.None,
            Validation = 0.2,
            Test = 0.3,
            Features = ["row", "square"],
            Target = ["row"],
        };
        SeriesSplit split = SeriesSplit.Of(Counting(50), config);
        Assert.Equal((25, 10, 15), (split.Training.Rows, split.Validation.Rows, split.Test.Rows));
        foreach (SeriesPart part in new[] { split.Training, split.Validation, split.Test })
        {
            var source = new WindowSource(split.Windows(part), 3, 1, shuffled: false);
            using var batch = Batch(source);
            var targets = new List<float>();
            for (long step = 0; step < source.StepsPerPass; step++)
            {
                source.Fill(source.Plan(step), 0, 3, batch);
                for (int row = 0; row < 3 && batch.Lengths[row] > 0; row++)
                {
                    float first = batch.Features[row * 2];
                    for (int time = 0; time < 4; time++)
                    {
                        Assert.Equal(first + time, batch.Features[(time * 3 + row) * 2]);
                        Assert.Equal((first + time) * (first + time), batch.Features[(time * 3 + row) * 2 + 1]);
                    }

                    for (int time = 0; time < batch.TargetTime; time++)
                    {
                        for (int ahead = 0; ahead < horizon; ahead++)
                        {
                            float target = batch.TargetValues[(time * 3 + row) * horizon + ahead];
                            Assert.Equal(first + 4 - batch.TargetTime + time + 1 + ahead, target);
                            targets.Add(target);
                        }
                    }
                }
            }

            Assert.Equal(part.Start == 0 ? (everyStep ? 1 : 4) : part.Start, targets.Min());
            Assert.Equal(part.End - 1, targets.Max());
        }
    }

    [Fact]
    public void Any_cut_of_the_rows_reads_the_same_and_allocates_nothing()
    {
        SeriesSplit split = SeriesSplit.Of(Counting(43), new TableData { Window = 5, Horizon = 2, Validation = 0, Test = 0 });
        var source = new WindowSource(split.Windows(split.Training), 8, 1, shuffled: true);
        using var whole = Batch(source);
        using var part = Batch(source);
        for (long version = 0; version < 2 * source.StepsPerPass; version++)
        {
            StepPlan plan = source.Plan(version);
            source.Fill(plan, 0, 8, whole);
            long before = GC.GetAllocatedBytesForCurrentThread();
            source.Fill(plan, 3, 5, part);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.Equal(RowDigest.Of(whole, 3, 5), RowDigest.Of(part, 0, 5));
            Assert.NotEqual(RowDigest.Of(whole, 0, 5), RowDigest.Of(part, 0, 5));
        }
    }

    /// <summary>With any cells missing, the windows are those that read and predict none of them.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Windows_with_missing_cells_are_left_out(bool everyStep) => Check.One(Config.QuickThrowOnFailure.WithMaxTest(60), Prop.ForAll(
        Gen.Choose(1, 59).ArrayOf().ToArbitrary(),
        Gen.Choose(0, 1).ToArbitrary(),
        (gaps, gapColumn) =>
        {
            string text = "a,b\n" + string.Concat(Enumerable.Range(0, 60).Select(row => gaps.Contains(row) ? (gapColumn == 0 ? $"NA,{row}\n" : $"{row},NA\n") : $"{row},{row}\n"));
            SeriesTable table = SeriesTable.Parse("t", text, "", header: true, ',', MissingValues.Drop, [], takeOthers: true);
            var config = new TableData { Window = 4, Horizon = 3, Validation = 0, Test = 0.3, EveryStep = everyStep, Features = ["a"], Target = ["b"], Scale = Scaling.None };
            SeriesSplit whole = SeriesSplit.Of(SeriesTable.Parse("t", text, "", header: true, ',', MissingValues.Previous, [], takeOthers: true), config);
            (SeriesPart Part, int[] Ends)[] expected = [.. new[] { whole.Training, whole.Test }.Select(part => (part, Ends(whole.Windows(part)).Where(IsWhole).ToArray()))];
            if (expected[0].Ends.Length == 0 || expected[1].Ends.Length == 0)
            {
                Assert.Contains("rows in the ", Assert.Throws<DataException>(() => SeriesSplit.Of(table, config)).Message);
                return;
            }

            SeriesSplit split = SeriesSplit.Of(table, config);
            Assert.All(expected, entry => Assert.Equal(entry.Ends, Ends(split.Windows(entry.Part))));
            Assert.All(expected, entry => Assert.Equal(whole.Windows(entry.Part).Count, split.Windows(entry.Part).Count + split.Windows(entry.Part).LeftOut));

            bool IsWhole(int last)
            {
                IEnumerable<int> read = Enumerable.Range(last - 3, 4), predicted = Enumerable.Range(everyStep ? last - 2 : last + 1, everyStep ? 6 : 3);
                return !(gapColumn == 0 ? read : predicted).Any(gaps.Contains);
            }

            static int[] Ends(SeriesWindows windows) => [.. Enumerable.Range(0, (int)windows.Count).Select(i => windows.LastInputRow(i))];
        }));

    [Fact]
    public void Scaling_knows_the_training_part_only()
    {
        double[] values = [1, 2, 3, 4, 1000, -1000, 7, 8, 9, 10];
        var table = new SeriesTable("t", ["x"], [values], "");
        SeriesScaler standard = SeriesScaler.Measure(table, 4, Scaling.Standard);
        Assert.Equal(2.5, standard.Offsets[0]);
        Assert.Equal(Math.Sqrt(1.25), standard.Scales[0]);
        SeriesScaler range = SeriesScaler.Measure(table, 4, Scaling.MinMax);
        Assert.Equal((1.0, 3.0), (range.Offsets[0], range.Scales[0]));
        Assert.Equal(333, range.Scale(0, 1000));
        Assert.Equal(1000, range.Unscale(0, range.Scale(0, 1000)), 1e-9);
        Assert.Equal((0.0, 1.0), (SeriesScaler.Measure(table, 4, Scaling.None).Offsets[0], SeriesScaler.Measure(table, 4, Scaling.None).Scales[0]));
        Assert.Equal(1, SeriesScaler.Measure(new SeriesTable("t", ["x"], [[5, 5, 5]], ""), 3, Scaling.Standard).Scales[0]);
        var again = SeriesScaler.FromJson(standard.ToJson());
        Assert.Equal(standard.Scales, again.Scales);
        Assert.Throws<DataException>(() => SeriesScaler.FromJson("{\"columns\":[\"a\"],\"offsets\":[],\"scales\":[1]}"));
    }

    [Fact]
    public void Rows_are_cut_by_shares_or_by_count()
    {
        Assert.Equal((700, 0, 300), Cut(new TableData { Validation = 0, Test = 0.3 }));
        Assert.Equal((800, 100, 100), Cut(new TableData { TrainRows = 800, Validation = 0.1, Test = 0.1 }));
        Assert.Equal((800, 50, 150), Cut(new TableData { TrainRows = 800, Validation = 0.1, Test = 0.3 }));
        Assert.Equal((800, 200, 0), Cut(new TableData { TrainRows = 800, Validation = 0.1, Test = 0 }));
        Assert.Throws<DataException>(() => Cut(new TableData { TrainRows = 1001 }));
        Assert.Throws<DataException>(() => Cut(new TableData { Validation = 0.5, Test = 0.5 }));
        Assert.Contains("validation part", Assert.Throws<DataException>(() => Cut(new TableData { Validation = 0.002, Test = 0, Horizon = 3 })).Message);
        Assert.Contains("training part", Assert.Throws<DataException>(() => Cut(new TableData { Window = 800 })).Message);

        static (int, int, int) Cut(SeriesData config)
        {
            SeriesSplit split = SeriesSplit.Of(Counting(1000), config);
            return (split.Training.Rows, split.Validation.Rows, split.Test.Rows);
        }
    }

    [Theory]
    [InlineData("sine")]
    [InlineData("mackey-glass")]
    [InlineData("seasonal")]
    [InlineData("random-walk")]
    [InlineData("air")]
    public void A_config_opens_by_its_source_and_the_bytes_are_a_promise(string source)
    {
        var golden = new Dictionary<string, string>
        {
            ["sine"] = "b04eb0b78adeb5678fab6e20d5046585bc141185ae7a791ee4937c4902dacc1b",
            ["mackey-glass"] = "f4a0ab2414a22f41e018af1e45cb5c9a6fa0a19ecad7213f7ac6a58049784fbc",
            ["seasonal"] = "982df91f04f67921590ea393972c454e9f3bfc5fbedb098db6928824b1e501f1",
            ["random-walk"] = "b6297054fdbd986b33f8c596171e724a52e4003f4b110d9eb63dce1b845bdb0e",
            ["air"] = "64b23778bd27d83b939668ccff886faa02a60e90564188f2237927e29bee9686",
        };
        DataConfig config = FromJson($"{{\"source\":\"{source}\",\"seed\":1,\"rows\":500,\"window\":8}}");
        Dataset dataset = Dataset.Open(config, Small, ".");
        Assert.Equal(golden[source], dataset.Sha256);
        Assert.Equal(dataset.Sha256, dataset.Training.DatasetSha256);
        Assert.Equal(source is "random-walk" or "air" ? 5 : 1, dataset.FeatureWidth);
        Assert.Equal(1, dataset.OutputWidth);
        using var batch = Batch(dataset.Training);
        dataset.Training.Fill(dataset.Training.Plan(0), 0, 4, batch);
        for (int cell = 0; cell < 8 * 4 * dataset.FeatureWidth; cell++)
        {
            Assert.InRange(batch.Features[cell], -10, 10);
        }

        // Saved and read again, a generated series is the same data.
        using var scratch = new Scratch();
        scratch.Write("series.csv", dataset.Series!.Table.ToCsv());
        Dataset read = Dataset.Open(new TableData { Path = "series.csv", Window = 8 }, Small, scratch.Folder);
        Assert.Equal(dataset.Sha256, read.Sha256);
        Assert.Equal(dataset.Artefact.Sha256, read.Artefact.Sha256);
    }

    [Fact]
    public void Generated_series_have_the_shape_they_are_named_for()
    {
        double[] sine = SeriesGenerators.NoisySine(1, 20_000, 0.1, 0.2).Values[0];
        double noise = sine.Select((value, row) => value - Math.Sin(0.1 * row)).Sum(error => error * error) / sine.Length;
        Assert.Equal(0.04, noise, 2e-3);
        double[] glass = SeriesGenerators.MackeyGlass(1, 3000, 17).Values[0];
        Assert.InRange(glass.Min(), 0.2, 0.5);
        Assert.InRange(glass.Max(), 1.2, 1.5);
        double[] seasonal = SeriesGenerators.Seasonal(1, 1200, 12, 0.01, 1, 0).Values[0];
        for (int row = 12; row < seasonal.Length; row++)
        {
            Assert.Equal(0.12, seasonal[row] - seasonal[row - 12], 1e-12);
        }

        SeriesTable walk = SeriesGenerators.RandomWalk(1, 1000, 100, 0.01);
        Assert.Equal(["open", "high", "low", "volume", "close"], walk.Columns);
        Assert.Equal("2000-01-07", walk.Labels![4]);
        Assert.Equal("2000-01-10", walk.Labels[5]);
        for (int row = 0; row < 1000; row++)
        {
            Assert.True(walk.Values[1][row] >= Math.Max(walk.Values[0][row], walk.Values[4][row]));
            Assert.True(walk.Values[2][row] <= Math.Min(walk.Values[0][row], walk.Values[4][row]));
        }

        Assert.NotEqual(walk.Sha256, SeriesGenerators.RandomWalk(2, 1000, 100, 0.01).Sha256);
        Assert.Throws<DataException>(() => SeriesGenerators.NoisySine(1, 10_000_000, 10, 0));
    }

    [Fact]
    public void An_artefact_brings_the_scaler_back()
    {
        var config = new NoisySineData { Rows = 200, Noise = 0.3 };
        Dataset first = Dataset.Open(config, Small, ".");
        Dataset again = Dataset.Open(config with { Seed = 2 }, Small, ".", DataArtefact.FromJson(first.Artefact.ToJson()));
        Assert.Equal(first.Artefact.Sha256, again.Artefact.Sha256);
        Assert.NotEqual(first.Artefact.Sha256, Dataset.Open(config with { Seed = 2 }, Small, ".").Artefact.Sha256);
        Assert.Throws<DataException>(() => DataArtefact.FromJson("[]"));
        Assert.Throws<DataException>(() => DataArtefact.FromJson("{}"));
    }

    [Theory]
    [InlineData(1, 0, 20, 40)]
    [InlineData(2, 0, 40, 60)]
    [InlineData(3, 0, 60, 80)]
    public void A_fold_of_a_series_trains_on_the_past_alone(int number, int trainStart, int trainEnd, int validationEnd)
    {
        var config = new TableData { Window = 5, Validation = 0.5, Test = 0.2, Fold = new FoldConfig { Number = number, Of = 3 } };
        SeriesSplit split = SeriesSplit.Of(Counting(100), config);
        Assert.Equal(new SeriesPart(trainStart, trainEnd), split.Training);
        Assert.Equal(new SeriesPart(trainEnd, validationEnd), split.Validation);
        Assert.Equal(new SeriesPart(80, 100), split.Test); // no fold sees it
        Assert.Equal(0, split.Scaler.Scale(0, (trainEnd - 1) / 2.0), 6); // the mean of the training part
    }

    private static DataConfig FromJson(string json) =>
        JsonSerializer.Deserialize<DataConfig>(json, JsonSerializerOptions.Web)!;

    private static SeriesTable Counting(int rows) => new(
        "t",
        ["row", "square"],
        [[.. Enumerable.Range(0, rows).Select(row => (double)row)], [.. Enumerable.Range(0, rows).Select(row => (double)row * row)]],
        "");

    private static List<long> Read(WindowSource source, int pass)
    {
        using var batch = Batch(source);
        var ids = new List<long>();
        for (long step = 0; step < source.StepsPerPass; step++)
        {
            source.Fill(source.Plan(pass * source.StepsPerPass + step), 0, source.BatchRows, batch);
            for (int row = 0; row < source.BatchRows; row++)
            {
                if (batch.RowIds[row] >= 0)
                {
                    ids.Add(batch.RowIds[row]);
                }
            }
        }

        return ids;
    }

    private static SpanBatch Batch(IBatchSource source) => new(source.MaximumTime, source.BatchRows, source.FeatureWidth, source.TargetWidth);
}
