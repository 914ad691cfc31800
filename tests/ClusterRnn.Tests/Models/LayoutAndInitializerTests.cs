using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>The flat vector, its hash, and what it holds at first.</summary>
public sealed class LayoutAndInitializerTests
{
    [Fact]
    public void TensorsStartAtBlocksUnderPyTorchsNames()
    {
        ParameterLayout layout = Build(new EmbeddingConfig { Units = 20 }, new LstmConfig { Units = 20, Layers = 2 }, new LstmConfig { Units = 3, Name = "top" }, new GruConfig { Units = 2 }, new DenseConfig { Units = 5 }, new DenseConfig()).Layout;
        Assert.Equal(
            [
                "embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0", "lstm.bias_hh_l0", "lstm.weight_ih_l1", "lstm.weight_hh_l1", "lstm.bias_ih_l1", "lstm.bias_hh_l1",
                "top.weight_ih_l0", "top.weight_hh_l0", "top.bias_ih_l0", "top.bias_hh_l0", "gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_ih_l0", "gru.bias_hh_l0", "dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias",
            ],
            layout.Tensors.Select(tensor => tensor.Name));
        int block = 0;
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            Assert.Equal(block, tensor.FirstBlock);
            Assert.Equal(block * 1024L, tensor.Offset);
            Assert.Equal(tensor.Count, tensor.Shape.ToArray().Aggregate(1L, (product, d) => product * d));
            Assert.Equal((tensor.Count + 1023) / 1024, tensor.BlockCount);
            block += tensor.BlockCount;
        }

