// The cases of layers.json and training.json, as make_golden.py wrote them, and of attention.json,
// convolution.json, density.json, layer_norm.json and pairs.json, as make_attention_golden.py and its like did.
using System.Text.Json;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Golden;

internal sealed record GoldenTensor(int[] Shape, double[] Values);

internal sealed record GoldenCase(
    ModelConfig Model,
    int Time,
    int Rows,
    int TargetTime,
    int OutputWidth,
    int[] Lengths,
    int[]? Tokens,
    int Vocabulary,
    double[]? Features,
    int FeatureWidth,
    int[]? TargetTokens,
    double[]? TargetValues,
    double[] StateIn,
    double[] StateOut,
    Dictionary<string, GoldenTensor> Parameters,
    double[] Outputs,
    double Loss,
    Dictionary<string, GoldenTensor> Gradients,
    bool Reset = false);

internal sealed record GoldenTraining(
    ModelConfig Model,
    int Steps,
    int Time,
    int Rows,
    int Vocabulary,
    double LearningRate,
    double ClipNorm,
    int[] Stream,
    Dictionary<string, GoldenTensor> Parameters,
    double[] Losses,
    double[] GradientNorms);

internal static class GoldenFiles
{
    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web);

    public static IReadOnlyDictionary<string, GoldenCase> Layers { get; } =
        new[] { "layers", "attention", "convolution", "density", "layer_norm", "pairs" }.SelectMany(name => Read<GoldenCase>($"{name}.json")).ToDictionary();

    public static IReadOnlyDictionary<string, GoldenTraining> Training { get; } = Read<GoldenTraining>("training.json");

    private static Dictionary<string, T> Read<T>(string name)
    {
        using FileStream file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Golden", name));
        return JsonSerializer.Deserialize<Dictionary<string, T>>(file, Options)!;
    }
}
