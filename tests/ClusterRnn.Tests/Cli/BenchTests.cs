// The benchmark command: what it reads, what it counts, what its file holds; and one tiny case that really runs.
using System.Text.Json.Nodes;
using ClusterRnn.Cli;
using ClusterRnn.Cli.Bench;
using ClusterRnn.Cli.Output;
using ClusterRnn.Training;

namespace ClusterRnn.Tests.Cli;

public sealed class BenchTests
{
    private static (int Code, string Out, string Error) Run(params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [new SmallEngine()]).RunAsync(args).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }

    [Theory]
    [InlineData("64,64,128,256,96,1", 64, 64, 128, 256, 96, 1)]
    [InlineData("1", 64, 64, 128, 256, 96, 1)]
    [InlineData("5", 32, 10, 1, 50, 0, 1)]
    [InlineData("8, 4, 3, 5", 8, 4, 3, 5, 96, 1)]
    [InlineData("8,4,3,5,0", 8, 4, 3, 5, 0, 1)]
    public void A_shape_is_read(string text, int batch, int span, int input, int hidden, int classes, int layers) =>
        Assert.Equal(new BenchShape(batch, span, input, hidden, classes, layers), BenchShape.Parse(text));

    [Fact]
    public void Words_behind_a_shape_say_how_rows_are_read()
    {
        BenchShape shape = BenchShape.Parse("1,ragged, bidirectional");
        Assert.Equal(BenchShape.Standard[0] with { Ragged = true, Bidirectional = true }, shape);
        Assert.Equal("64,64,128,256,96,1,bidirectional,ragged", shape.ToString());
        int[] lengths = [.. Enumerable.Range(0, shape.Batch).Select(shape.LengthOf)];
        Assert.Equal((16, 64, shape.Tokens), (lengths.Min(), lengths.Max(), lengths.Sum(length => (long)length)));
        Assert.InRange(shape.Tokens, 64 * 38, 64 * 42);
    }

    [Theory]
    [InlineData("--shape 8,4,3,5,0,1,ragged: ragged is measured with tokens", "--shape", "8,4,3,5,0,1,ragged")]
    [InlineData("for recurrent cells alone", "--cells", "lstm,transformer", "--shape", "8,4,3,5,7,1,bidirectional")]
    [InlineData("--shape 1,2,3: expected B,T,I,H", "--shape", "1,2,3")]
    [InlineData("--shape 6: expected B,T,I,H", "--shape", "6")]
    [InlineData("--shape 8,0,3,5: expected B,T,I,H", "--shape", "8,0,3,5")]
    [InlineData("--shape 8,x,3,5: expected B,T,I,H", "--shape", "8,x,3,5")]
    [InlineData("--cells lstn: expected lstm, gru, rnn or transformer", "--cells", "lstn")]
    [InlineData("--workers 0: expected whole numbers from 1", "--workers", "1,0")]
    [InlineData("--repetitions 0: expected a whole number from 1", "--repetitions", "0")]
    [InlineData("--seconds -1: expected a number from 0", "--seconds", "-1")]
    [InlineData("--shape 8,4,3,5,0,1: a Transformer is measured with tokens", "--cells", "transformer", "--shape", "8,4,3,5,0")]
    [InlineData("--engine inprocess: expected tcp", "--engine", "inprocess")]
    [InlineData("--python no-such-python: it does not run, or has no torch", "--python", "no-such-python")]
    public void What_was_typed_wrong_gets_one_message_and_code_2(string message, params string[] args)
    {
        (int code, string text, string error) = Run(["bench", .. args]);
        Assert.Equal((ExitCode.Usage, ""), (code, text));
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_sweep_varies_one_size_at_a_time()
    {
        IReadOnlyList<BenchShape> sweep = BenchShape.Sweep;
        Assert.Equal(sweep.Count, sweep.Distinct().Count());
        Assert.Equal([8, 16, 32, 64, 128, 256], sweep.Where(s => s.Hidden == 256 && s.Span == 64).Select(s => s.Batch).Order());
        Assert.Equal([32, 64, 128, 256, 512, 1024], sweep.Where(s => s.Batch == 64 && s.Span == 64).Select(s => s.Hidden).Order());
        Assert.Equal([16, 32, 64, 128, 256, 512], sweep.Where(s => s.Batch == 64 && s.Hidden == 256).Select(s => s.Span).Order());
    }

    [Fact]
    public void Operations_are_those_of_the_products()
    {
        // 2 rows, 3 times, I 5, H 7, no classes: four gates; no gradient to the features, none from the first time step.
        StepOperations values = StepOperations.Of(BenchCell.Lstm, new BenchShape(2, 3, 5, 7, 0, 1), shards: 2, workers: 1);
        double expected = 2.0 * ((28 * 5 * 6 * 2) + (28 * 7 * (6 + 6 + 4)) + (3 * 2 * 7));
        Assert.Equal(new StepOperations(expected, expected), values);

        // More tokens than cells in a shard: nothing is saved, and the input has a gradient.
        StepOperations products = StepOperations.Of(BenchCell.Rnn, new BenchShape(2, 3, 5, 7, 11, 2), shards: 2, workers: 1);
        expected = 2.0 * ((7 * 5 * 6 * 3) + (7 * 7 * 6 * 3) + (2 * 7 * 7 * 16) + (3 * 6 * 7 * 11));
        Assert.Equal(new StepOperations(expected, expected), products);

        // Many cells, one token: the table's projection is all but free.
        StepOperations table = StepOperations.Of(BenchCell.Gru, new BenchShape(64, 64, 128, 256, 1, 1), shards: 8, workers: 2);
        Assert.Equal(2.0 * 3 * 256 * 128 * ((3 * 64 * 64) - 2 - (2 * 8)), table.Asked - table.Done, 3);
    }

    [Fact]
    public void A_Transformers_operations_are_those_of_its_products()
    {
        // 2 rows, 40 times, width 3, inner 5, 7 classes, 1 layer: keys in blocks of 32, the last one of 8.
        StepOperations operations = StepOperations.Of(BenchCell.Transformer, new BenchShape(2, 40, 3, 5, 7, 1), shards: 2, workers: 1);
        double products = 3 * 80 * ((4 * 9) + (2 * 15) + 21);
        Assert.Equal(2.0 * (products + (6 * 2 * 3 * 820)), operations.Asked);
        Assert.Equal(2.0 * (products + (7 * 2 * 3 * ((32 * 32) + (8 * 40)))), operations.Done);
    }

    [Theory]
    [InlineData(BenchCell.Lstm, 6)]
    [InlineData(BenchCell.Rnn, 0)]
    [InlineData(BenchCell.Transformer, 6)]
    [InlineData(BenchCell.Lstm, 6, true)]
    [InlineData(BenchCell.Gru, 6, false, true)]
    [InlineData(BenchCell.Rnn, 6, true, true)]
    public async Task Steps_run_as_many_as_are_asked_for_and_then_wait(BenchCell cell, int classes, bool bidirectional = false, bool ragged = false)
    {
        TrainingJob job = BenchJob.Of(cell, new BenchShape(8, 5, 3, 6, classes, 1) { Bidirectional = bidirectional, Ragged = ragged });
        await using var steps = new EngineSteps(job, 2);
        for (int turn = 1; turn <= 3; turn++)
        {
            TimedSteps timed = steps.Run(turn * 20);
            Assert.Equal(turn * 20, timed.Steps);
            Assert.True(timed is { Seconds: > 0, ProcessorSeconds: >= 0 });
        }

        (double compute, double actors) = await steps.EndAsync();
        Assert.True(compute < 16, $"{compute} bytes a step on the compute threads"); // what grows once is spread over the steps
        Assert.True(actors > 0);
    }

    [Fact]
    public void A_tiny_case_prints_tables_and_writes_its_file()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            string file = Path.Combine(folder, "bench.json");
            (int code, string text, string error) = Run("bench", "--cells", "gru", "--shape", "8,4,3,5,6,2", "--repetitions", "2", "--seconds", "0.01", "--workers", "2,1", "--no-torch", "--json", file);
            Assert.True(code == ExitCode.Success, error);
            Assert.Contains("ours alone", error, StringComparison.Ordinal);
            Assert.Contains("gru 8,4,3,5,6,2", text, StringComparison.Ordinal);
            JsonNode report = JsonNode.Parse(File.ReadAllText(file))!;
            JsonArray cases = report["cases"]!.AsArray();
            Assert.Equal([1, 2], cases.Select(c => (int)c!["threads"]!));
            Assert.All(cases, one =>
            {
                Assert.Equal(("gru", 8, 4, 3), ((string)one!["cell"]!, (int)one["batch"]!, (int)one["span"]!, (int)one["input"]!));
                Assert.Equal((5, 6, 2, 8), ((int)one["hidden"]!, (int)one["classes"]!, (int)one["layers"]!, (int)one["shards"]!));
                Assert.True((double)one["oursTokensPerSecond"]! > 0 && (double)one["percentOfPeak"]! > 0 && (double)one["bytesAllocatedPerStep"]! >= 0);
                Assert.True(one.AsObject().ContainsKey("torchTokensPerSecond") && one["torchTokensPerSecond"] is null && one["ratio"] is null);
                Assert.Equal(2, one["oursSecondsPerStep"]!.AsArray().Count);
            });
            Assert.True((double)Assert.Single(report["scaling"]!.AsArray())!["speedup"]! > 0);
            Assert.StartsWith("clusterrnn bench --cells gru", (string)report["command"]!, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task PyTorch_takes_the_same_turns()
    {
        if (TorchSteps.FindPython(null) is not { } python)
        {
            Assert.Skip("needs python3 with torch");
            return;
        }

        using TorchSteps torch = await TorchSteps.StartAsync(python, 1, 2, TestContext.Current.CancellationToken);
        Assert.NotEmpty(torch.Version);
        foreach (int classes in new[] { 6, 0 })
        {
            await torch.PrepareAsync(BenchCell.Lstm, new BenchShape(8, 5, 3, 6, classes, 1), TestContext.Current.CancellationToken);
            TimedSteps timed = await torch.RunAsync(3, TestContext.Current.CancellationToken);
            Assert.True(timed is { Seconds: > 0, ProcessorSeconds: > 0, Steps: 3 });
        }

        await torch.PrepareAsync(BenchCell.Transformer, new BenchShape(4, 5, 6, 7, 8, 1), TestContext.Current.CancellationToken);
        Assert.Equal(2, (await torch.RunAsync(2, TestContext.Current.CancellationToken)).Steps);
    }

    [Fact]
    public void Means_are_geometric_and_leave_out_shapes_without_classes()
    {
        BenchCase one = new()
        {
            Cell = "lstm",
            Batch = 1,
            Span = 1,
            Input = 1,
            Hidden = 1,
            Classes = 5,
            Layers = 1,
            Shards = 1,
            Threads = 2,
            OursTokensPerSecond = 1,
            Ratio = 4,
            OursTokensPerProcessorSecond = 1,
            AskedGflops = 1,
            DoneGflops = 1,
            PercentOfPeak = 1,
            BytesAllocatedPerStep = 0,
            ActorBytesAllocatedPerStep = 0,
            OursSecondsPerStep = [],
        };
        BenchMean mean = Assert.Single(BenchReport.MeansOf(
            [one, one with { Ratio = 9 }, one with { Ratio = 100, Classes = 0 }],
            [new BenchScaling("lstm", "1,1,1,1,5,1", 2, 2), new BenchScaling("lstm", "1,1,1,1,5,2", 2, 0.5), new BenchScaling("lstm", "1,1,1,1,0,1", 2, 9)]));
        Assert.Equal(6, mean.RatioToTorch!.Value, 9);
        Assert.Equal(1, mean.Speedup!.Value, 9);
    }
}
