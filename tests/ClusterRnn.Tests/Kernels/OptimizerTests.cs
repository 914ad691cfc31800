// The update formulas against torch.optim (the rows are printed by optimizers.py), and LARS and LAMB against their papers.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Optimizers;

namespace ClusterRnn.Tests.Kernels;

public unsafe class OptimizerTests
{
    private static readonly float[] start = [0.5f, -1.25f, 2f, 0.001f, -0.75f, 3.5f, -0.02f];

    [Theory]
    [InlineData("sgd", new[] { 0.522492528f, -1.24358773f, 1.96510732f, 0.0883576944f, -0.821207643f, 3.5199976f, -0.00752488477f })]
    [InlineData("momentum", new[] { 0.524657309f, -1.36856842f, 1.8853482f, 0.196114704f, -0.848710954f, 3.52959251f, 0.0781915709f })]
    [InlineData("nesterov", new[] { 0.553251028f, -1.37215805f, 1.89500022f, 0.264622122f, -0.923036993f, 3.60537124f, 0.0813682377f })]
    [InlineData("rmsprop", new[] { 0.50401479f, -1.25223541f, 1.83975983f, 0.0945132077f, -0.789927542f, 3.33480501f, 0.0186846592f })]
    [InlineData("adam", new[] { 0.508544862f, -1.2604146f, 1.93197989f, 0.0498176143f, -0.761621594f, 3.42943501f, 0.0176186413f })]
    [InlineData("adamw", new[] { 0.516507506f, -1.27004862f, 1.94050241f, 0.0499910899f, -0.767688394f, 3.4676919f, 0.0176387019f })]
    public void FiveStepsEndWhereTorchEnds(string name, float[] expected)
    {
        using var state = new State();
        for (int step = 1; step <= 5; step++)
        {
            state.SetGradients(step);
            float* p = state.Parameters.Pointer, g = state.Gradients.Pointer, first = state.First.Pointer, second = state.Second.Pointer;
            switch (name)
            {
                case "sgd":
                    Sgd.Run(start.Length, p, g, null, 1f, 0.1f, 0f, false, 0.01f);
                    break;
                case "momentum":
                    Sgd.Run(start.Length, p, g, first, 1f, 0.1f, 0.9f, false, 0.01f);
                    break;
                case "nesterov":
                    Sgd.Run(start.Length, p, g, first, 1f, 0.1f, 0.9f, true, 0f);
                    break;
                case "rmsprop":
                    RmsProp.Run(start.Length, p, g, first, second, 1f, 0.01f, 0.95, 0.5f, 1e-6f, 0.1f);
                    break;
                default:
                    Adam.Run(start.Length, p, g, first, second, name == "adamw", 1f, 0.02, 0.9, 0.99, 1e-7f, 0.1, step);
                    break;
            }
        }

        for (int i = 0; i < start.Length; i++)
        {
            Assert.Equal(expected[i], state.Parameters[i], 2e-6f * Math.Max(1f, Math.Abs(expected[i])));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void LarsAndLambScaleByTheTensorsNorms(bool lamb)
    {
        using var state = new State();
        state.SetGradients(1);
        double[] gradient = [.. Enumerable.Range(0, start.Length).Select(i => (double)state.Gradients[i])];
        double norm = Math.Sqrt(start.Sum(x => (double)x * x)), rate, decay = 0.1;
        double[] direction = [.. gradient];
        if (lamb)
        {
            // At the first step m / c1 = g and v / c2 = g².
            direction = [.. gradient.Select((g, i) => (g / (Math.Abs(g) + 1e-6)) + (decay * start[i]))];
            rate = 0.01 * norm / Math.Sqrt(direction.Sum(x => x * x));
            Lamb.Run(start.Length, state.Parameters.Pointer, state.Gradients.Pointer, state.First.Pointer, state.Second.Pointer, 1f, 0.01, 0.9, 0.999, 1e-6f, decay, 1, adapt: true);
        }
        else
        {
            rate = 0.5 * 0.02 * norm / (Math.Sqrt(gradient.Sum(x => x * x)) + (decay * norm));
            direction = [.. gradient.Select((g, i) => g + (decay * start[i]))];
            Lars.Run(start.Length, state.Parameters.Pointer, state.Gradients.Pointer, state.First.Pointer, 1f, 0.5, 0.9f, decay, 0.02, 0, adapt: true);
        }

        for (int i = 0; i < start.Length; i++)
        {
            Assert.Equal(start[i] - (rate * direction[i]), state.Parameters[i], 2e-6);
        }
    }

    [Fact]
    public void PreparationDividesRegularisesAndClips()
    {
        using var state = new State();
        float[] sums = [8f, -8f, 800f, 0f, 4f, -800f, 2f];
        sums.CopyTo(state.Gradients.AsSpan());
        GradientPreparation.Run(start.Length, state.Gradients.Pointer, state.Parameters.Pointer, 4, l1: 0.5f, l2: 0.25f, limit: 10f);
        for (int i = 0; i < start.Length; i++)
        {
            float expected = Math.Clamp((sums[i] / 4) + (0.5f * Math.Sign(start[i])) + (0.25f * start[i]), -10f, 10f);
            Assert.Equal(expected, state.Gradients[i], 1e-6f);
        }
    }

    private sealed class State : IDisposable
    {
        public State() => start.CopyTo(Parameters.AsSpan());

        public NativeBuffer<float> Parameters { get; } = new(start.Length);

        public NativeBuffer<float> Gradients { get; } = new(start.Length);

        public NativeBuffer<float> First { get; } = new(start.Length);

        public NativeBuffer<float> Second { get; } = new(start.Length);

        public void SetGradients(int step)
        {
            for (int i = 0; i < start.Length; i++)
            {
                Gradients[i] = (((7 * i) + (3 * step)) % 11 - 5) / 8f;
            }
        }

        public void Dispose()
        {
            Parameters.Dispose();
            Gradients.Dispose();
            First.Dispose();
            Second.Dispose();
        }
    }
}
