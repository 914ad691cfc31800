// Fine-tuning as its user meets it: what is taken and what is new, the same bits on any cluster and after going on, and what
// is said when something doesn't fit.
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ClusterRnn.Cli;
using ClusterRnn.Cli.Output;
using ClusterRnn.Models;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Cli;

public sealed class FineTuningTests : IDisposable
{
    private const string Base = """
        data: { source: text, path: PATH, validation: 0.1 }
        model: { layers: [{ type: embedding, units: 6 }, { type: gru, units: 8 }, dense] }
        batch: { size: 4, span: 8 }
        optimizer: { name: adamw, learningRate: 0.01, weightDecay: 0.1 }
        stop: { steps: 6 }
        generate: { length: 10 }
        output: { tensorBoard: false }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_text_with_new_characters_is_learned_from_where_another_ended()
    {
        string before = Trained();
        string config = Write("new.yaml", Base.Replace("PATH", WriteText("new.txt", "the cat sat on a mat? 0123! "), StringComparison.Ordinal));
        string[] arguments = ["train", config, "--init-from", before, "--set", "model.freeze=[gru]"];
        (int code, string text, string error) = Run([.. arguments, "--out", At("one")]);
        Assert.True(code == 0, error);
        Assert.Contains("starting from ", text, StringComparison.Ordinal);
        Assert.Matches(@"embedding\.weight +\d+ x 6 +taken for the tokens that were known: \d+ x 6 of \d+ x 6", text);
        Assert.Matches(@"gru\.weight_hh_l0 +24 x 8 +taken, frozen", text);
        Assert.Matches(@"dense\.bias +\d+ +taken for the tokens that were known", text);

        // Frozen tensors are those of the other run; what was known of the tokens has been trained on from there.
        Assert.Equal(Tensor(before, "gru.weight_hh_l0"), Tensor(At("one"), "gru.weight_hh_l0"));
        Assert.NotEqual(Tensor(before, "dense.bias"), Tensor(At("one"), "dense.bias")[..Tensor(before, "dense.bias").Length]);
        Assert.True(Run([.. arguments, "--out", At("none"), "--steps", "0"]).Code == 0);

        // Any cluster, and a run that was interrupted and goes on without the other run.
        string hash = Hash(At("one"));
        Assert.Equal(hash, Hash(Ran([.. arguments, "--workers", "3", "--servers", "2", "--out", At("three")], At("three"))));
        Assert.NotEqual(hash, Hash(Ran([.. arguments, "--seed", "2", "--out", At("other")], At("other"))));
        Assert.NotEqual(hash, Hash(Ran(["train", config, "--out", At("fresh")], At("fresh"))));
        Run([.. arguments, "--steps", "3", "--out", At("broken")]);
        Directory.Delete(before, recursive: true);
        Assert.Equal(hash, Hash(Ran(["train", "--resume", At("broken")], At("broken"))));
        JsonNode start = JsonNode.Parse(File.ReadAllText(At("broken", "start.json")))!;
        Assert.Equal("taken-in-part", (string?)start["tensors"]![0]!["origin"]);
        Assert.Contains(start["tensors"]!.AsArray(), line => (bool)line!["isFrozen"]!);
    }

    [Fact]
    public void What_is_known_keeps_its_numbers_and_values()
    {
        string before = Trained();
        string config = Write("new.yaml", Base.Replace("PATH", WriteText("new.txt", "A zebra! the cat sat on a mat. "), StringComparison.Ordinal));
        Ran(["train", config, "--init-from", before, "--set", "optimizer={name: sgd, learningRate: 1.0e-30}", "--out", At("still")], At("still"));
        float[] old = Tensor(before, "embedding.weight"), now = Tensor(At("still"), "embedding.weight");
        Assert.Equal(old, now[..old.Length]);
        Assert.True(now.Length > old.Length && now[old.Length..].Any(value => value != 0));
    }

    [Fact]
    public void A_head_for_another_task_is_new()
    {
        string before = Trained();
        string config = Write("task.yaml", """
            data: { source: adding, length: 6, examples: 400, validation: 0.1 }
            model: { layers: [{ type: gru, units: 8, returnSequences: false }, { type: dense, name: answer }] }
            batch: { size: 8 }
            stop: { steps: 3 }
            output: { tensorBoard: false }
            """);
        (int code, string text, string error) = Run("train", config, "--init-from", before, "--out", At("task"));
        Assert.True(code == 0, error);
        Assert.Matches(@"gru\.weight_ih_l0 +24 x 2 +new: doesn't fit, 24 x 6 there, 24 x 2 here", text);
        Assert.Matches(@"gru\.weight_hh_l0 +24 x 8 +taken", text);
        Assert.Matches(@"answer\.weight +1 x 8 +new: the run's model has none of this name", text);
        Assert.Matches(@"embedding\.weight +not used: \d+ x 6 there, none of this name here", text);
        (code, text, error) = Run("train", config, "--init-from", before, "--set", "initFrom.fresh=[gru.*hh*]", "--out", At("fresh"));
        Assert.True(code == 0, error);
        Assert.Matches(@"gru\.weight_hh_l0 +24 x 8 +new, as asked for", text);
        Assert.NotEqual(Hash(At("task")), Hash(At("fresh")));
    }

    [Fact]
    public void What_does_not_fit_is_said_before_anything_is_written()
    {
        string before = Trained();
        string config = Write("new.yaml", Base.Replace("PATH", WriteText("new.txt", "the cat sat. "), StringComparison.Ordinal));
        Refused("no run", "did you mean", "--init-from", before + "x");
        Refused("nothing fits", "none of the 7 tensors can be taken", "--init-from", before, "--set", "model.layers=[{type: embedding, units: 5, name: e}, {type: gru, units: 7, name: g}, {type: dense, name: d}]");
        Refused("freeze", "'gruu' matches none of the model's tensors", "--init-from", before, "--set", "model.freeze=[gruu]");
        Refused("fresh", "'gruu' matches none of the model's tensors", "--init-from", before, "--set", "initFrom.fresh=[gruu]");
        Refused("other model", "expected the model 0123", "--init-from", before, "--set", "initFrom.modelSha256='0123'");
        string model = Directory.EnumerateFiles(before, "model.safetensors", SearchOption.AllDirectories).Single();
        byte[] bytes = File.ReadAllBytes(model);
        bytes[^1] ^= 1;
        File.WriteAllBytes(model, bytes);
        Refused("damaged", "none of its 1 checkpoints can be used", "--init-from", before);

        void Refused(string what, string says, params string[] more)
        {
            string folder = At(what);
            (int code, string text, string error) = Run(["train", config, "--out", folder, .. more]);
            Assert.True(code == 2, $"{what}: {code}, {text} {error}");
            Assert.Contains(says, Regex.Replace(error, @"\s+", " "), StringComparison.Ordinal);
            Assert.False(Directory.Exists(folder) && File.Exists(Path.Combine(folder, "config.yaml")), what);
        }
    }

    private static (int Code, string Out, string Error) Run(params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [new InProcessEngine()]).RunAsync(args).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }

    private static string Ran(string[] args, string folder)
    {
        (int code, _, string error) = Run(args);
        Assert.True(code == 0, error);
        return folder;
    }

    private static string Hash(string run) => (string)JsonNode.Parse(File.ReadAllText(Path.Combine(run, "summary.json")))!["stateSha256"]!;

    private static float[] Tensor(string run, string name)
    {
        Checkpoint checkpoint = new CheckpointStore(Path.Combine(run, "checkpoints"), new CheckpointConfig()).FindNewest().Found!;
        TaskModel model = SavedModel.Open(checkpoint, run);
        using TrainedModel trained = model.Model;
        ParameterTensor tensor = trained.Model.Layout[name];
        return trained.Parameters.Slice((int)tensor.Offset, (int)tensor.Count).ToArray();
    }

    private string Trained() => Ran(["train", Write("base.yaml", Base.Replace("PATH", WriteText("base.txt", "the cat sat on a mat. "), StringComparison.Ordinal)), "--out", At("base")], At("base"));

    private string At(params string[] parts) => Path.Combine([_folder, .. parts]);

    private string WriteText(string name, string sentence) => Write(name, string.Concat(Enumerable.Repeat(sentence, 40)));

    private string Write(string name, string text)
    {
        File.WriteAllText(At(name), text);
        return At(name);
    }
}
