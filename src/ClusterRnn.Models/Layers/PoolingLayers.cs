// Pooling: of several values one. Max pooling goes along time and the features of each channel and keeps their order (PyTorch's
// nn.MaxPool1d and nn.MaxPool2d, of equals the first); global pooling makes one vector of all of a row's time steps, and flatten
// lays the last ones side by side. Only a row's own time steps count.
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>The largest of several neighbours.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="channels">C.</param>
/// <param name="time">Which time steps.</param>
/// <param name="feature">Which features of a channel.</param>
internal sealed unsafe class MaxPoolingLayer(string name, int channels, TimeKernel time, FeatureKernel feature) : Layer(name)
{
    private int* largest; // [T', B, output width]: which value of the row it was, time step x input width + value

    /// <inheritdoc/>
    public override int OutputWidth => channels * feature.Places;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReadsAhead => time.ReadsAhead;

    /// <inheritdoc/>
    public override TimeKernel? TimeKernel => time;

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.ReserveValues(plan);
        if (Input.HasGradient)
        {
            Output.ReserveGradient(plan);
            largest = plan.Arena.Ints((long)Output.MaximumTime * plan.MaximumRows * OutputWidth);
        }
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        for (int at = scope.From; at < scope.Time; at++)
        {
            for (int row = 0; row < scope.RowsAt(at); row++)
            {
                nint cell = ((nint)at * scope.Rows) + row;
                for (int output = 0; output < OutputWidth; output++)
                {
                    int found = Largest(at * time.Stride, row, output / feature.Places * feature.Features, output % feature.Places * feature.Stride, out float value);
                    Output.Values[(cell * Output.Stride) + output] = value;
                    if (largest is not null)
                    {
                        largest[(cell * OutputWidth) + output] = found;
                    }
                }
            }
        }

        scope.ClearEnded(Output.Values, Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        if (!Input.HasGradient)
        {
            return;
        }

        StepScope scope = Output.Scope, input = Input.Scope;
        new Span<float>(Input.GradientAt(input.From), input.Cells * Input.Stride).Clear();
        for (int at = scope.From; at < scope.Time; at++)
        {
            for (int row = 0; row < scope.RowsAt(at); row++)
            {
                nint cell = ((nint)at * scope.Rows) + row;
                for (int output = 0; output < OutputWidth; output++)
                {
                    int found = largest[(cell * OutputWidth) + output];
                    ref float gradient = ref Input.Gradient[((((nint)(found / Input.Width) * input.Rows) + row) * Input.Stride) + (found % Input.Width)];
                    gradient = ScalarMath.Flush(gradient + Output.Gradient[(cell * Output.Stride) + output]);
                }
            }
        }
    }

    private int Largest(int firstTime, int row, int channel, int firstFeature, out float largest)
    {
        StepScope input = Input.Scope;
        int endTime = Math.Min(firstTime + time.Size, input.Lengths[row]), endFeature = Math.Min(firstFeature + feature.Size, feature.Features), found = -1;
        largest = 0f;
        for (int at = firstTime; at < endTime; at++)
        {
            float* values = Input.Values + ((((nint)at * input.Rows) + row) * Input.Stride) + channel;
            for (int i = firstFeature; i < endFeature; i++)
            {
                // A NaN stays one.
                if (found < 0 || values[i] > largest || (float.IsNaN(values[i]) && !float.IsNaN(largest)))
                {
                    largest = values[i];
                    found = (at * Input.Width) + channel + i;
                }
            }
        }

        return found;
    }
}

/// <summary>A layer whose one output is made of a whole row, or of its last time steps.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="outputWidth">Values of its output.</param>
internal abstract unsafe class WholeRowLayer(string name, int outputWidth) : Layer(name)
{
    /// <inheritdoc/>
    public sealed override int OutputWidth => outputWidth;

    /// <inheritdoc/>
    public sealed override bool CouplesTime => true;

    /// <inheritdoc/>
    public sealed override bool ReadsAhead => true;

