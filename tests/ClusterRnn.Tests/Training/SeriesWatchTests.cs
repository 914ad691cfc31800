// Alerts on a live series: what a trained watch finds of planted anomalies, what stands in for wrong and missing values, and what of a
// live input is a row.
using System.Globalization;
using ClusterRnn.Cli.Commands;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Tests.Data;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

public sealed class SeriesWatchTests
{
    private static readonly string[] s_settings = ["data.rows=2400", "data.period=24", "data.window=24", "data.season=24", "model.layers[0].units=12", "stop.epochs=5", "optimizer.learningRate=0.01", "seed=3"];

    /// <summary>Most alerts are right and most anomalies found; one wrong value spoils no other forecast; what was expected stands in for a gap; a new level counts in time.</summary>
    [Fact]
    public async Task AnomaliesAreFound()
    {
        TaskModel trained = await LabelledTaskTests.TrainAsync("anomaly.yaml", 2, s_settings);
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        TaskOutcome outcome = SequenceTask.Of(trained.Job.Data).Conclude(trained, data, null, null);
        double precision = outcome.Figures.Single(figure => figure.Key == "testAlertPrecision").Value, recall = outcome.Figures.Single(figure => figure.Key == "testAlertRecall").Value;
        Assert.True(precision >= 0.8 && recall >= 0.75, $"precision {precision}, recall {recall}");
        Assert.Equal("Alerts of the test part", outcome.Tables[1].Title);

        double[] clean = [.. Enumerable.Range(0, 200).Select(row => data.Series!.Table.Values[0][1400 + row])];
        WatchedRow[] plain = Watch(trained, clean, null), again = Watch(trained, clean, null);
        Assert.All(plain[..24], row => Assert.Null(row.Expected));
        Assert.InRange(plain.Count(row => row.IsAlert), 0, 2);
        Assert.Equal(plain.Select(row => row.Score), again.Select(row => row.Score));

        double[] jumped = [.. clean];
        jumped[100] += 3;
        WatchedRow[] jump = Watch(trained, jumped, null);
        Assert.True(jump[100].IsAlert);
        Assert.Equal(plain[100].Expected, jump[100].Expected);
        Assert.DoesNotContain(jump[101..120], row => row.IsAlert);
        Assert.Equal(plain.Count(row => row.IsAlert) + 1, jump.Count(row => row.IsAlert));

        jumped[100] = double.NaN;
        WatchedRow[] gap = Watch(trained, jumped, null);
        Assert.True(double.IsNaN(gap[100].Score) && !gap[100].IsAlert);
        Assert.Equal(jump[101..].Select(row => row.Score), gap[101..].Select(row => row.Score));

        // For as long as the window is, forecasts don't depend on values that alert; then those count.
        WatchedRow[] shift = Watch(trained, [.. clean.Select((value, row) => row < 60 ? value : value + 2)], null), far = Watch(trained, [.. clean.Select((value, row) => row < 60 ? value : value + 4)], null);
        Assert.All(shift[60..85], row => Assert.True(row.IsAlert));
        Assert.Equal(shift[..85].Select(row => row.Expected?[0]), far[..85].Select(row => row.Expected?[0]));
        Assert.NotEqual(shift[85].Expected![0], far[85].Expected![0]);

        Assert.True(Watch(trained, clean, 0.5).Count(row => row.IsAlert) > 50);
        trained.Model.Dispose();
    }

    [Fact]
    public async Task AWatchNeedsAValidationPart()
    {
        TaskModel trained = await LabelledTaskTests.TrainAsync("anomaly.yaml", 1, [.. s_settings, "data.validation=0", "stop.steps=2"]);
        Assert.Contains("a validation part", Assert.Throws<DataException>(() => SeriesTask.Watch(trained, null, 3, out _)).Message);
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        Assert.DoesNotContain(SequenceTask.Of(trained.Job.Data).Conclude(trained, data, null, null).Figures, figure => figure.Key.Contains("Alert", StringComparison.Ordinal));
        trained.Model.Dispose();
    }

