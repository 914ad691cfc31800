// What each kind of layer is held to, as a matrix: finite differences; outputs and named gradients of PyTorch; padding, groups of
// shards and used buffers; the full pass's bits where it goes on step by step; one answer from any cluster and, over the same jobs
// (tests/ClusterRnn.Conformance), any instruction set. The tests themselves run over lists of models and jobs; here a kind, or one
// of its options, that stands in none of them is found.
using System.Reflection;
using System.Text.Json.Serialization;
using ClusterRnn.Models;
using ClusterRnn.Tests.Golden;
using ClusterRnn.Tests.Node;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Models;

public sealed class LayerMatrixTests
{
    private const string Differences = "finite differences", PyTorch = "PyTorch", Padding = "padding and groups", Steps = "step by step", Cluster = "one answer";

    // What can't be, and why.
    private static readonly Dictionary<(string Kind, string Column), string> Exceptions = new()
    {
        [("dropout", Differences)] = "evaluation drops nothing; RecurrentOptionsTests.AVariationalMaskLastsThroughTheWindow knows its gradient",
        [("dropout", PyTorch)] = "draws other numbers",
        [("one-hot", PyTorch)] = "computes nothing",
        [("convolution2d", Steps)] = "a recurrent model's windows are not pictures",
        [("max-pooling", Steps)] = "reads ahead",
        [("global-pooling", Steps)] = "returns one step",
        [("flatten", Steps)] = "returns one step",
    };

    // Values of options that no model needs to have, and why.
    private static readonly Dictionary<string, string> Unneeded = new()
    {
        ["convolution1d.Activation=Softmax"] = "is refused",
        ["convolution2d.Activation=Softmax"] = "is refused",
        ["attention.Causal=True"] = "as left out",
        ["transformer.Causal=True"] = "as left out",
    };

    private static IReadOnlyDictionary<string, Type> Kinds { get; } =
        typeof(LayerConfig).GetCustomAttributes<JsonDerivedTypeAttribute>().ToDictionary(kind => (string)kind.TypeDiscriminator!, kind => kind.DerivedType);

    public static TheoryData<string> Names => [.. Kinds.Keys];

    private static IReadOnlyDictionary<string, IReadOnlyList<LayerConfig>> Columns { get; } = new Dictionary<string, IReadOnlyList<LayerConfig>>
    {
        [Differences] = LayersOf(FiniteDifferenceTests.Names.Select(name => name.Data).Where(TestModels.Everything.ContainsKey)),
        [PyTorch] = [.. GoldenFiles.Layers.Values.SelectMany(golden => LayersOf(golden.Model))],
        [Padding] = LayersOf(TestModels.Everything.Keys),
        [Steps] = LayersOf(TestModels.Recurrent.Concat(TestModels.Continuing).Concat(TestModels.PairNames).Select(name => name.Data)),
        [Cluster] = [.. LayerJobs.All.Values.SelectMany(config => LayersOf(ConfigLoader.Parse<JobConfig>(config, "test").Value.Model))],
    };

    [Theory, MemberData(nameof(Names))]
    public void AKindOfLayerIsInEveryColumn(string kind)
    {
        string[] exceptions = [.. Exceptions.Keys.Where(exception => exception.Kind == kind).Select(exception => exception.Column)];
        Assert.Equal(exceptions.Order(), MissingOf(Kinds[kind]).Order());
    }

    /// <summary>Each value of a layer's options that says yes or no, or one of several, stands in a model of those that gradients, padding and groups are tested with.</summary>
    [Theory, MemberData(nameof(Names))]
    public void AnOptionIsInAModel(string kind)
    {
        var missing = new List<string>();
        foreach (PropertyInfo option in Kinds[kind].GetProperties())
        {
            Type type = Nullable.GetUnderlyingType(option.PropertyType) ?? option.PropertyType;
            if (type != typeof(InitializerKind) && (type.IsEnum || type == typeof(bool)))
            {
                object[] values = type.IsEnum ? [.. Enum.GetValues(type).Cast<object>()] : [true, false];
                object?[] used = [.. Columns[Padding].Where(layer => layer.GetType() == Kinds[kind]).Select(option.GetValue)];
                missing.AddRange(values.Where(value => !used.Contains(value)).Select(value => $"{kind}.{option.Name}={value}"));
            }
        }

        Assert.Equal(Unneeded.Keys.Where(value => value.StartsWith(kind + ".", StringComparison.Ordinal)), missing);
    }

    /// <summary>The matrix notices a kind that is nowhere.</summary>
    [Fact]
    public void AKindThatIsNowhereIsFound()
    {
        Assert.Equal(Columns.Keys, MissingOf(typeof(Unknown)));
        Assert.Empty(MissingOf(typeof(LstmConfig)));
    }

    // The columns in which there is no layer of a kind.
    private static string[] MissingOf(Type kind) => [.. Columns.Where(column => !column.Value.Any(layer => layer.GetType() == kind)).Select(column => column.Key)];

    private static LayerConfig[] LayersOf(IEnumerable<string> models) => [.. models.SelectMany(name => LayersOf(TestModels.Everything[name]().Config))];

    private static IEnumerable<LayerConfig> LayersOf(ModelConfig config) => [.. config.Layers, .. config.Encoder ?? [], .. config.Decoder ?? []];

    private sealed record Unknown : LayerConfig;
}
