// The C# API: a stack of layers that is trained and used from a program, in the manner of Keras. It makes the same job a
// config file makes, so the same layers, data and seed give the same model, bit for bit.
using System.Runtime.InteropServices;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Schedules;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Node.Api;

/// <summary>What a training came to.</summary>
/// <param name="ModelSha256">The hash of the parameters.</param>
/// <param name="TrainLosses">The mean training loss of each epoch.</param>
/// <param name="ValidationLosses">The validation loss after each epoch; empty without validation data.</param>
/// <param name="Steps">Steps committed.</param>
public sealed record History(string ModelSha256, IReadOnlyList<double> TrainLosses, IReadOnlyList<double> ValidationLosses, long Steps);

/// <summary>A model as a stack of layers.</summary>
/// <param name="layers">The layers, from the input to the output.</param>
public sealed class Sequential(params IReadOnlyList<LayerConfig> layers) : IDisposable
{
    private TaskModel? trained;

    /// <summary>What training makes small; null takes cross-entropy for tokens, else mean squared error.</summary>
    public LossKind? Loss { get; init; }

    /// <summary>The optimizer.</summary>
    public OptimizerConfig Optimizer { get; init; } = new AdamConfig();

    /// <summary>The course of the learning rate.</summary>
    public ScheduleConfig Schedule { get; init; } = new ConstantScheduleConfig();

    /// <summary>Limits on the gradient.</summary>
    public ClipConfig Clip { get; init; } = new();

    /// <summary>The seed of everything random.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Workers that share each batch; their number changes no bit.</summary>
    public int Workers { get; init; } = 1;

    /// <summary>Parameter servers; their number changes no bit.</summary>
    public int Servers { get; init; } = 1;

    /// <summary>What runs the training.</summary>
    public IEngine Engine { get; init; } = new InProcessEngine();

    /// <summary>The trained model with its parameters.</summary>
    /// <exception cref="InvalidOperationException">It was not trained yet.</exception>
    public TrainedModel Trained => Require().Model;

    /// <summary>Trains on the data a <c>data:</c> section of a config would name.</summary>
    /// <param name="data">Files or a generator.</param>
    /// <param name="epochs">Passes over the data.</param>
    /// <param name="batchSize">Rows of the global batch.</param>
    /// <param name="span">Time steps between updates, for text.</param>
    /// <param name="progress">Told about each committed step, or null.</param>
    /// <param name="cancellation">Ends the training after the step under way.</param>
    /// <exception cref="DataException">The data can't be used as asked.</exception>
    /// <exception cref="ModelException">The layers don't fit each other or the data.</exception>
    /// <exception cref="TrainingException">The training failed.</exception>
    public Task<History> FitAsync(
        DataConfig data, int epochs = 1, int batchSize = 32, int span = 64, IProgress<StepReport>? progress = null, CancellationToken cancellation = default) =>
        RunAsync(ResolvedJob.Open(ConfigOf(data, epochs, batchSize, span), Directory.GetCurrentDirectory()), progress, cancellation);

    /// <summary>Trains on examples in memory, shuffled anew in each epoch.</summary>
    /// <param name="inputs">[examples, time, features].</param>
    /// <param name="targets">[examples, outputs], the targets at the last time step.</param>
    /// <param name="epochs">Passes over the data.</param>
    /// <param name="batchSize">Rows of the global batch.</param>
    /// <param name="progress">Told about each committed step, or null.</param>
    /// <param name="cancellation">Ends the training after the step under way.</param>
    /// <exception cref="ArgumentException">There is no example, or not a target for each.</exception>
    /// <exception cref="ModelException">The layers don't fit each other or the data.</exception>
    /// <exception cref="TrainingException">The training failed.</exception>
    public Task<History> FitAsync(
        float[,,] inputs, float[,] targets, int epochs = 1, int batchSize = 32, IProgress<StepReport>? progress = null, CancellationToken cancellation = default)
    {
        var examples = new ArrayExamples(inputs, targets);
        var data = new Dataset
        {
            Config = new ArrayData(),
            Training = new WindowSource(examples, batchSize, Seed, shuffled: true),
            Sha256 = examples.Sha256,
            FeatureWidth = examples.FeatureWidth,
            OutputWidth = examples.TargetWidth,
            Artefact = new DataArtefact(null, null),
        };
        return RunAsync(ResolvedJob.Of(ConfigOf(data.Config, epochs, batchSize, examples.Time), data, Directory.GetCurrentDirectory()), progress, cancellation);
    }