    /// <summary>What a training measured is kept with its model: a series is followed without the data as with it.</summary>
    [Fact]
    public async Task ASeriesIsFollowedWithoutItsData()
    {
        using var scratch = new Scratch();
        string path = scratch.Write("sensor.csv", SeriesGenerators.Sensor(1, 300, 24, 0.1, 0, 300).ToCsv()), kept = Path.Combine(scratch.Folder, RunFolder.CalibrationFile);
        TaskModel trained = await LabelledTaskTests.TrainAsync("anomaly.yaml", 1, $"data.path={path}", "data.window=4", "stop.steps=3");
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        double[] values = data.Series!.Table.Values[0][100..150];
        double[] measured = [.. Watch(trained, values, null).Select(row => row.Score)];
        Assert.Null(SeriesCalibration.Read(kept, "one"));
        SequenceTask.Of(trained.Job.Data).Conclude(trained, data, null, null).Calibration!.Write(kept, "one");
        Assert.Null(SeriesCalibration.Read(kept, "another"));
        SeriesCalibration calibration = SeriesCalibration.Read(kept, "one")!;

        File.Delete(path);
        Assert.Contains(path, Assert.Throws<DataException>(() => Watch(trained, values, null)).Message);
        using SeriesWatch watch = SeriesTask.Watch(trained, calibration, null, out LiveRows rows);
        Assert.Equal(measured, values.Select(value => watch.Observe([value]).Score));
        Assert.Equal(60, watch.Calibration.Rows);
        Assert.Equal(LiveLine.Row, rows.Read("0.5,0", new double[1], out _)); // value, anomaly: as in the file

        File.WriteAllText(kept, "{");
        Assert.Contains("Remove the file", Assert.Throws<DataException>(() => SeriesCalibration.Read(kept, "one")).Message);
        (calibration with { Spreads = [double.NaN], Threshold = double.NaN }).Write(kept, "one"); // of a training that came to NaN
        Assert.True(double.IsNaN(SeriesCalibration.Read(kept, "one")!.Threshold));
        trained.Model.Dispose();
    }

