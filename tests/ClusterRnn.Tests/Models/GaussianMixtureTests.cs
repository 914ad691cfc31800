// Distributions over values: means and draws, and what happens far away. Losses and gradients are tested with all models.
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

public sealed class GaussianMixtureTests
{
    private static readonly GaussianMixture s_mixture = new(2, 1);
    private static readonly float[] s_output = [0f, MathF.Log(3f), -1f, 2f, MathF.Log(0.5f), MathF.Log(0.25f)]; // 1/4 N(-1, 0.5), 3/4 N(2, 0.25)
    private static readonly RandomKey s_key = new(1, RandomPurpose.Sample, 0, 0);

    [Fact]
    public void DrawsHaveTheMixturesMoments()
    {
        float[] value = new float[1];
        s_mixture.Mean(s_output, value);
        Assert.Equal(1.25, value[0], 1e-6);
        double[] drawn = [.. Enumerable.Range(0, 20_000).Select(i => (double)Draw(s_key, i, 1.0))];
        Assert.Equal(1.25, drawn.Average(), 0.03);
        double variance = (0.25 * (0.25 + 1)) + (0.75 * (0.0625 + 4)) - (1.25 * 1.25);
        Assert.Equal(variance, drawn.Select(v => (v - 1.25) * (v - 1.25)).Average(), 0.05);
        Assert.Equal(0.25, drawn.Count(v => v < 0.75) / 20_000.0, 0.015);
    }

    [Fact]
    public void TheSameSeedDrawsTheSame()
    {
        Assert.Equal(Draw(s_key, 3, 1.0), Draw(s_key, 3, 1.0));
        Assert.NotEqual(Draw(s_key, 3, 1.0), Draw(s_key, 4, 1.0));
        Assert.NotEqual(Draw(s_key, 3, 1.0), Draw(new RandomKey(2, RandomPurpose.Sample, 0, 0), 3, 1.0));
        Assert.Equal(2f, Draw(s_key, 3, 0.0));
        Assert.True(Enumerable.Range(0, 200).All(i => Math.Abs(Draw(s_key, i, 0.1) - 2f) < 0.2f));
    }

    /// <summary>A component can't collapse onto a target, and one that would has a way back.</summary>
    [Theory]
    [InlineData(0f, 0f, true)]
    [InlineData(5f, 0f, false)]
    public void DeviationsStayAboveTheirFloor(float target, float mean, bool stands)
    {
        var gaussian = new GaussianMixture(1, 1);
        float[] output = [mean, -20f], floor = [mean, -7f];
        double loss = gaussian.Evaluate(output, [target]);
        Assert.Equal(gaussian.Evaluate(floor, [target]), loss);
        Assert.Equal(stands, output[1] == 0f);
        Assert.True(stands || output[1] < 0f);
    }

    [Fact]
    public void FarTargetsHaveFiniteLosses()
    {
        float[] output = [.. s_output];
        double loss = s_mixture.Evaluate(output, [1000f]);
        Assert.Equal(0.5 * 1001 * 1001 / 0.25, loss, 100.0); // of the wider component
        Assert.All(output, g => Assert.True(float.IsFinite(g)));
        Assert.True(double.IsNaN(s_mixture.Evaluate([.. s_output], [float.NaN])));
    }

    private static float Draw(RandomKey key, long time, double temperature)
    {
        float[] value = new float[1];
        s_mixture.Draw(s_output, key, 0, time, temperature, value);
        return value[0];
    }
}
