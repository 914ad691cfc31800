// Convolution over time, or over time and a row's features, as one product: the values that an output reads are laid side by
// side (im2col), [cells x places, channels x kernel], and multiplied with the weights, PyTorch's [outputs, channels, kernel]
// as they are. The weights' gradient is the product over the same rows; the input's gradient is gathered from the
// patches' gradients, so that each element is one sum in a fixed order and rows never couple.
//
// A cell's values lie channel by channel: [channels, features], what PyTorch's flatten makes of [channels, height, width]
// with time as the height. Convolution over time alone has one feature a channel.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>Where the features of a channel go: the other axis of a convolution in two dimensions.</summary>
/// <param name="Features">F: features of an input channel.</param>
/// <param name="Size">Features that an output reads.</param>
/// <param name="Stride">Features from one output to the next.</param>
/// <param name="IsPadded">Whether features beyond both ends count as zero.</param>
internal readonly record struct FeatureKernel(int Features, int Size, int Stride, bool IsPadded)
{
    /// <summary>Time alone.</summary>
    public static FeatureKernel None { get; } = new(1, 1, 1, false);

    /// <summary>The first feature that place 0 reads.</summary>
    public int First => IsPadded ? -((Size - 1) / 2) : 0;

    /// <summary>Outputs along the features.</summary>
    public int Places => IsPadded ? (Features + Stride - 1) / Stride : ((Features - Size) / Stride) + 1;
}

/// <summary>y = f(W * x + b), <c>weight</c> [N, C, K] or [N, C, K, L], <c>bias</c> [N].</summary>
internal sealed unsafe class ConvolutionLayer : Layer
{
    private readonly ConvolutionConfig config;
    private readonly int channels;
    private readonly TimeKernel time;
    private readonly FeatureKernel feature;
    private readonly bool isPlane;
    private readonly int depth; // values an output reads: channels x kernel
    private readonly int depthStride;
    private readonly int unitStride;
    private ParameterTensor weight = null!;
    private ParameterTensor bias = null!;
    private PackedMatrix forward = null!; // patch -> outputs, with the bias
    private PackedMatrix? backward; // outputs' gradients -> patch's gradient
    private float* patches; // [T', B, places, depthStride]; on the way back their gradients
    private float* products; // [T', B, places, unitStride]: outputs, then their gradients; null where the output itself lies like this
    private float* past; // [context, B, input width]: input steps that are kept
    private ShardRows? placeRows; // the rows (cell x places + place) of each shard
    private int* placeLengths; // [B x places]
    private int* placeOfRows; // [B x places]
    private int[] firstRows = [];
    private int[] rowCounts = [];

    /// <summary>Describes it.</summary>
    /// <param name="name">The layer's name.</param>
    /// <param name="config">Its configuration.</param>
    /// <param name="channels">C: channels of the input.</param>
    /// <param name="time">The kernel along the time.</param>
    /// <param name="feature">The kernel along the features.</param>
    /// <param name="isPlane">Whether it runs along the features too.</param>
    public ConvolutionLayer(string name, ConvolutionConfig config, int channels, TimeKernel time, FeatureKernel feature, bool isPlane)
        : base(name)
    {
        this.config = config;
        this.channels = channels;
        this.time = time;
        this.feature = feature;
        this.isPlane = isPlane;
        depth = checked(channels * time.Size * feature.Size);
        depthStride = ColumnGroups.Pad(depth);
        unitStride = ColumnGroups.Pad(config.Units);
    }

    /// <inheritdoc/>
    public override int OutputWidth => checked(config.Units * Places);

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReadsAhead => time.ReadsAhead;

    /// <inheritdoc/>
    public override bool NeedsContext => time.Size > 1;

    /// <inheritdoc/>
    public override TimeKernel? TimeKernel => time;

    /// <inheritdoc/>
    public override int WidestOperand => checked(depthStride * Places);

