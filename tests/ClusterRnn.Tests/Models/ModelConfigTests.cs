using System.Text.Json;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>Configurations: what they read as, and what is refused with which key.</summary>
public sealed class ModelConfigTests
{
    private static readonly JsonSerializerOptions Web = new(JsonSerializerDefaults.Web);

    [Fact]
    public void ReadsAndWritesJson()
    {
        const string text = """
            {"layers":[{"type":"embedding","units":16},{"type":"lstm","units":32,"layers":2,"dropout":0.1,"forgetBias":1,"recurrentInitializer":"orthogonal"},
             {"type":"gru","resetGate":"before","returnSequences":false},{"type":"rnn","activation":"relu"},{"type":"dropout","rate":0.3},{"type":"dense","activation":"softmax"}],
             "loss":"cross-entropy","metrics":["accuracy","bits-per-character"]}
            """;
        ModelConfig config = JsonSerializer.Deserialize<ModelConfig>(text, Web)!;
        Assert.Equal(new LstmConfig { Units = 32, Layers = 2, Dropout = 0.1, ForgetBias = 1, RecurrentInitializer = InitializerKind.Orthogonal }, config.Layers[1]);
        Assert.Equal(new GruConfig { ResetGate = GruResetGate.Before, ReturnSequences = false }, config.Layers[2]);
        Assert.Equal(new RnnConfig { Activation = RecurrentActivation.Relu }, config.Layers[3]);
        Assert.Equal([MetricKind.Accuracy, MetricKind.BitsPerCharacter], config.Metrics);
        ModelConfig again = JsonSerializer.Deserialize<ModelConfig>(JsonSerializer.Serialize(config, Web), Web)!;
        Assert.Equal(config.Layers, again.Layers);
        Assert.Equal(LossKind.CrossEntropy, again.Loss);
    }

    public static TheoryData<string, string> Refused => new()
    {
        { """{"layers":[]}""", "layers" },
        { """{"layers":[{"type":"lstm"},{"type":"dense"}]}""", "layers[0]" },
        { """{"layers":[{"type":"embedding"},{"type":"embedding"},{"type":"dense"}]}""", "layers[1]" },
        { """{"layers":[{"type":"embedding","units":0},{"type":"dense"}]}""", "layers[0].units" },
        { """{"layers":[{"type":"embedding"},{"type":"lstm","dropout":1},{"type":"dense"}]}""", "layers[1].dropout" },
        { """{"layers":[{"type":"embedding"},{"type":"lstm","returnSequences":false},{"type":"gru"},{"type":"dense"}]}""", "layers[2]" },
        { """{"layers":[{"type":"embedding"},{"type":"dense"},{"type":"dense"}]}""", "layers[1].units" },
        { """{"layers":[{"type":"embedding"},{"type":"lstm","units":7}]}""", "layers[1]" },
        { """{"layers":[{"type":"embedding","name":"a"},{"type":"lstm","name":"a"},{"type":"dense"}]}""", "layers[1].name" },
        { """{"layers":[{"type":"embedding"},{"type":"lstm","biasInitializer":"orthogonal"},{"type":"dense"}]}""", "layers[1].biasInitializer" },
        { """{"layers":[{"type":"embedding"},{"type":"dense"}],"metrics":["accuracy","mean-absolute-error"]}""", "metrics[1]" },
    };

    [Theory, MemberData(nameof(Refused))]
    public void RefusesWithTheKey(string json, string path)
    {
        ModelConfig config = JsonSerializer.Deserialize<ModelConfig>(json, Web)!;
        Assert.Equal(path, Assert.Throws<ModelException>(() => Model.Build(config, InputKind.Tokens, 11, 11)).Path);
    }
}