    /// <inheritdoc/>
    public sealed override bool ReturnsLast => true;

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.ReserveValues(plan);
        if (Input.HasGradient)
        {
            Output.ReserveGradient(plan);
        }
    }

    /// <inheritdoc/>
    public sealed override void Forward(TrainingStep step)
    {
        for (int row = 0; row < Input.Scope.Rows; row++)
        {
            Take(row, Input.Scope.Lengths[row], Output.Values + ((nint)row * Output.Stride));
        }
    }

    /// <inheritdoc/>
    public sealed override void Backward(TrainingStep step)
    {
        if (!Input.HasGradient)
        {
            return;
        }

        StepScope input = Input.Scope;
        new Span<float>(Input.GradientAt(input.From), input.Cells * Input.Stride).Clear();
        for (int row = 0; row < input.Rows; row++)
        {
            Give(row, input.Lengths[row], Output.Gradient + ((nint)row * Output.Stride));
        }
    }

    /// <summary>Makes a row's output.</summary>
    /// <param name="row">The row.</param>
    /// <param name="length">Its time steps.</param>
    /// <param name="into">[output width] where it goes.</param>
    protected abstract void Take(int row, int length, float* into);

    /// <summary>Writes where a row's gradient comes from into the input's gradient, which is zero.</summary>
    /// <param name="row">The row.</param>
    /// <param name="length">Its time steps.</param>
    /// <param name="gradient">[output width] the output's.</param>
    protected abstract void Give(int row, int length, float* gradient);
}

/// <summary>One vector of all of a row's time steps.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="width">Values a time step.</param>
/// <param name="kind">How.</param>
internal sealed unsafe class GlobalPoolingLayer(string name, int width, GlobalPooling kind) : WholeRowLayer(name, width)
{
    private int* sources; // [B, width]: the time step of the largest value

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        base.Plan(plan);
        sources = plan.Arena.Ints((long)plan.MaximumRows * OutputWidth);
    }

    /// <inheritdoc/>
    protected override void Take(int row, int length, float* into)
    {
        new Span<float>(into, OutputWidth).Clear();
        for (int at = kind == GlobalPooling.Last ? Math.Max(0, length - 1) : 0; at < length; at++)
        {
            float* values = Input.At(at) + ((nint)row * Input.Stride);
            int* source = sources + ((nint)row * OutputWidth);
            for (int i = 0; i < OutputWidth; i++)
            {
                bool takes = at == 0 || kind == GlobalPooling.Last || values[i] > into[i] || (float.IsNaN(values[i]) && !float.IsNaN(into[i]));
                if (kind == GlobalPooling.Mean)
                {
                    into[i] += values[i];
                }
                else if (takes)
                {
                    into[i] = values[i];
                    source[i] = at;
                }
            }
        }

        for (int i = 0; kind == GlobalPooling.Mean && length > 0 && i < OutputWidth; i++)
        {
            into[i] /= length;
        }
    }

    /// <inheritdoc/>
    protected override void Give(int row, int length, float* gradient)
    {
        for (int at = 0; kind == GlobalPooling.Mean && at < length; at++)
        {
            float* into = Input.GradientAt(at) + ((nint)row * Input.Stride);
            for (int i = 0; i < OutputWidth; i++)
            {
                into[i] = ScalarMath.Flush(gradient[i] / length);
            }
        }

        for (int i = 0; kind != GlobalPooling.Mean && length > 0 && i < OutputWidth; i++)
        {
            Input.GradientAt(sources[((nint)row * OutputWidth) + i])[((nint)row * Input.Stride) + i] = gradient[i];
        }
    }
}

/// <summary>A row's last time steps side by side, [steps x width], the earliest first; zeros stand for those that a shorter row lacks.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="width">Values a time step.</param>
/// <param name="steps">How many.</param>
internal sealed unsafe class FlattenLayer(string name, int width, int steps) : WholeRowLayer(name, checked(steps * width))
{
    /// <inheritdoc/>
    protected override void Take(int row, int length, float* into)
    {
        for (int i = 0; i < steps; i++, into += width)
        {
            int at = length - steps + i;
            var target = new Span<float>(into, width);
            if (at < 0)
            {
                target.Clear();
            }
            else
            {
                new ReadOnlySpan<float>(Input.At(at) + ((nint)row * Input.Stride), width).CopyTo(target);
            }
        }
    }

    /// <inheritdoc/>
    protected override void Give(int row, int length, float* gradient)
    {
        for (int i = 0; i < steps; i++, gradient += width)
        {
            int at = length - steps + i;
            if (at >= 0)
            {
                new ReadOnlySpan<float>(gradient, width).CopyTo(new Span<float>(Input.GradientAt(at) + ((nint)row * Input.Stride), width));
            }
        }
    }
}