    private int Places => feature.Places;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        int kernel = time.Size * feature.Size;
        long fanIn = (long)channels * kernel, fanOut = (long)config.Units * kernel;
        long[] shape = isPlane ? [config.Units, channels, time.Size, feature.Size] : [config.Units, channels, time.Size];
        declarations.Add($"{Name}.weight", new Initializer(config.KernelInitializer, fanIn, fanOut), shape);
        declarations.Add($"{Name}.bias", new Initializer(config.BiasInitializer, fanIn, fanOut), config.Units);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        weight = layout[$"{Name}.weight"];
        bias = layout[$"{Name}.bias"];
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        long rows = (long)Output.MaximumTime * plan.MaximumRows * Places;
        forward = new PackedMatrix(plan.Arena, ColumnGroups.Padded(depth), ColumnGroups.Padded(config.Units));
        backward = Input.HasGradient ? new PackedMatrix(plan.Arena, ColumnGroups.Padded(config.Units), ColumnGroups.Padded(depth)) : null;
        patches = plan.Arena.Floats(rows * depthStride);
        products = Places == 1 ? null : plan.Arena.Floats(rows * unitStride);
        past = plan.Arena.Floats((long)plan.ContextTime * plan.MaximumRows * Input.Width);
        if (plan.IsTraining && Places > 1)
        {
            int most = checked(plan.MaximumRows * Places);
            placeRows = new ShardRows(plan.Arena, Output.MaximumTime, most, plan.MaximumShards);
            placeLengths = plan.Arena.Ints(most);
            placeOfRows = plan.Arena.Ints(most);
            firstRows = new int[plan.MaximumShards];
            rowCounts = new int[plan.MaximumShards];
        }
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        forward.PackTransposed(parameters + weight.Offset, depth);
        forward.SetBias(parameters + bias.Offset);
        backward?.Pack(parameters + weight.Offset, depth);
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        if (step.HasContext)
        {
            Remember(step);
        }

        float* results = products is null ? Output.Values : products;
        for (int at = scope.From, next; at < scope.Time; at = next)
        {
            next = scope.Piece(at, out int cells);
            nint cell = (nint)at * scope.Rows, row = cell * Places;
            for (int i = 0; i < cells; i++)
            {
                Gather(step, (int)((cell + i) / scope.Rows), (int)((cell + i) % scope.Rows), patches + ((cell + i) * Places * depthStride));
            }

            if (cells > 0)
            {
                Product.Multiply(cells * Places, patches + (row * depthStride), depthStride, forward, results + (row * unitStride), unitStride, ProductStart.Bias, step.Workspace);
                Transpose(cell, cells, toOutput: true);
            }
        }

        scope.ClearEnded(Output.Values, Output.Stride);
        Activations.Forward(config.Activation, scope.Cells, OutputWidth, Output.At(scope.From), Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        Activations.Backward(config.Activation, scope.Cells, OutputWidth, Output.At(scope.From), Output.GradientAt(scope.From), Output.Stride);
        for (int at = scope.From, next; at < scope.Time; at = next)
        {
            next = scope.Piece(at, out int cells);
            Transpose((nint)at * scope.Rows, cells, toOutput: false);
        }

        float* gradients = products is null ? Output.Gradient : products;
        ShardRows rows = placeRows is null ? scope.Shards : RowsOfPlaces(step, scope);
        ColumnGroups outputs = ColumnGroups.Padded(config.Units);
        WeightGradient.Compute(step.Merge, rows, gradients, unitStride, outputs, patches, depthStride, ColumnGroups.Padded(depth), step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd);
        WeightGradient.ColumnSums(step.Merge, rows, gradients, unitStride, outputs, step.SubtreeGradients, bias.Offset, step.Workspace, !step.IsEnd);
        if (backward is not null)
        {
            for (int at = scope.From, next; at < scope.Time; at = next)
            {
                next = scope.Piece(at, out int cells);
                nint row = (nint)at * scope.Rows * Places;
                if (cells > 0)
                {
                    Product.Multiply(cells * Places, gradients + (row * unitStride), unitStride, backward, patches + (row * depthStride), depthStride, ProductStart.Zero, step.Workspace, flush: true);
                }
            }

            InputGradient(scope);
        }
    }

    // What each place of an output cell reads: [places, channels, kernel]; zero beyond the row's ends and the features' ends.
    private void Gather(TrainingStep step, int at, int row, float* patch)
    {
        StepScope input = Input.Scope;
        int first = (at * time.Stride) + time.First, length = input.Lengths[row];
        float** steps = stackalloc float*[time.Size];
        for (int k = 0; k < time.Size; k++)
        {
            int source = first + k;
            steps[k] = source >= length || source + step.PastTime < 0 ? null
                : step.HasContext ? past + ((((nint)(source + step.PastTime) * input.Rows) + row) * Input.Width)
                : Input.Values + ((((nint)source * input.Rows) + row) * Input.Stride);
        }

        for (int place = 0; place < Places; place++, patch += depthStride)
        {
            int firstFeature = (place * feature.Stride) + feature.First;
            float* into = patch;
            for (int channel = 0; channel < channels; channel++)
            {
                for (int k = 0; k < time.Size; k++)
                {
                    float* values = steps[k] is null ? null : steps[k] + (channel * feature.Features);
                    for (int i = 0; i < feature.Size; i++)
                    {
                        int source = firstFeature + i;
                        *into++ = values is null || (uint)source >= (uint)feature.Features ? 0f : values[source];
                    }
                }
            }
        }
    }

