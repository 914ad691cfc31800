// Configs by chance, from the schema itself: every key of every record, every variant of every list, so that a new layer or
// source of data is drawn as soon as it has a name. Numbers are small, for what breaks breaks at the edges; what can't be guessed
// from the schema (that a model of tokens begins with an embedding) is said here, and some draws leave it out all the same.
using System.Text.Json;
using System.Text.Json.Nodes;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Tests.Training;

/// <summary>A config drawn from a seed. Most can be trained; the others must be refused in words.</summary>
internal sealed class DrawnJob
{
    // Data without files: the others have nothing to generate.
    private static readonly string[] sources = [.. ConfigShape.Of(typeof(DataConfig)).Variants.Keys.Except(["text", "csv"])];
    private static readonly string[] readers = ["rnn", "lstm", "gru", "elman", "convolution1d", "convolution2d", "max-pooling", "attention", "transformer", "positions", "layer-norm", "dropout", "dense"];

    // How much data there is, whatever its kind calls it; the defaults are for trainings.
    private static readonly Dictionary<string, (int Least, int Most)> sizes = new()
    {
        ["examples"] = (10, 40),
        ["rows"] = (10, 90),
        ["characters"] = (100, 900),
        ["seconds"] = (1, 1),
        ["sampleRate"] = (1000, 4000),
        ["maximumSeconds"] = (1, 2),
        ["length"] = (1, 12),
        ["delay"] = (1, 9),
        ["window"] = (1, 12),
        ["units"] = (1, 20),
        ["steps"] = (1, 14),
        ["wrong"] = (1, 3),
        ["candidates"] = (2, 5),
        ["windowMs"] = (2, 60),
        ["hopMs"] = (2, 60),
        ["bands"] = (4, 12),
        ["maximumLength"] = (1, 30),
        ["outputs"] = (1, 12),
    };

    // Text and lists that only some data has.
    private static readonly string[] left = ["path", "labels", "testPath", "testLabels", "validationPath", "validationTarget", "target", "testTarget", "testFiles", "transcripts", "anomalies", "separator", "name", "features"];
    private static readonly JsonSerializerOptions indented = new() { WriteIndented = true };
    private readonly Random random;

    /// <summary>Draws a config.</summary>
    /// <param name="seed">What it is drawn from.</param>
    public DrawnJob(int seed)
    {
        random = new Random(seed);
        JsonObject data = Variant(typeof(DataConfig), sources[random.Next(sources.Length)]);
        var config = new JsonObject
        {
            ["seed"] = random.Next(1000),
            ["data"] = data,
            ["model"] = Model((string)data["source"]!),
            ["batch"] = Batch(),
            ["optimizer"] = Optimizer(),
            ["schedule"] = Some(0.3) ? Variant(typeof(ScheduleConfig)) : new JsonObject(),
            ["stop"] = new JsonObject { ["steps"] = 2 },
            ["evaluate"] = new JsonObject { ["every"] = random.Next(3), ["test"] = Some(0.5) },
            ["generate"] = new JsonObject { ["length"] = random.Next(6), ["maximumLength"] = 1 + random.Next(6), ["beam"] = 1 + random.Next(3), ["topK"] = random.Next(3), ["temperature"] = random.Next(3) },
        };
        if (Some(0.3))
        {
            config["clip"] = new JsonObject { [Some(0.5) ? "norm" : "value"] = Real(0.001, 2) };
        }

        if (Some(0.2))
        {
            config["regularization"] = new JsonObject { ["l1"] = Real(0, 0.1), ["l2"] = Real(0, 0.1) };
        }

        if (Some(0.2))
        {
            config["accumulate"] = 1 + random.Next(3);
        }

        if (Some(0.15))
        {
            config["cluster"] = new JsonObject { ["recompute"] = true };
            if (Some(0.7))
            {
                config["cluster"]!["recomputeEvery"] = 1 + random.Next(6);
            }
        }

        Yaml = config.ToJsonString(indented);
    }