    /// <summary>What a person sees: a line for each row, alerts marked, what is no row named by its line and counted, and how it went.</summary>
    [Fact]
    public async Task ASeriesIsFollowed()
    {
        TaskModel trained = await LabelledTaskTests.TrainAsync("anomaly.yaml", 1, "data.rows=300", "data.window=4", "stop.steps=3");
        string[] lines = ["note,value", "a,0.1", "b,0.1", "c,0.2", "d,none", "e,0.1", "f,0.1", "g,1000", "h", "", "i,NA", "j,0.1"];
        (string text, string said) = await FollowAsync(asJson: false);
        string[] shown = text.TrimEnd().Split('\n');
        Assert.Equal(["line", "value", "expected", "score"], shown[0].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal([2, 3, 4, 6, 7, 8, 11, 12], shown[1..].Select(row => int.Parse(row[..8], CultureInfo.InvariantCulture)));
        Assert.All(shown[1..5], row => Assert.Equal(["-", "-"], row.Split(' ', StringSplitOptions.RemoveEmptyEntries)[2..]));
        Assert.Equal(["8"], shown.Where(row => row.EndsWith("ALERT", StringComparison.Ordinal)).Select(row => row[..8].Trim()));
        Assert.Contains("warning: line 5: expected a finite number for 'value', found 'none'; left out (1 so far)", said, StringComparison.Ordinal);
        Assert.Contains("warning: line 9: expected 2 values (note,value), found 1 cell; left out (2 so far)", said, StringComparison.Ordinal);
        Assert.EndsWith("8 rows, 1 alert, 1 row with missing values, for which what was expected stood in, 2 malformed lines left out\n", said, StringComparison.Ordinal);

        (string json, _) = await FollowAsync(asJson: true);
        Assert.Equal("""{"line":2,"values":[0.1],"alert":false}""", json.Split('\n')[0]);
        Assert.Contains("\"alert\":true", json.Split('\n')[5], StringComparison.Ordinal);
        await Assert.ThrowsAsync<ClusterRnn.Cli.UsageException>(() => FollowedSeries.FollowAsync(Terminal.To(new StringWriter(), new StringWriter()), trained, null, TextReader.Null, "no-such-file", null, false, TestContext.Current.CancellationToken));
        trained.Model.Dispose();

        async Task<(string Text, string Said)> FollowAsync(bool asJson)
        {
            StringWriter output = new() { NewLine = "\n" }, error = new() { NewLine = "\n" };
            await FollowedSeries.FollowAsync(Terminal.To(output, error), trained, null, new StringReader(string.Join('\n', lines)), null, 20, asJson, TestContext.Current.CancellationToken);
            return (output.ToString(), error.ToString());
        }
    }

    [Theory]
    [InlineData("1.5", LiveLine.Malformed, "expected 2 values (a,b), found 1 cell")]
    [InlineData("1.5,-2e1", LiveLine.Row, "1.5 -20")]
    [InlineData("2026-01-01,7,1.5,-2", LiveLine.Row, "1.5 -2")] // as in the file: date, other, a, b
    [InlineData("\"1.5\",na", LiveLine.Row, "1.5 NaN")]
    [InlineData("1,2,3", LiveLine.Malformed, "expected 2 values (a,b), found 3 cells")]
    [InlineData("1,x", LiveLine.Malformed, "expected a finite number for 'b', found 'x'")]
    [InlineData("1,1e999", LiveLine.Malformed, "expected a finite number for 'b', found '1e999'")]
    [InlineData("1,\"2", LiveLine.Malformed, "expected a closing quote, found the end of the file")]
    [InlineData("date,other,a,b", LiveLine.Header, "")]
    [InlineData("  ", LiveLine.Empty, "")]
    public void LinesAreRows(string line, LiveLine kind, string expected)
    {
        var rows = new LiveRows(["date", "other", "a", "b"], ["a", "b"], ",");
        double[] values = new double[2];
        Assert.Equal(kind, rows.Read(line, values, out string fault));
        Assert.Equal(expected, kind == LiveLine.Row ? string.Join(' ', values.Select(value => value.ToString(CultureInfo.InvariantCulture))) : fault);
    }

    [Fact]
    public void AHeaderSaysWhereColumnsAre()
    {
        var rows = new LiveRows(["date", "other", "a", "b"], ["a", "b"], ",");
        double[] values = new double[2];
        Assert.Equal(LiveLine.Header, rows.Read("b,comment,a", values, out _));
        Assert.Equal(LiveLine.Row, rows.Read("1,fine,2", values, out _));
        Assert.Equal([2.0, 1.0], values);
        Assert.Equal(LiveLine.Malformed, rows.Read("1,fine", values, out string fault));
        Assert.Equal("expected 3 values (b,comment,a), found 2 cells", fault);
        Assert.Equal(LiveLine.Malformed, rows.Read("1,fine,2,3", values, out _));
    }

    /// <summary>A file is read as it grows, and anew when it was begun anew; a line counts when it ends, a long one is cut.</summary>
    [Fact]
    public async Task AFileIsFollowed()
    {
        using var scratch = new Scratch();
        string path = scratch.Write("a.txt", "one\r\ntw");
        using var end = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        int anew = 0;
        var seen = new List<NumberedLine>();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (NumberedLine line in LiveLines.OfFileAsync(path, () => anew++, end.Token))
            {
                seen.Add(line);
                switch (seen.Count)
                {
                    case 1:
                        File.AppendAllText(path, "o\n");
                        break;
                    case 2:
                        File.WriteAllText(path, "3\n");
                        break;
                    case 3:
                        File.AppendAllText(path, new string('x', LiveLines.MostCharacters + 5) + "\n");
                        break;
                    default:
                        await end.CancelAsync();
                        break;
                }
            }
        });
        Assert.Equal(["1 one True", "2 two True", "1 3 True"], seen[..3].Select(line => $"{line.Number} {line.Text} {line.IsWhole}"));
        Assert.Equal((2L, LiveLines.MostCharacters, false), (seen[3].Number, seen[3].Text.Length, seen[3].IsWhole));
        Assert.Equal(1, anew);
    }

    /// <summary>Whatever a reader gives, its last line counts without an end, and who has seen enough waits for nothing.</summary>
    [Fact]
    public async Task AReaderIsReadToItsEnd()
    {
        var seen = new List<string>();
        await foreach (NumberedLine line in LiveLines.OfAsync(new StringReader("a\n\nb"), TestContext.Current.CancellationToken))
        {
            seen.Add($"{line.Number}{line.Text}");
        }

        Assert.Equal(["1a", "2", "3b"], seen);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        int count = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (NumberedLine line in LiveLines.OfAsync(new EndlessReader(), end.Token))
            {
                if (++count == 1000)
                {
                    await end.CancelAsync();
                }
            }
        });
        Assert.InRange(count, 1000, 1000 + 4096);
    }

    private static WatchedRow[] Watch(TaskModel trained, double[] values, double? threshold)
    {
        using SeriesWatch watch = SeriesTask.Watch(trained, null, threshold, out _);
        return [.. values.Select(value => watch.Observe([value]))];
    }

    private sealed class EndlessReader : TextReader
    {
        public override int Read(char[] buffer, int index, int count)
        {
            buffer[index] = '1';
            buffer[index + 1] = '\n';
            return 2;
        }
    }
}