    // Each input value's gradient: over the output steps that read it, earlier kernel places first, then along the features likewise.
    private void InputGradient(StepScope scope)
    {
        StepScope input = Input.Scope;
        for (int at = input.From; at < input.Time; at++)
        {
            for (int row = 0; row < input.Rows; row++)
            {
                float* gradient = Input.GradientAt(at) + ((nint)row * Input.Stride);
                new Span<float>(gradient, Input.Width).Clear();
                for (int k = 0; at < input.Lengths[row] && k < time.Size; k++)
                {
                    int distance = at - time.First - k, output = distance / time.Stride;
                    if (distance >= 0 && output * time.Stride == distance && output >= scope.From && output < scope.Lengths[row])
                    {
                        Add(patches + ((((nint)output * scope.Rows) + row) * Places * depthStride) + (k * feature.Size), gradient);
                    }
                }

                for (int i = 0; i < Input.Width; i++)
                {
                    gradient[i] = ScalarMath.Flush(gradient[i]);
                }
            }
        }
    }

    // The part of a cell's patches that one kernel step read, to what it read.
    private void Add(float* patch, float* gradient)
    {
        for (int place = 0; place < Places; place++, patch += depthStride)
        {
            int firstFeature = (place * feature.Stride) + feature.First;
            int start = Math.Max(0, -firstFeature), end = Math.Min(feature.Size, feature.Features - firstFeature);
            for (int channel = 0; channel < channels; channel++)
            {
                float* from = patch + (channel * time.Size * feature.Size), into = gradient + (channel * feature.Features) + firstFeature;
                for (int i = start; i < end; i++)
                {
                    into[i] += from[i];
                }
            }
        }
    }

    // Between the product's rows, place by place, and the output's, channel by channel.
    private void Transpose(nint firstCell, int cells, bool toOutput)
    {
        for (nint cell = firstCell; products is not null && cell < firstCell + cells; cell++)
        {
            float* rows = products + (cell * Places * unitStride), values = (toOutput ? Output.Values : Output.Gradient) + (cell * Output.Stride);
            for (int place = 0; place < Places; place++, rows += unitStride)
            {
                for (int unit = 0; unit < config.Units; unit++)
                {
                    if (toOutput)
                    {
                        values[(unit * Places) + place] = rows[unit];
                    }
                    else
                    {
                        rows[unit] = values[(unit * Places) + place];
                    }
                }
            }
        }
    }

    // The rows of each shard in the contract's order, a cell's places ascending: as if each place were a row of the batch.
    private ShardRows RowsOfPlaces(TrainingStep step, StepScope scope)
    {
        int shards = step.Merge.Range.Count;
        int* places = step.RowOrder.Places;
        for (int shard = 0; shard < shards; shard++)
        {
            firstRows[shard] = step.RowStarts[shard] * Places;
            rowCounts[shard] = (step.RowStarts[shard + 1] - step.RowStarts[shard]) * Places;
        }

        for (int row = 0; row < scope.Rows; row++)
        {
            for (int place = 0; place < Places; place++)
            {
                placeLengths[(row * Places) + place] = scope.Lengths[row];
                placeOfRows[(row * Places) + place] = ((places is null ? row : places[row]) * Places) + place;
            }
        }

        placeRows!.Build(scope.From, scope.Time, scope.Rows * Places, firstRows.AsSpan(0, shards), rowCounts.AsSpan(0, shards), placeLengths, placeOfRows);
        return placeRows;
    }

    private void Remember(TrainingStep step)
    {
        StepScope input = Input.Scope;
        for (nint cell = 0; cell < (nint)input.Time * input.Rows; cell++)
        {
            nint kept = ((nint)step.PastTime * input.Rows) + cell;
            NativeMemory.Copy(Input.Values + (cell * Input.Stride), past + (kept * Input.Width), (nuint)Input.Width * sizeof(float));
        }
    }
}