    /// <summary>The config as a file has it, to be replayed.</summary>
    public string Yaml { get; } // JSON is YAML

    private bool Some(double share) => random.NextDouble() < share;

    private double Real(double least, double most) => Math.Round(least + ((most - least) * random.NextDouble()), 3);

    // Often 0, seldom much.
    private int Small() => Some(0.3) ? 0 : Some(0.7) ? random.Next(1, 4) : random.Next(4, 12);

    private JsonObject Batch()
    {
        int size = 1 + (Some(0.5) ? random.Next(4) : random.Next(13));
        var batch = new JsonObject { ["size"] = size, ["span"] = 1 + random.Next(9), ["carryState"] = Some(0.6), ["buckets"] = Some(0.7) };
        if (Some(0.3))
        {
            batch["lookBack"] = (int)batch["span"]! + Small();
        }

        if (Some(0.4))
        {
            batch["shards"] = 1 + random.Next(9);
        }

        return batch;
    }

    private JsonObject Optimizer()
    {
        JsonObject optimizer = Variant(typeof(OptimizerConfig));
        optimizer["learningRate"] = Real(0.0, 0.05);
        optimizer["weightDecay"] = Some(0.7) ? 0.0 : Real(0, 0.1);
        return optimizer;
    }

    private JsonObject Model(string source)
    {
        bool isRecording = source is "spoken-words" or "speech", isPicture = source is "digits" or "digit-strings";
        bool isSeries = typeof(SeriesData).IsAssignableFrom(ConfigShape.Of(typeof(DataConfig)).Variants[source].Type);
        bool readsValues = isRecording || isPicture || isSeries || source is "adding";
        var model = new JsonObject();
        if (source == "translation" ? Some(0.97) : Some(0.01))
        {
            model["encoder"] = Layers(readsTokens: true, random.Next(1, 3), ["rnn", "lstm", "gru", "gru", "transformer", "positions", "dense", "dropout", "layer-norm"], last: null);
            bool attends = Some(0.5);
            JsonArray decoder = Layers(readsTokens: true, random.Next(1, 3), attends ? ["transformer", "positions", "dropout"] : ["rnn", "lstm", "gru", "cross-attention", "dropout", "dense"], last: null);
            if (!attends && Some(0.5))
            {
                decoder.Add(Variant(typeof(LayerConfig), "cross-attention"));
            }

            decoder.Add(new JsonObject { ["type"] = "dense" });
            model["decoder"] = decoder;
            if (Some(0.4))
            {
                model["teacherForcing"] = new JsonObject { ["course"] = Some(0.5) ? "constant" : "linear", ["ratio"] = Real(0, 1), ["steps"] = 1 + random.Next(4) };
            }
        }
        else
        {
            bool givesOne = !isSeries || Some(0.6);
            model["layers"] = Layers(!readsValues, random.Next(4), readers, givesOne && source is not ("tagging" or "copy" or "speech" or "digit-strings" or "images" or "audio" or "recommendation") && Some(0.5) ? "one" : null);
            ((JsonArray)model["layers"]!).Add(Some(0.9) ? Dense() : Variant(typeof(LayerConfig)));
        }

        if (source is "speech" or "digit-strings")
        {
            model["loss"] = "ctc";
        }
        else if (isSeries && Some(0.5))
        {
            model["loss"] = Some(0.5) ? "gaussian" : Some(0.7) ? "gaussian-mixture" : "binary-cross-entropy";
            model["components"] = 2 + random.Next(3);
        }
        else if (Some(0.03))
        {
            model["loss"] = Pick(Enum.GetValues<LossKind>().Length) switch { 0 => "cross-entropy", 1 => "ctc", 2 => "gaussian", _ => "mean-squared-error" };
        }

        if (Some(0.1))
        {
            model["freeze"] = new JsonArray(((string[])["*bias*", "embedding*", "*_hh*", "dense*", "*.weight"])[random.Next(5)]);
        }

        return model;

        int Pick(int count) => random.Next(count);
    }

