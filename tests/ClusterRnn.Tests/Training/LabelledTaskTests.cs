// Applications that name classes: spans of tags, ranks, and short trainings from the ready configs to what they predict.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

public sealed class LabelledTaskTests
{
    private static readonly string[] s_answerSettings = ["data.examples=1500", "model.layers[0].units=24", "model.layers[1].units=32", "model.layers[3].units=32", "stop.epochs=6", "optimizer.learningRate=0.01"];

    [Theory]
    [InlineData("O B-PER I-PER O B-LOC", "PER 1-3, LOC 4-5")]
    [InlineData("I-PER I-PER B-PER I-LOC", "PER 0-2, PER 2-3, LOC 3-4")] // I- begins where no span of its type is open
    [InlineData("B-ORG O I-ORG", "ORG 0-1, ORG 2-3")]
    [InlineData("NNP VBZ I B- -X", "")]
    [InlineData("", "")]
    public void SpansAreThoseOfConll(string tags, string expected) =>
        Assert.Equal(expected, string.Join(", ", TaggedSpan.Of(tags.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Select(span => $"{span.Type} {span.First}-{span.End}")));

    [Theory]
    [InlineData("", "", 0)]
    [InlineData("abc", "abc", 0)]
    [InlineData("abc", "", 3)]
    [InlineData("", "ab", 2)]
    [InlineData("kitten", "sitting", 3)]
    [InlineData("flaw", "lawn", 2)]
    public void ReadingsAreJudgedByEdits(string expected, string found, int edits) => Assert.Equal(edits, LabelReading.EditsOf([.. expected], (char[])[.. found]));

    /// <summary>Speech from letters to text again, and of a file.</summary>
    [Fact]
    public async Task SpeechIsRead()
    {
        TaskModel trained = await TrainAsync("speech.yaml", 2, "data.examples=200", "data.bands=16", "data.hopMs=20", "model.layers[0].units=4", "model.layers[2].units=24", "optimizer.learningRate=0.01", "stop.epochs=20");
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        SequenceTask task = SequenceTask.Of(trained.Job.Data);
        TaskOutcome outcome = task.Conclude(trained, data, null, null);
        Assert.Equal("testCharacterErrorRate", outcome.Figures[0].Key);
        Assert.True(outcome.Figures[0].Value < 0.2, outcome.Figures[0].Text);
        string folder = Directory.CreateTempSubdirectory("clusterrnn-speech-").FullName;
        var key = new RandomKey(7, RandomPurpose.Generate, 0, 0);
        await File.WriteAllBytesAsync(
            Path.Combine(folder, "said.wav"),
            new WavFile(8000, [.. MadeSpeech.Say("siko", key, 1, 8000), .. MadeSpeech.Say("tame", key, 1, 8000)]).ToBytes(),
            TestContext.Current.CancellationToken);
        Prediction read = task.Predict(trained, new PredictionRequest(Path.Combine(folder, "said.wav"), new GenerateConfig()));
        Assert.True(LabelReading.EditsOf([.. "siko tame"], (char[])[.. read.Tables[0].Rows[0][1]]) <= 3, read.Tables[0].Rows[0][1]);
        await File.WriteAllTextAsync(Path.Combine(folder, "transcripts.tsv"), "said\tsiko tame\n", TestContext.Current.CancellationToken);
        await File.WriteAllBytesAsync(Path.Combine(folder, "again.wav"), await File.ReadAllBytesAsync(Path.Combine(folder, "said.wav"), TestContext.Current.CancellationToken), TestContext.Current.CancellationToken);
        Assert.Equal(["again.wav", "said.wav"], task.Predict(trained, new PredictionRequest(folder, new GenerateConfig())).Tables[0].Rows.Select(row => row[0])); // not the table
        Assert.Contains("none", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest(null, new GenerateConfig()))).Message);
        Directory.Delete(folder, recursive: true);
        trained.Model.Dispose();
    }

    /// <summary>Labels that the layers leave too few time steps for are said before anything runs: their loss would be infinite.</summary>
    [Fact]
    public void LabelsThatDoNotFitIntoTheOutputsAreNamed()
    {
        JobConfig Job(string hop) => ConfigLoader.Load<JobConfig>(Path.Combine(Repository.Root, "configs", "speech.yaml"), new[] { "data.examples=20", $"data.hopMs={hop}" }.Select(ConfigAssignment.Parse)).Value;
        Assert.Equal("layers", Assert.Throws<ModelException>(() => ResolvedJob.Open(Job("100"), Repository.Root)).Path);
        Assert.Matches(@"generated recording \d+ has \d+ labels, for which the loss ctc needs \d+ time steps; of its \d+ the layers leave \d+", Assert.Throws<ModelException>(() => ResolvedJob.Open(Job("100"), Repository.Root)).Message);
        Assert.True(ResolvedJob.Open(Job("20"), Repository.Root).Data.HasLabels);
    }

    /// <summary>A short training of each ready config, whose answer depends on the seed, but not on the number of workers.</summary>
    [Theory]
    [InlineData("sentiment.yaml", "data.examples=60")]
    [InlineData("intent.yaml", "data.examples=200")]
    [InlineData("answer-selection.yaml", "data.examples=30", "batch.size=24")]
    [InlineData("recommendation.yaml", "data.examples=60", "data.minimumCount=1")]
    [InlineData("tagging.yaml", "data.examples=60")]
    [InlineData("spoken-words.yaml", "data.examples=40", "data.bands=16", "data.hopMs=20", "model.layers[0].units=4", "batch.size=10")]
    [InlineData("speech.yaml", "data.examples=40", "data.bands=16", "data.hopMs=20", "model.layers[0].units=4", "model.layers[2].units=8", "batch.size=10")]
    [InlineData("audio.yaml", "data.seconds=2", "model.layers[1].units=8", "batch.size=6")]
    [InlineData("anomaly.yaml", "data.rows=300", "data.window=24")]
    [InlineData("images.yaml", "data.examples=40", "model.layers[1].units=8", "model.layers[2].units=8", "batch.size=6")]
    public async Task WorkersChangeNoBit(string config, params string[] settings)
    {
        string[] all = [.. settings, "stop.epochs=100", "stop.steps=3"];
        TaskModel[] models = await Task.WhenAll(TrainAsync(config, 1, all), TrainAsync(config, 3, all), TrainAsync(config, 1, [.. all, "seed=2"]));
        Assert.True(models[0].Model.Parameters.SequenceEqual(models[1].Model.Parameters));
        Assert.False(models[0].Model.Parameters.SequenceEqual(models[2].Model.Parameters));
        Assert.Equal(models[0].Artefact.Sha256, models[2].Artefact.Sha256);
        foreach (TaskModel model in models)
        {
            model.Model.Dispose();
        }
    }

    /// <summary>A model of the ready config, trained for a little on a part of its data, predicts what it was trained for.</summary>
    [Theory]
    [InlineData("sentiment.yaml", 0.8, "the plot is dull , but the cast is charming .", "positive", "model.layers[0].units=16", "model.layers[2].units=16", "data.examples=1200", "stop.epochs=6", "optimizer.learningRate=0.01", "batch.size=16")]
    [InlineData("intent.yaml", 0.7, "play some jazz , no , wake me at seven", "alarm_set", "model.layers[0].units=16", "model.layers[2].units=16", "data.examples=900", "stop.epochs=6", "optimizer.learningRate=0.01", "batch.size=16")]
    [InlineData("tagging.yaml", 0.9, "Anna Chester works for Kalomi Bank in Preston .", "[PER Anna Chester]", "model.layers[0].units=16", "model.layers[1].units=16", "data.examples=600", "stop.epochs=6", "optimizer.learningRate=0.02", "batch.size=16")]
    public async Task ATrainedModelPredicts(string config, double accuracy, string input, string expected, params string[] settings)
    {
        TaskModel trained = await TrainAsync(config, 2, settings);
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        SequenceTask task = SequenceTask.Of(trained.Job.Data);
        TaskOutcome outcome = task.Conclude(trained, data, null, null);
        Assert.True(outcome.Figures[0].Value >= accuracy, outcome.Figures[0].Text);
        Prediction prediction = task.Predict(trained, new PredictionRequest(input, new GenerateConfig()));
        Assert.Contains(expected, prediction.Text ?? string.Join(' ', prediction.Tables[0].Rows[0]), StringComparison.Ordinal);
        Assert.Contains("none", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest(null, new GenerateConfig()))).Message);
        trained.Model.Dispose();
    }

    /// <summary>The right one of ten answers comes first far more often than words or luck would have it, and of given ones the right one.</summary>
    [Fact]
    public async Task AnswersAreRanked()
    {
        TaskModel trained = await TrainAsync("answer-selection.yaml", 2, s_answerSettings);
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        SequenceTask task = SequenceTask.Of(trained.Job.Data);
        TaskOutcome outcome = task.Conclude(trained, data, null, null);
        Assert.Equal(["testRecall1", "testMeanReciprocalRank"], outcome.Figures.Select(figure => figure.Key));
        Assert.Equal("10.0 %", outcome.Tables[0].Rows[2][1]); // a guess, of ten
        Assert.True(outcome.Figures[0].Value > 0.3, outcome.Figures[0].Text);
        Assert.True(task.RanksCandidates);
        string[] answers = ["that is three euros at the bakery .", "the library closes at six .", "", "the pool is behind the church ."];
        Prediction ranked = task.Predict(trained, new PredictionRequest("where can one go swimming here ?\n\nuntil when can i borrow a book ?\n", new GenerateConfig()) { Candidates = answers });
        Assert.Equal(["Answers to 'where can one go swimming here ?'", "Answers to 'until when can i borrow a book ?'"], ranked.Tables.Select(table => table.Title));
        Assert.Equal([answers[3], answers[1]], ranked.Tables.Select(table => table.Rows[0][0]));
        Assert.All(ranked.Tables, table => Assert.Equal(3, table.Rows.Count));
        Assert.Contains("answers to rank, found none", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest("x", new GenerateConfig()))).Message);
        Assert.Contains("a question, found none", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest(" ", new GenerateConfig()) { Candidates = answers })).Message);
        trained.Model.Dispose();
    }

    /// <summary>The next item is found more often than by what followed the last one, and recommended by name.</summary>
    [Fact]
    public async Task ItemsAreRecommended()
    {
        TaskModel trained = await TrainAsync("recommendation.yaml", 2, "data.examples=1500", "model.layers[0].units=24", "model.layers[2].units=32", "model.layers[3].rate=0.1", "stop.epochs=8", "optimizer.learningRate=0.01");
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        SequenceTask task = SequenceTask.Of(trained.Job.Data);
        TaskOutcome outcome = task.Conclude(trained, data, null, null);
        double[] recall = [.. outcome.Tables[0].Rows.Select(row => double.Parse(row[1].TrimEnd('%', ' '), System.Globalization.CultureInfo.InvariantCulture))];
        Assert.Equal(outcome.Figures[0].Value, recall[0] / 100, 1e-3);
        Assert.True(recall[0] > recall[1] && recall[1] > 4 * recall[3], string.Join(", ", recall));
        Prediction next = task.Predict(trained, new PredictionRequest("camping-1 camping-4", new GenerateConfig(), 5));
        Assert.Equal(5, next.Tables[0].Rows.Count);
        Assert.StartsWith("camping-", next.Tables[0].Rows[0][0], StringComparison.Ordinal);
        Assert.Equal(next.Tables[0].Rows, task.Predict(trained, new PredictionRequest(" camping-1, camping-4,", new GenerateConfig(), 5)).Tables[0].Rows);
        Assert.Contains("found 'campin-4'. Did you mean 'camping-4'", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest("camping-1 campin-4", new GenerateConfig()))).Message);
        Assert.Contains("none", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest(null, new GenerateConfig()))).Message);
        trained.Model.Dispose();
    }

    [Fact]
    public async Task RecordingsAreTold()
    {
        TaskModel trained = await TrainAsync(
            "spoken-words.yaml", 2, "data.examples=160", "data.bands=16", "data.hopMs=20", "model.layers[3].units=16", "model.layers[0].units=4", "optimizer.learningRate=0.01", "stop.epochs=8");
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(32, 1, 1, true, 1), Repository.Root, trained.Artefact);
        SequenceTask task = SequenceTask.Of(trained.Job.Data);
        Assert.True(task.Conclude(trained, data, null, null).Figures[0].Value > 0.5, "not even half of the words");
        string folder = Directory.CreateTempSubdirectory("clusterrnn-recordings").FullName;
        try
        {
            string path = Path.Combine(folder, "a.wav");
            File.WriteAllBytes(path, new WavFile(8000, new float[4000]).ToBytes());
            Prediction prediction = task.Predict(trained, new PredictionRequest(path, new GenerateConfig()));
            Assert.Equal("a.wav", prediction.Tables[0].Rows[0][0]);
            Assert.Contains(prediction.Tables[0].Rows[0][1], trained.Artefact.Labels!);
            File.WriteAllBytes(path, [1, 2, 3]);
            Assert.Contains("RIFF", Assert.Throws<DataException>(() => task.Predict(trained, new PredictionRequest(path, new GenerateConfig()))).Message);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
            trained.Model.Dispose();
        }
    }

    /// <summary>Sound and pictures come out as files that are whole, the same for the same seed.</summary>
    [Theory]
    [InlineData("audio.yaml", 40, "generated.wav", "data.seconds=2", "model.layers[1].units=8", "stop.epochs=1", "batch.size=6")]
    [InlineData("images.yaml", 3, "generated.png", "data.examples=40", "model.layers[1].units=8", "model.layers[2].units=8", "stop.epochs=1", "batch.size=6")]
    public async Task WhatIsWrittenIsAFile(string config, int length, string name, params string[] settings)
    {
        TaskModel trained = await TrainAsync(config, 2, settings);
        SequenceTask task = SequenceTask.Of(trained.Job.Data);
        Dataset data = Dataset.Open(trained.Job.Data, new Batching(6, 20, 20, true, 1), Repository.Root, trained.Artefact);
        TaskOutcome outcome = task.Conclude(trained, data, 1.0, null);
        Assert.Equal("unigramEntropy", outcome.Figures[1].Key);
        PredictedFile file = Written(1), other = Written(2);
        Assert.Equal(name, file.Name);
        Assert.Equal(file.Bytes, Written(1).Bytes);
        Assert.NotEqual(file.Bytes, other.Bytes);
        if (name.EndsWith(".wav", StringComparison.Ordinal))
        {
            Assert.Equal(length, WavFile.Parse(name, file.Bytes).Samples.Length);
        }
        else
        {
            Assert.Equal((30, 38), (PngFile.Parse(name, file.Bytes).Width, PngFile.Parse(name, file.Bytes).Height)); // two by two, with gaps
        }

        trained.Model.Dispose();

        PredictedFile Written(ulong seed) => task.Predict(trained, new PredictionRequest(null, new GenerateConfig { Seed = seed }, length)).Files[0];
    }

    /// <summary>Pictures of IDX files are told by each ready config for them, whatever the number of workers; the data's seed, which parts them, changes the model.</summary>
    [Theory]
    [InlineData("digits.yaml", "model.layers[0].units=8")]
    [InlineData("digits-convolution.yaml", "model.layers[3].units=8")]
    [InlineData("digits-mlp.yaml", "model.layers[0].steps=6", "model.layers[1].units=12")]
    public async Task PicturesOfFilesAreTold(string config, params string[] settings)
    {
        string folder = Directory.CreateTempSubdirectory("clusterrnn-pictures").FullName;
        try
        {
            byte[] pixels = new byte[240 * 36], labels = new byte[240]; // class c: row c is bright
            for (int i = 0; i < labels.Length; i++)
            {
                labels[i] = (byte)(i % 4);
                for (int x = 0; x < 6; x++)
                {
                    pixels[(i * 36) + (labels[i] * 6) + x] = (byte)(255 - (i % 97));
                }
            }

            string path = Path.Combine(folder, "x-images-idx3-ubyte"), picture = Path.Combine(folder, "two.png");
            File.WriteAllBytes(path, [0, 0, 8, 3, 0, 0, 0, 240, 0, 0, 0, 6, 0, 0, 0, 6, .. pixels]);
            File.WriteAllBytes(Path.Combine(folder, "x-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 240, .. labels]);
            File.WriteAllBytes(picture, new PngFile(6, 6, pixels[(2 * 36)..(3 * 36)]).ToBytes());
            settings = [.. settings, $"data.path={path}", "data.classes=4", "data.validation=0.1", "data.test=0.1", "batch.size=10", "optimizer.learningRate=0.01", "stop.epochs=6"];
            TaskModel[] models = await Task.WhenAll(TrainAsync(config, 1, settings), TrainAsync(config, 3, settings), TrainAsync(config, 3, [.. settings, "data.seed=2"]));
            Assert.True(models[0].Model.Parameters.SequenceEqual(models[1].Model.Parameters));
            Assert.False(models[0].Model.Parameters.SequenceEqual(models[2].Model.Parameters));
            SequenceTask task = SequenceTask.Of(models[0].Job.Data);
            TaskOutcome outcome = task.Conclude(models[0], Dataset.Open(models[0].Job.Data, new Batching(10, 1, 1, true, 1), folder), null, null);
            Assert.True(outcome.Figures[0].Value > 0.9, outcome.Figures[0].Text);
            Assert.Equal(["0", "1", "2", "3"], outcome.Tables[0].Rows.Select(row => row[0]));
            Assert.Equal(["two.png", "2"], task.Predict(models[0], new PredictionRequest(picture, new GenerateConfig())).Tables[0].Rows[0].Take(2));
            foreach (TaskModel model in models)
            {
                model.Model.Dispose();
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    internal static async Task<TaskModel> TrainAsync(string config, int workers, params string[] settings)
    {
        JobConfig job = ConfigLoader.Load<JobConfig>(Path.Combine(Repository.Root, "configs", config), settings.Select(ConfigAssignment.Parse)).Value;
        ResolvedJob resolved = ResolvedJob.Open(job, Repository.Root);
        using RunResult result = await InProcessEngine.RunAsync(resolved.Job, new EngineOptions { Workers = workers }, null, TestContext.Current.CancellationToken);
        return new TaskModel(resolved.Config, ModelOf(resolved, result), resolved.Data.Artefact, Repository.Root);
    }

    private static unsafe TrainedModel ModelOf(ResolvedJob job, RunResult result) =>
        new(job.Job.Model, new ReadOnlySpan<float>(result.State.Parameters, checked((int)job.Job.Model.Layout.Length)));
}