        Assert.Equal(block, layout.BlockCount);
        Assert.Equal(block * 1024L, layout.Length);
        Assert.Equal("80 x 20", layout["lstm.weight_ih_l1"].ShapeText);
        Assert.Contains("dense.bias", Assert.Throws<KeyNotFoundException>(() => layout["nothing"]).Message);
    }

    /// <summary>The hash as the contract words it, formed here byte by byte.</summary>
    [Fact]
    public void HashIsTheContracts()
    {
        Model model = Build(new EmbeddingConfig { Units = 3 }, new DenseConfig());
        float[] parameters = new float[model.Layout.Length];
        model.Initialize(1, parameters);
        using var bytes = new MemoryStream();
        byte[] number = new byte[8];
        foreach (ParameterTensor tensor in model.Layout.Tensors)
        {
            bytes.Write(Encoding.UTF8.GetBytes(tensor.Name));
            bytes.WriteByte(0);
            foreach (long value in (long[])[tensor.Shape.Length, .. tensor.Shape.Span])
            {
                BinaryPrimitives.WriteInt64LittleEndian(number, value);
                bytes.Write(number);
            }

            for (int i = 0; i < tensor.Count; i++)
            {
                BinaryPrimitives.WriteSingleLittleEndian(number, parameters[tensor.Offset + i]);
                bytes.Write(number, 0, 4);
            }
        }

        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(bytes.ToArray())), model.Layout.Sha256(parameters));
        string before = model.Layout.Sha256(parameters);
        parameters[1023] = 7f; // padding
        Assert.Equal(before, model.Layout.Sha256(parameters));
        parameters[0] += 1e-6f;
        Assert.NotEqual(before, model.Layout.Sha256(parameters));
    }

    [Fact]
    public void SeedsDecide()
    {
        Model model = Build(new EmbeddingConfig { Units = 8 }, new LstmConfig { Units = 8, RecurrentInitializer = InitializerKind.Orthogonal }, new DenseConfig());
        Assert.Equal(Hash(1), Hash(1));
        Assert.NotEqual(Hash(1), Hash(2));

        string Hash(ulong seed)
        {
            float[] parameters = new float[model.Layout.Length];
            Array.Fill(parameters, float.NaN);
            model.Initialize(seed, parameters);
            Assert.DoesNotContain(parameters, float.IsNaN);
            return model.Layout.Sha256(parameters);
        }
    }

    public static TheoryData<InitializerKind, double, double> Spreads => new()
    {
        // the standard deviation of lstm.weight_ih_l0 [4 x 64, 48], and the largest magnitude (0: unbounded)
        { InitializerKind.PyTorch, 0.125 / Math.Sqrt(3), 0.125 },
        { InitializerKind.GlorotUniform, Math.Sqrt(2.0 / (48 + 256)), Math.Sqrt(6.0 / (48 + 256)) },
        { InitializerKind.GlorotNormal, Math.Sqrt(2.0 / (48 + 256)), 0 },
        { InitializerKind.HeUniform, Math.Sqrt(2.0 / 48), Math.Sqrt(6.0 / 48) },
        { InitializerKind.HeNormal, Math.Sqrt(2.0 / 48), 0 },
        { InitializerKind.Normal, 0.05, 0 },
        { InitializerKind.Uniform, 0.05 / Math.Sqrt(3), 0.05 },
        { InitializerKind.Zeros, 0, 1e-30 },
    };

    [Theory, MemberData(nameof(Spreads))]
    public void SpreadsAreThePapers(InitializerKind kind, double deviation, double bound)
    {
        float[] values = Tensor(new LstmConfig { Units = 64, KernelInitializer = kind }, "lstm.weight_ih_l0");
        double mean = values.Average(v => (double)v), measured = Math.Sqrt(values.Average(v => (double)v * v));
        Assert.InRange(measured, deviation * 0.97, deviation * 1.03);
        Assert.InRange(mean, -0.04 * deviation - 1e-30, 0.04 * deviation + 1e-30);
        if (bound > 0)
        {
            Assert.InRange(values.Max(MathF.Abs), bound * 0.99 - 1e-30, bound * 1.0000001);
        }
    }

    [Fact]
    public void OrthogonalGateByGate()
    {
        float[] recurrent = Tensor(new LstmConfig { Units = 24, RecurrentInitializer = InitializerKind.Orthogonal }, "lstm.weight_hh_l0");
        for (int gate = 0; gate < 4; gate++)
        {
            AssertOrthonormal(recurrent.AsSpan(gate * 24 * 24, 24 * 24).ToArray(), 24, 24);
        }

        // tall: orthonormal columns; wide: orthonormal rows
        AssertOrthonormal(Tensor(new RnnConfig { Units = 96, KernelInitializer = InitializerKind.Orthogonal }, "rnn.weight_ih_l0"), 96, 48);
        AssertOrthonormal(Tensor(new RnnConfig { Units = 24, KernelInitializer = InitializerKind.Orthogonal }, "rnn.weight_ih_l0"), 24, 48);
        Assert.NotEqual(recurrent[..576], recurrent[576..1152]);
    }

    [Fact]
    public void ForgetBiasIsTheSumOfBothBiases()
    {
        var config = new LstmConfig { Units = 8, ForgetBias = 1 };
        float[] ofInput = Tensor(config, "lstm.bias_ih_l0"), ofState = Tensor(config, "lstm.bias_hh_l0");
        for (int i = 0; i < 32; i++)
        {
            bool forget = i is >= 8 and < 16;
            Assert.Equal(forget, ofInput[i] == 1f && ofState[i] == 0f);
        }
    }

    private static void AssertOrthonormal(float[] matrix, int rows, int columns)
    {
        bool byRows = rows <= columns;
        int count = Math.Min(rows, columns), length = Math.Max(rows, columns);
        for (int i = 0; i < count; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                double dot = 0;
                for (int k = 0; k < length; k++)
                {
                    dot += byRows ? (double)matrix[i * columns + k] * matrix[j * columns + k] : (double)matrix[k * columns + i] * matrix[k * columns + j];
                }

                Assert.InRange(dot, (i == j ? 1 : 0) - 1e-6, (i == j ? 1 : 0) + 1e-6);
            }
        }
    }

    private static float[] Tensor(LayerConfig layer, string name)
    {
        Model model = Model.Build(new ModelConfig { Layers = [layer, new DenseConfig()] }, InputKind.Features, 48, 2);
        float[] parameters = new float[model.Layout.Length];
        model.Initialize(4, parameters);
        return parameters.AsSpan((int)model.Layout[name].Offset, (int)model.Layout[name].Count).ToArray();
    }

    private static Model Build(params LayerConfig[] layers) => Model.Build(new ModelConfig { Layers = layers }, InputKind.Tokens, 11, 11);
}
