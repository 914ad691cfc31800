using System.Text;
using System.Text.Json;

namespace ClusterRnn.Training.Runs;

/// <summary>The course of a run as metrics.jsonl tells it.</summary>
/// <param name="Steps">The steps, ascending.</param>
/// <param name="Evaluations">The evaluations, ascending.</param>
public sealed record RunHistory(IReadOnlyList<StepReport> Steps, IReadOnlyList<EvaluationReport> Evaluations);

/// <summary>
/// Writes metrics.jsonl: <c>{"step":1,"epoch":0.01,"loss":3.2,"learningRate":0.002,"gradientNorm":0.8,"tokens":2048,"seconds":0.1}</c>
/// for a step and <c>{"step":200,"validationLoss":1.9,"metrics":{...},"best":true,"seconds":9.5}</c> for an evaluation.
/// </summary>
public sealed class MetricsLog : IRunObserver, IDisposable
{
    private static readonly JsonWriterOptions Plain = new() { SkipValidation = true };
    private readonly string _path;
    private FileStream _file;
    private readonly MemoryStream _line = new();
    private readonly Utf8JsonWriter _json;
    private long _evaluated = -1; // the step it goes on from, if its evaluation is in the file
    private TimeSpan _flushed;

    /// <summary>Opens <paramref name="path"/> to go on from <paramref name="step"/>: what lies after it is cut off.</summary>
    public MetricsLog(string path, long step)
    {
        _path = path;
        _file = Open(step);
        _json = new Utf8JsonWriter(_line, Plain);
    }

    private FileStream Open(long step)
    {
        if (step == 0)
        {
            _evaluated = -1;
            return new FileStream(_path, FileMode.Create, FileAccess.Write, FileShare.Read);
        }

        _evaluated = CutBack(_path, step) ? step : -1;
        return new FileStream(_path, FileMode.Append, FileAccess.Write, FileShare.Read);
    }

    /// <inheritdoc/>
    public void OnStep(StepReport step)
    {
        _json.WriteStartObject();
        _json.WriteNumber("step", step.Step);
        Number("epoch", Math.Round(step.Epoch, 6));
        Number("loss", step.Loss);
        Number("learningRate", step.LearningRate);
        if (step.GradientNorm is { } norm)
        {
            Number("gradientNorm", norm);
        }

        _json.WriteNumber("tokens", step.Tokens);
        Number("seconds", Math.Round(step.Elapsed.TotalSeconds, 4));
        EndLine(step.Elapsed, always: false);
    }

    /// <inheritdoc/>
    public void OnEvaluation(EvaluationReport evaluation)
    {
        // The end of a training is evaluated outside its schedule; whoever resumes there evaluates it again, to the same bits.
        if (evaluation.Step == _evaluated)
        {
            return;
        }

        _json.WriteStartObject();
        _json.WriteNumber("step", evaluation.Step);
        Number("validationLoss", evaluation.Loss);
        _json.WriteStartObject("metrics");
        foreach ((string name, double value) in evaluation.Metrics)
        {
            Number(name, value);
        }

        _json.WriteEndObject();
        _json.WriteBoolean("best", evaluation.IsBest);
        Number("seconds", Math.Round(evaluation.Elapsed.TotalSeconds, 4));
        EndLine(evaluation.Elapsed, always: true);
    }

    /// <inheritdoc/>
    public void OnRollback(long step)
    {
        _file.Dispose();
        _file = Open(step);
    }

    /// <inheritdoc/>
    public void OnSaving(long step) => _file.Flush(flushToDisk: true);

    /// <inheritdoc/>
    public void Dispose()
    {
        _json.Dispose();
        _file.Dispose();
    }

    /// <summary>Reads a metrics file; a line that a crash tore is left out, and of a step computed again the last line counts.</summary>
    public static RunHistory Read(string path)
    {
        var steps = new SortedDictionary<long, StepReport>();
        var evaluations = new SortedDictionary<long, EvaluationReport>();
        foreach (string line in File.Exists(path) ? File.ReadLines(path) : [])
        {
            if (Parse(line) is not { } document)
            {
                continue;
            }

            using (document)
            {
                JsonElement json = document.RootElement;
                long step = json.GetProperty("step").GetInt64();
                TimeSpan elapsed = TimeSpan.FromSeconds(Double(json, "seconds") is var s && double.IsFinite(s) ? s : 0);
                if (json.TryGetProperty("validationLoss", out _))
                {
                    var metrics = json.TryGetProperty("metrics", out JsonElement m) ? m.EnumerateObject().ToDictionary(p => p.Name, p => Finite(p.Value)) : [];
                    evaluations[step] = new EvaluationReport(step, Double(json, "validationLoss"), metrics, json.TryGetProperty("best", out JsonElement best) && best.GetBoolean(), elapsed);
                }
                else
                {
                    double? norm = json.TryGetProperty("gradientNorm", out JsonElement n) ? Finite(n) : null;
                    long tokens = json.TryGetProperty("tokens", out JsonElement t) ? t.GetInt64() : 0;
                    steps[step] = new StepReport(step, Double(json, "epoch"), Double(json, "loss"), Double(json, "learningRate"), norm, tokens, elapsed);
                }
            }
        }

        return new RunHistory([.. steps.Values], [.. evaluations.Values]);
    }

    /// <summary>Drops every line after <paramref name="step"/>, and a torn one.</summary>
    /// <returns>Whether an evaluation at <paramref name="step"/> is among those that are left.</returns>
    public static bool CutBack(string path, long step)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        bool isEvaluated = false;

        var kept = new StringBuilder();
        foreach (string line in File.ReadLines(path))
        {
            using JsonDocument? document = Parse(line);
            if (document is not null && document.RootElement.GetProperty("step").GetInt64() <= step)
            {
                kept.Append(line).Append('\n');
                isEvaluated |= document.RootElement.GetProperty("step").GetInt64() == step && document.RootElement.TryGetProperty("validationLoss", out _);
            }
        }

        // A crash here must not lose the history: written beside, then renamed.
        string temporary = path + ".new";
        File.WriteAllText(temporary, kept.ToString());
        File.Move(temporary, path, overwrite: true);
        return isEvaluated;
    }

    private static JsonDocument? Parse(string line)
    {
        try
        {
            var document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("step", out JsonElement step) && step.TryGetInt64(out _))
            {
                return document;
            }

            document.Dispose();
            return null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static double Double(JsonElement json, string name) => json.TryGetProperty(name, out JsonElement value) ? Finite(value) : double.NaN;

    private static double Finite(JsonElement value) => value.ValueKind == JsonValueKind.Number ? value.GetDouble() : double.NaN;

    // JSON has no NaN; null stands for it.
    private void Number(string name, double value)
    {
        if (double.IsFinite(value))
        {
            _json.WriteNumber(name, value);
        }
        else
        {
            _json.WriteNull(name);
        }
    }

    private void EndLine(TimeSpan elapsed, bool always)
    {
        _json.WriteEndObject();
        _json.Flush();
        _line.WriteByte((byte)'\n');
        _line.Position = 0;
        _line.CopyTo(_file);
        _line.SetLength(0);
        _json.Reset(_line);
        // Whoever tails the file sees it move; a write a step would cost small models time.
        if (always || elapsed - _flushed > TimeSpan.FromSeconds(0.5))
        {
            _flushed = elapsed;
            _file.Flush();
        }
    }
}
