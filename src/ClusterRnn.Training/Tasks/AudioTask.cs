// Sound written sample by sample: a model of the next of 256 levels (8-bit mu-law), drawn from again and again. The loss stands
// beside the entropy of the levels by themselves; what is written is a WAV file.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Tasks;

/// <summary>A model of sound.</summary>
public sealed class AudioTask : SequenceTask
{
    private const int ChartSamples = 400;
    private const double DefaultSeconds = 2;
    private const int PromptSamples = 4000; // of a recording to go on from: what the state can know of it

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        float[] samples = Write(trained, [MuLaw.Silence], ChartSamples, trained.Job.Generate, default);
        return new TaskOutcome(
            NextFigures(data, trainLoss, validationLoss, "sample"),
            [],
            [new Chart("The first samples the model writes", "sample", "level", [new ChartLine("written", [.. samples.Select(sample => (double)sample)])])],
            null);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        var config = (AudioData)trained.Job.Data;
        int[] prompt = request.Input is { } path ? AudioSource.TokensOf(path, Corpus.ReadFile(FileSearch.FullPath(path, Environment.CurrentDirectory)), config.SampleRate) : [MuLaw.Silence];
        int length = request.Steps ?? (int)(DefaultSeconds * config.SampleRate);
        float[] samples = Write(trained, prompt.AsSpan(Math.Max(0, prompt.Length - PromptSamples)), length, request.Generate, cancellation);
        double loudest = 0, squares = 0;
        foreach (float sample in samples)
        {
            loudest = Math.Max(loudest, Math.Abs(sample));
            squares += (double)sample * sample;
        }

        return new Prediction(
            null,
            [
                new FigureTable("Sound", ["what", "value"],
                [
                    ["samples", length.ToString(CultureInfo.InvariantCulture)], ["seconds", Show(length / (double)config.SampleRate)],
                    ["loudest", Show(loudest)], ["root mean square", Show(Math.Sqrt(squares / length))],
                ]),
            ],
            [])
        { Files = [new PredictedFile("generated.wav", new WavFile(config.SampleRate, samples).ToBytes())] };
    }

    /// <summary>The loss of predicting what comes next, beside the entropy of the levels by themselves.</summary>
    internal static List<Figure> NextFigures(Dataset data, double? trainLoss, double? validationLoss, string unit)
    {
        var figures = new List<Figure>();
        if ((validationLoss ?? trainLoss) is double nats)
        {
            figures.Add(Entropy("loss", validationLoss is null ? "Training loss" : "Validation loss", nats, null));
        }

        if (data.UnigramEntropy is double unigram)
        {
            figures.Add(Entropy("unigramEntropy", "Unigram entropy", unigram, "knowing only how often each level occurs"));
        }

        return figures;

        Figure Entropy(string key, string label, double value, string? note) =>
            new(key, label, value, string.Create(CultureInfo.InvariantCulture, $"{value:F4} nats = {value / ScalarMath.Log(2.0):F4} bits per {unit}"), note);
    }

    private static float[] Write(TaskModel trained, ReadOnlySpan<int> prompt, int length, GenerateConfig generate, CancellationToken cancellation)
    {
        var sampler = new TokenSampler(MuLaw.Classes, generate.Temperature, generate.TopK, generate.TopP, generate.Seed ?? trained.Job.Seed);
        BatchConfig batch = trained.Job.Batch;
        return Array.ConvertAll(TextGenerator.Write(trained.Model, prompt, length, 1, sampler, null, cancellation, batch.LookBack ?? batch.Span)[0], MuLaw.Decode);
    }
}