    /// <summary>Predicts from values: the outputs at each example's last time step.</summary>
    /// <param name="inputs">[examples, time, features].</param>
    /// <returns>[examples, outputs]; the expected values where the model gives distributions.</returns>
    /// <exception cref="InvalidOperationException">The model was not trained yet.</exception>
    /// <exception cref="ArgumentException">The inputs have another width than the model's.</exception>
    public unsafe float[,] Predict(float[,,] inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        TrainedModel model = Require().Model;
        int count = inputs.GetLength(0), time = inputs.GetLength(1), features = inputs.GetLength(2), outputs = model.Model.TargetWidth, width = model.Model.OutputWidth;
        if (model.Model.Input != InputKind.Features || features != model.Model.InputWidth)
        {
            throw new ArgumentException($"The model reads {model.Model.InputWidth} values a time step, the inputs have {features}.", nameof(inputs));
        }

        float[,] predicted = new float[count, outputs];
        if (count == 0)
        {
            return predicted;
        }

        using ModelExecutor executor = model.CreateExecutor(time, 1, count);
        using var batch = new SpanBatch(time, count, features, outputs) { Time = time, TargetTime = 1, Rows = count };
        for (int row = 0; row < count; row++)
        {
            batch.Lengths[row] = time;
            batch.RowIds[row] = row;
            for (int t = 0; t < time; t++)
            {
                for (int i = 0; i < features; i++)
                {
                    batch.Features[(((long)t * count) + row) * features + i] = inputs[row, t, i];
                }
            }
        }

        float[] given = new float[count * width];
        fixed (float* into = given)
        {
            executor.Predict(batch, null, null, into);
        }

        for (int row = 0; row < count; row++)
        {
            Span<float> values = MemoryMarshal.CreateSpan(ref predicted[row, 0], outputs);
            ReadOnlySpan<float> output = given.AsSpan(row * width, width);
            if (GaussianMixture.Of(model.Model) is { } mixture)
            {
                mixture.Mean(output, values);
            }
            else
            {
                output.CopyTo(values);
            }
        }

        return predicted;
    }

    /// <summary>Predicts as <c>clusterrnn predict</c> does: goes on with a text, or forecasts a series.</summary>
    /// <param name="input">A prompt, or a CSV file; null for an empty prompt, or the series that was trained on.</param>
    /// <param name="steps">Tokens, or rows ahead; null for the default.</param>
    /// <exception cref="InvalidOperationException">The model was not trained yet.</exception>
    /// <exception cref="DataException">The input can't be read or doesn't fit the model.</exception>
    public Prediction Predict(string? input = null, int? steps = null)
    {
        TaskModel model = Require();
        return SequenceTask.Of(model.Job.Data).Predict(model, new PredictionRequest(input, model.Job.Generate, steps));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        trained?.Model.Dispose();
        trained = null;
    }

    private TaskModel Require() => trained ?? throw new InvalidOperationException("The model has no parameters yet: call FitAsync first.");

    private JobConfig ConfigOf(DataConfig data, int epochs, int batchSize, int span) => new()
    {
        Seed = Seed,
        Data = data,
        Model = new ModelConfig { Layers = layers, Loss = Loss },
        Batch = new BatchConfig { Size = batchSize, Span = span },
        Optimizer = Optimizer,
        Schedule = Schedule,
        Clip = Clip,
        Stop = new StopConfig { Epochs = epochs },
    };

    private async Task<History> RunAsync(ResolvedJob job, IProgress<StepReport>? progress, CancellationToken cancellation)
    {
        var history = new TrainingHistory();
        EngineResult result = await Engine.RunAsync(
            new EngineRequest { Job = job, Workers = Workers, Servers = Servers, Observer = new RunObservers(history, new Reporter(progress)) }, cancellation).ConfigureAwait(false);
        Dispose();
        trained = new TaskModel(job.Config, new TrainedModel(job.Job.Model, result.Parameters), job.Data.Artefact, job.BaseFolder);
        return new History(
            result.ModelSha256, history.EpochLosses(job.Job.Train.StepsPerPass), [.. history.Evaluations.Select(evaluation => evaluation.Loss)], result.Steps);
    }

    private sealed class Reporter(IProgress<StepReport>? progress) : IRunObserver
    {
        public void OnStep(StepReport step) => progress?.Report(step);
    }
}
