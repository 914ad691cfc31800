// Convolutions and pooling beside what all models are tested with: how lengths shrink, what is refused, labels without times after
// a stride, and a network without memory that learns.
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

public sealed unsafe class ConvolutionTests
{
    [Theory]
    [InlineData(3, 1, ConvolutionPadding.Same, 7, 7)]
    [InlineData(3, 2, ConvolutionPadding.Same, 7, 4)]
    [InlineData(4, 3, ConvolutionPadding.Causal, 7, 3)]
    [InlineData(3, 1, ConvolutionPadding.Valid, 7, 5)]
    [InlineData(3, 2, ConvolutionPadding.Valid, 8, 3)]
    [InlineData(9, 2, ConvolutionPadding.Valid, 8, 1)] // shorter than the kernel
    [InlineData(9, 2, ConvolutionPadding.Valid, 0, 0)]
    public void LengthsShrink(int kernel, int stride, ConvolutionPadding padding, int length, int expected)
    {
        Model model = TestModels.Values(
            LossKind.MeanSquaredError, new Convolution1dConfig { Units = 2, Kernel = kernel, Stride = stride, Padding = padding }, new GlobalPoolingConfig(), new DenseConfig());
        Assert.Equal(expected, model.OutputLength(length));
    }

    public static TheoryData<LayerConfig[], string, string> Refused => new()
    {
        { [new Convolution1dConfig { Stride = 2 }, new DenseConfig()], "layers", "fewer time steps" },
        { [new Convolution1dConfig { Padding = ConvolutionPadding.Valid }, new DenseConfig()], "layers", "global-pooling" },
        { [new Convolution1dConfig { Activation = ActivationKind.Softmax }, new DenseConfig()], "layers[0].activation", "softmax" },
        { [new GlobalPoolingConfig(), new Convolution1dConfig(), new DenseConfig()], "layers[1]", "last step only" },
        { [new Convolution2dConfig { Kernel = 4, Padding = ConvolutionPadding.Valid }, new GlobalPoolingConfig(), new DenseConfig()], "layers[0].featureKernel", "at most 3" },
        { [new Convolution2dConfig { Units = 5 }, new MaxPoolingConfig { FeatureSize = 4 }, new GlobalPoolingConfig(), new DenseConfig()], "layers[1].featureSize", "at most 3" },
        { [new MaxPoolingConfig { Stride = 0 }, new GlobalPoolingConfig(), new DenseConfig()], "layers[0].stride", "at least 1" },
    };

    [Theory, MemberData(nameof(Refused))]
    public void RefusesWithTheKey(LayerConfig[] layers, string path, string what)
    {
        ModelException error = Assert.Throws<ModelException>(() => TestModels.Values(LossKind.MeanSquaredError, layers));
        Assert.Equal(path, error.Path);
        Assert.Contains(what, error.Message);
    }

    /// <summary>A plane's channels go on through layers that keep their places, and end with one that mixes them.</summary>
    [Fact]
    public void ChannelsGoThroughPoolingAndDropout()
    {
        Model model = TestModels.Values(
            LossKind.MeanSquaredError,
            new Convolution2dConfig { Units = 4 }, new DropoutConfig(), new MaxPoolingConfig { Size = 1, FeatureSize = 3 }, new Convolution2dConfig { Units = 6 },
            new DenseConfig { Units = 8 }, new Convolution2dConfig { Units = 2 }, new DenseConfig());
        Assert.Equal([4L, 1, 3, 3], model.Layout["convolution2d.weight"].Shape.ToArray());
        Assert.Equal([6L, 4, 3, 3], model.Layout["convolution2d_1.weight"].Shape.ToArray());
        Assert.Equal([2L, 1, 3, 3], model.Layout["convolution2d_2.weight"].Shape.ToArray());
        Assert.Equal([2L, 16], model.Layout["dense_1.weight"].Shape.ToArray());
    }

    [Fact]
    public void OrthogonalWeightsAreOneRowAnOutput()
    {
        Model model = TestModels.Values(
            LossKind.MeanSquaredError, new Convolution1dConfig { Units = 4, KernelInitializer = InitializerKind.Orthogonal }, new DenseConfig());
        float[] parameters = new float[model.Layout.Length];
        model.Initialize(1, parameters);
        float[][] rows = [.. parameters.AsSpan((int)model.Layout["convolution1d.weight"].Offset, 36).ToArray().Chunk(9)];
        for (int i = 0; i < 4; i++)
        {
            for (int j = 0; j < 4; j++)
            {
                Assert.Equal(i == j ? 1.0 : 0.0, rows[i].Zip(rows[j], (a, b) => (double)a * b).Sum(), 1e-6);
            }
        }
    }

    /// <summary>Labels without times belong to the outputs there are: as many as fit, no matter how long the row was.</summary>
    [Fact]
    public void LabelsFitIntoTheOutputsThereAre()
    {
        var config = new ModelConfig { Layers = [new Convolution1dConfig { Units = 5, Stride = 2 }, new DenseConfig()], Loss = LossKind.Ctc };
        Model model = Model.Build(config, InputKind.Features, 3, 4);
        using ModelHarness harness = new ModelHarness(model, 6, 6, 1).Fill(1);
        Assert.Equal(3, model.OutputLength(6));
        SetLabels(1, 2, 3);
        StepResult fits = harness.Train();
        Assert.Equal(3, fits.Count);
        Assert.True(double.IsFinite(fits.Loss));
        SetLabels(1, 1, 2); // a blank is needed between equal ones
        StepResult tooMany = harness.Train();
        Assert.Equal(3, tooMany.Count);
        Assert.True(double.IsPositiveInfinity(tooMany.Loss));

        void SetLabels(params int[] labels)
        {
            for (int i = 0; i < 6; i++)
            {
                harness.Batch.TargetTokens[i] = i < labels.Length ? labels[i] : -1;
            }
        }
    }

    /// <summary>What comes after a time step changes nothing before a causal convolution's output, and something in another's.</summary>
    [Theory]
    [InlineData(ConvolutionPadding.Causal, true)]
    [InlineData(ConvolutionPadding.Same, false)]
    public void CausalConvolutionsSeeThePastAlone(ConvolutionPadding padding, bool isBlind)
    {
        Model model = TestModels.Values(LossKind.MeanSquaredError, new Convolution1dConfig { Units = 5, Padding = padding }, new DenseConfig());
        using ModelHarness harness = new ModelHarness(model, 5, 5, 1).Fill(1);
        float[] before = harness.Predict();
        harness.Batch.Features[(4 * 3) + 1] += 1f;
        float[] after = harness.Predict();
        Assert.Equal(isBlind, before.AsSpan(0, 8).SequenceEqual(after.AsSpan(0, 8)));
        Assert.NotEqual(before[8..], after[8..]);
    }
}
