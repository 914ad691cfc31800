// Forecasts of many steps from many variables: one answer for any number of workers, errors by rows ahead beside those of the baselines,
// and windows with missing cells left out.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

public sealed class ForecastTaskTests : IDisposable
{
    private static readonly string[] s_small = ["data.rows=400", "data.window=12", "data.horizon=6", "model.layers[0].units=6", "optimizer.learningRate=0.01", "stop.epochs=3"];
    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-forecast").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task ErrorsAreShownByRowsAhead()
    {
        TaskModel[] models = await Task.WhenAll(LabelledTaskTests.TrainAsync("forecast.yaml", 1, s_small), LabelledTaskTests.TrainAsync("forecast.yaml", 3, s_small), LabelledTaskTests.TrainAsync("forecast.yaml", 3, [.. s_small, "data.seed=2"]));
        Assert.True(models[0].Model.Parameters.SequenceEqual(models[1].Model.Parameters));
        Assert.False(models[0].Model.Parameters.SequenceEqual(models[2].Model.Parameters));
        SequenceTask task = SequenceTask.Of(models[0].Job.Data);
        TaskOutcome outcome = task.Conclude(models[0], Open(models[0].Job.Data), null, null);
        Assert.Equal(["this model", "persistence", "seasonal naive (24)", "AR(12)"], outcome.Tables[0].Rows.Select(row => row[0]));
        Assert.Equal(["rows ahead", "this model", "persistence", "seasonal naive (24)", "AR(12)"], outcome.Tables[1].Columns);
        Assert.Equal(["1", "2", "3", "6"], outcome.Tables[1].Rows.Select(row => row[0]));
        Assert.Equal(["1", "2", "3", "6"], outcome.Details.Select(figure => figure.Key["testRootMeanSquaredErrorAhead".Length..]));

        // All rows ahead together are what the first table has, and persistence is the worse the further ahead.
        Assert.Equal(2, outcome.Charts.Count);
        for (int line = 0; line < 4; line++)
        {
            double mean = 0;
            foreach (double error in outcome.Charts[1].Lines[line].Values)
            {
                mean += error * error / 6;
            }

            Assert.Equal(double.Parse(outcome.Tables[0].Rows[line][2], CultureInfo.InvariantCulture), Math.Sqrt(mean), 0.001 * Math.Sqrt(mean));
        }

        Assert.True(outcome.Charts[1].Lines[1].Values[0] < outcome.Charts[1].Lines[1].Values[5]);
        Prediction prediction = task.Predict(models[0], new PredictionRequest(null, new GenerateConfig()));
        Assert.Equal(["1", "2", "3", "4", "5", "6"], prediction.Tables[0].Rows.Select(row => row[0]));
        Assert.Contains("at most 6 steps", Assert.Throws<DataException>(() => task.Predict(models[0], new PredictionRequest(null, new GenerateConfig(), 7))).Message);
        Free(models);
    }

    [Fact]
    public async Task MissingCellsAreLeftOutWithTheirWindows()
    {
        string[] lines = SeriesGenerators.Air(3, 300).ToCsv().TrimEnd('\n').Split('\n');
        for (int row = 40; row < 300; row += 53)
        {
            string[] cells = lines[row + 1].Split(',');
            cells[row % 2 == 0 ? 4 : 1] = "NA";
            lines[row + 1] = string.Join(',', cells);
        }

        string path = Path.Combine(_folder, "air.csv");
        File.WriteAllLines(path, lines);
        string[] settings = [.. s_small, $"data.path={path}", "data.missing=drop"];
        TaskModel[] models = await Task.WhenAll(LabelledTaskTests.TrainAsync("forecast.yaml", 1, settings), LabelledTaskTests.TrainAsync("forecast.yaml", 2, settings), LabelledTaskTests.TrainAsync("forecast.yaml", 2, [.. settings, "data.missing=previous"]));
        Assert.True(models[0].Model.Parameters.SequenceEqual(models[1].Model.Parameters));
        Assert.False(models[0].Model.Parameters.SequenceEqual(models[2].Model.Parameters));
        Dataset data = Open(models[0].Job.Data);
        Assert.Contains(data.Notes, note => note.Contains("left out, with every window that reads or predicts them", StringComparison.Ordinal));
        Assert.Contains(data.Notes, note => note.Contains("windows of the test part", StringComparison.Ordinal));
        SequenceTask task = SequenceTask.Of(models[0].Job.Data);
        TaskOutcome outcome = task.Conclude(models[0], data, null, null);
        Assert.Contains(outcome.Charts[0].Lines[1].Values, double.IsNaN);
        Assert.Equal(6, task.Predict(models[0], new PredictionRequest(null, new GenerateConfig())).Tables[0].Rows.Count);

        File.AppendAllText(path, "1,10,3,0,NA\n");
        Assert.Contains("no missing cell in the last 12 rows", Assert.Throws<DataException>(() => task.Predict(models[0], new PredictionRequest(path, new GenerateConfig()))).Message);
        Assert.Contains("no missing cell in the last 12 rows", Assert.Throws<DataException>(() => task.Explain(models[0], path)).Message);
        Free(models);
    }

    private static Dataset Open(DataConfig config) => Dataset.Open(config, new Batching(64, 1, 1, true, 1), Repository.Root);

    private static void Free(TaskModel[] models)
    {
        foreach (TaskModel model in models)
        {
            model.Model.Dispose();
        }
    }
}