    private JsonObject Dense() => Some(0.95) ? new JsonObject { ["type"] = "dense" } : new JsonObject { ["type"] = "dense", ["tied"] = true };

    private JsonArray Layers(bool readsTokens, int count, string[] among, string? last)
    {
        var layers = new JsonArray();
        if (readsTokens ? Some(0.97) : Some(0.01))
        {
            layers.Add(Some(0.8) ? new JsonObject { ["type"] = "embedding", ["units"] = Some(0.4) ? 4 * (1 + random.Next(4)) : 1 + random.Next(14) } : new JsonObject { ["type"] = "one-hot" });
        }

        for (int i = 0; i < count; i++)
        {
            layers.Add(Variant(typeof(LayerConfig), among[random.Next(among.Length)]));
        }

        if (last is not null)
        {
            JsonObject one = Variant(typeof(LayerConfig), Some(0.3) ? "global-pooling" : Some(0.3) ? "flatten" : Some(0.5) ? "gru" : "lstm");
            if ((string)one["type"]! is "gru" or "lstm")
            {
                one["returnSequences"] = false;
            }

            layers.Add(one);
        }

        return layers;
    }

    private JsonObject Variant(Type type, string? name = null)
    {
        ConfigShape shape = ConfigShape.Of(type);
        name ??= shape.Variants.Keys.ElementAt(random.Next(shape.Variants.Count));
        var value = new JsonObject { [shape.Discriminator!] = name };
        foreach (ConfigKey key in shape.Variants[name].Keys)
        {
            if (left.Contains(key.Name, StringComparer.Ordinal) || key.Name == "returnSequences" || (!key.Required && !sizes.ContainsKey(key.Name) && key.Name != "heads" && !Some(key.Name is "fold" or "nesterov" or "residual" ? 0.05 : 0.25)))
            {
                continue;
            }

            if (Value(key) is { } drawn)
            {
                value[key.Name] = drawn;
            }
        }

        return value;
    }

    private JsonNode? Value(ConfigKey key)
    {
        (double least, double most) = key.Range is null ? (0, 3) : ConfigShape.Limits(key.Range);
        switch (key.Shape.Kind)
        {
            case ConfigKind.Boolean:
                return Some(0.5);
            case ConfigKind.Choice when key.Name == "biasInitializer":
                return Some(0.9) ? "uniform" : "orthogonal";
            case ConfigKind.Integer when key.Name == "heads":
                return Some(0.9) ? 1 + random.Next(2) : 4;
            case ConfigKind.Integer when key.Name is "firstYear" or "lastYear":
                return key.Name == "firstYear" ? 1100 + random.Next(900) : 1990 + random.Next(100);
            case ConfigKind.Choice:
                return key.Shape.Choices[random.Next(key.Shape.Choices.Count)];
            case ConfigKind.Integer when sizes.TryGetValue(key.Name, out (int Least, int Most) size):
                return (long)Math.Clamp(random.Next(size.Least, size.Most + 1), least, most);
            case ConfigKind.Integer:
                return (long)Math.Min(most, least + Small());
            case ConfigKind.Number when sizes.TryGetValue(key.Name, out (int Least, int Most) size):
                return Math.Clamp(Real(Math.Max(least, size.Least / 4.0), size.Most), least, most);
            case ConfigKind.Number:
                return Some(0.1) ? least : Math.Clamp(Real(least, Math.Min(most, least + 1)), Math.Min(least + 0.001, most), most);
            case ConfigKind.Record when key.Name == "fold":
                int of = 2 + random.Next(3);
                return new JsonObject { ["number"] = 1 + random.Next(of), ["of"] = of };
            case ConfigKind.Record when key.Name == "warmup":
                return new JsonObject { ["steps"] = random.Next(4) };
            case ConfigKind.Text when key.Name == "documentStart":
                return ".";
            default:
                return null;
        }
    }
}
