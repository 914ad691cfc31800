using ClusterRnn.Cli;
using ClusterRnn.Cli.Output;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Cli;

/// <summary>Reports that look into a model, runs side by side, predictions that are explained.</summary>
public sealed class InsightCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_report_looks_into_the_model()
    {
        string run = Train("attentive", "[{ type: embedding, units: 8 }, { type: transformer, layers: 1, heads: 2, units: 8 }, dense]");
        string page = File.ReadAllText(Path.Combine(run, "report.html"));
        Assert.Contains("Gradient by time lag", page, StringComparison.Ordinal);
        Assert.Contains("transformer.layers.0, head 2", page, StringComparison.Ordinal);
        Assert.Contains("data:image/png;base64,", page, StringComparison.Ordinal);
        File.Delete(Path.Combine(run, "report.html"));
        Assert.Equal(0, Run("report", run).Code);
        Assert.Contains("transformer.layers.0, head 2", File.ReadAllText(Path.Combine(run, "report.html")), StringComparison.Ordinal);
    }

    [Fact]
    public void Runs_are_put_side_by_side()
    {
        string[] runs = [.. new[] { "rnn", "lstm", "gru" }.Select(cell => Train(cell, $"[{{ type: embedding, units: 4 }}, {{ type: {cell}, units: 6 }}, dense]"))];
        string page = Path.Combine(_folder, "together.html");
        (int code, string text, string error) = Run(["report", .. runs, "--out", page]);
        Assert.True(code == 0, error);
        Assert.All(new[] { "rnn", "lstm", "gru" }, name => Assert.Contains($"\n {name} ", text, StringComparison.Ordinal));
        string html = File.ReadAllText(page);
        Assert.Contains("|dL/dh| by lag, before the first step", html, StringComparison.Ordinal);
        Assert.Contains("|dL/dh| by lag, trained", html, StringComparison.Ordinal);
        (code, _, error) = Run("report", Path.Combine(runs[0], "checkpoints", "step-0000000004"), runs[1]);
        Assert.Equal(2, code);
        Assert.Contains("expected the folder of a run that has ended", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_prediction_is_explained()
    {
        string text = Train("text", "[{ type: embedding, units: 4 }, { type: gru, units: 6 }, dense]");
        (int code, string said, string error) = Run("predict", text, "seven plus", "--explain");
        Assert.True(code == 0, error);
        Assert.Matches(@"next '.+' \d+\.\d %", said);
        Assert.Equal(10, said.Split('\n').Count(line => System.Text.RegularExpressions.Regex.IsMatch(line, @"\s\d+\s+-?\d\.\d{4}")));
        Assert.Contains("What it rests on", File.ReadAllText(Path.Combine(text, "explanation.html")), StringComparison.Ordinal);

        string examples = Train("examples", "[{ type: lstm, units: 6, returnSequences: false }, dense]", "{ source: adding, length: 8, examples: 200 }");
        (code, said, error) = Run("predict", examples, "3", "--explain");
        Assert.True(code == 0, error);
        Assert.Contains("right would be", said, StringComparison.Ordinal);
        (code, _, error) = Run("predict", examples, "x", "--explain");
        Assert.Equal(2, code);
        Assert.Contains("the number of an example", error, StringComparison.Ordinal);

        string drawn = Train("drawn", "[{ type: gru, units: 6, returnSequences: false }, dense]", "{ source: sine, rows: 200, window: 12 }", "gaussian");
        (code, _, error) = Run("predict", drawn, "--explain");
        Assert.Equal(2, code);
        Assert.Contains("there is no explanation", error, StringComparison.Ordinal);
        Assert.Contains("Gradient by time lag", File.ReadAllText(Path.Combine(drawn, "report.html")), StringComparison.Ordinal);

        string series = Train("series", "[{ type: lstm, units: 6, returnSequences: false }, dense]", "{ source: sine, rows: 200, window: 12 }");
        (code, said, error) = Run("predict", series, "--explain");
        Assert.True(code == 0, error);
        Assert.Contains("in row 201", said, StringComparison.Ordinal);
        Assert.NotNull(SeriesCalibration.Read(Path.Combine(series, RunFolder.CalibrationFile), RunSummary.Read(Path.Combine(series, RunFolder.SummaryFile)).ModelSha256)); // for --follow
        Assert.Contains("leave out --json", Run("predict", series, "--explain", "--json").Error, StringComparison.Ordinal);
        Assert.Contains("leave out --file and --explain", Run("predict", series, "--follow", "--file", "rows.csv").Error, StringComparison.Ordinal);
    }

    /// <summary>Of a text with a class: its words, the class and how likely it is; a model that explains nothing says so.</summary>
    [Fact]
    public void A_texts_class_is_explained()
    {
        string text = Train("classes", "[{ type: embedding, units: 4 }, { type: gru, units: 6, returnSequences: false }, dense]", "{ source: sentiment, examples: 100 }");
        (int code, string said, string error) = Run("predict", text, "the plot is dull .", "--explain");
        Assert.True(code == 0, error);
        Assert.Matches(@"^class '(positive|negative)' \d+\.\d %", said);
        Assert.Equal(["the", "plot", "is", "dull", "."], said.Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Where(cells => cells.Length > 2 && int.TryParse(cells[1], out _)).Select(cells => cells[0]));
        (code, _, error) = Run("predict", text, "--explain");
        Assert.Equal(2, code);
        Assert.Contains("expected a text, found none", error, StringComparison.Ordinal);

        string tags = Train("tags", "[{ type: embedding, units: 4 }, { type: gru, units: 6 }, dense]", "{ source: tagging, examples: 100 }");
        (code, _, error) = Run("predict", tags, "Anna sleeps .", "--explain");
        Assert.Equal(2, code);
        Assert.Contains("of texts with a class", error, StringComparison.Ordinal);
    }

    /// <summary>Of a translation: how far back encoder and decoder learn, and which source token each token that is written rests on.</summary>
    [Fact]
    public void A_translation_is_looked_into_and_explained()
    {
        const string Model = """
            encoder: [{ type: embedding, units: 6 }, { type: gru, units: 6 }], decoder: [{ type: embedding, units: 6 }, { type: lstm, units: 6 }, { type: cross-attention }, { type: transformer, layers: 1, heads: 2, units: 8 }, dense]
            """;
        string run = TrainModel("pairs", Model, "{ source: translation, examples: 100, validation: 0.1, test: 0 }");
        string page = File.ReadAllText(Path.Combine(run, "report.html"));
        Assert.Contains("|dL/dh| of the decoder by lag", page, StringComparison.Ordinal);
        Assert.Contains("|dL/dh| of the encoder", page, StringComparison.Ordinal);
        Assert.Contains("encoder.gru", page, StringComparison.Ordinal);
        Assert.Contains("decoder.cross_attention: from target to source", page, StringComparison.Ordinal);
        Assert.Contains("decoder.transformer.layers.0, head 2: from target to source", page, StringComparison.Ordinal);

        (int code, string said, string error) = Run("predict", run, "a teacher finds the ship.", "--explain");
        Assert.True(code == 0, error);
        Assert.Contains("the logarithm of the translation's probability", said, StringComparison.Ordinal);
        Assert.Contains(said.Split('\n'), line => line.Contains(" teacher ", StringComparison.Ordinal));
        Assert.Contains("from target to source", File.ReadAllText(Path.Combine(run, "explanation.html")), StringComparison.Ordinal);
        (code, _, error) = Run("predict", run, "--explain");
        Assert.Equal(2, code);
        Assert.Contains("a line of text to translate", error, StringComparison.Ordinal);
    }

    private static (int Code, string Out, string Error) Run(params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [new SmallEngine()]).RunAsync(args).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }

    private string Train(string name, string layers, string data = "{ source: sums, characters: 2000 }", string? loss = null) =>
        TrainModel(name, $"layers: {layers}{(loss is null ? "" : $", loss: {loss}")}", data);

    private string TrainModel(string name, string model, string data)
    {
        string config = Path.Combine(_folder, name + ".yaml"), run = Path.Combine(_folder, name);
        File.WriteAllText(config, $$"""
            data: {{data}}
            model: { {{model}} }
            batch: { size: 4, span: 8 }
            stop: { steps: 4 }
            generate: { length: 10, maximumLength: 8 }
            output: { tensorBoard: false }
            """);
        (int code, _, string error) = Run("train", config, "--out", run);
        Assert.True(code == 0, error);
        return run;
    }
}
