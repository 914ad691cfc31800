// How a decoder's recurrent level starts: from the last state of an encoder's level. Where both are equally wide it is the state
// itself; where they differ, tanh(W s + b), as Bahdanau et al. (2015) start their decoder. An LSTM takes its cell state from an
// LSTM's cell state, from other layers by a bridge of its own from their hidden state.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>The states before a decoder's first time step.</summary>
internal sealed unsafe class StateBridge
{
    private readonly int level;
    private readonly Part hidden;
    private readonly Part? cell;
    private EncodedMemory memory = null!;

    /// <summary>Names the tensors.</summary>
    /// <param name="name">The decoder's layer.</param>
    /// <param name="suffix">The last part of its tensors' names.</param>
    /// <param name="level">The encoder's recurrent level.</param>
    /// <param name="from">Its states' width and kind.</param>
    /// <param name="units">H: the decoder's width.</param>
    /// <param name="hasCell">Whether the decoder's layer has a cell state.</param>
    /// <param name="initializer">How weights are drawn.</param>
    public StateBridge(string name, string suffix, int level, EncoderLevelShape from, int units, bool hasCell, InitializerKind initializer)
    {
        this.level = level;
        hidden = new Part($"{name}.bridge_h_{suffix}", from.Width, units, isCell: false, from.Width != units, initializer);
        cell = hasCell ? new Part($"{name}.bridge_c_{suffix}", from.Width, units, from.HasCell, from.Width != units || !from.HasCell, initializer) : null;
    }

    /// <summary>Declares the tensors.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        hidden.Linear?.Declare(declarations);
        cell?.Linear?.Declare(declarations);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        hidden.Linear?.Bind(layout);
        cell?.Linear?.Bind(layout);
    }

    /// <summary>Takes the buffers.</summary>
    public void Plan(LayerPlan plan)
    {
        memory = plan.Memory!;
        hidden.Plan(plan);
        cell?.Plan(plan);
    }

    /// <summary>Packs new parameters.</summary>
    public void Pack(float* parameters)
    {
        hidden.Linear?.Pack(parameters);
        cell?.Linear?.Pack(parameters);
    }

    /// <summary>Takes the states over from the encoder, which has run.</summary>
    public void Forward(TrainingStep step)
    {
        hidden.Forward(step, memory, memory.Levels[level]);
        cell?.Forward(step, memory, memory.Levels[level]);
    }

    /// <summary>The first state of the decoder's row at a place.</summary>
    public float* StateOf(int place, bool isCell) => (isCell ? cell! : hidden).At(memory.PlaceOf(place));

    /// <summary>Parameters' gradients, and those of the encoder's last states.</summary>
    /// <param name="step">The step.</param>
    /// <param name="gradient">[B, stride]: dL/dstate, in the decoder's order.</param>
    /// <param name="cellGradient">[B, stride]: of the cell state, or null without one.</param>
    public void Backward(TrainingStep step, float* gradient, float* cellGradient)
    {
        hidden.Backward(step, memory, memory.Levels[level], gradient);
        cell?.Backward(step, memory, memory.Levels[level], cellGradient);
    }

    private sealed class Part
    {
        private readonly bool isCell;
        private readonly int sourceWidth;
        private readonly int units;
        private readonly int sourceStride;
        private readonly int stride;
        private float* source; // [B, sourceStride], in the encoder's order
        private float* state; // [B, stride]
        private float* gradient; // [B, stride]
        private float* sourceGradient; // [B, sourceStride]

        public Part(string name, int sourceWidth, int units, bool isCell, bool isLearned, InitializerKind initializer)
        {
            this.sourceWidth = sourceWidth;
            this.units = units;
            this.isCell = isCell;
            sourceStride = ColumnGroups.Pad(sourceWidth);
            stride = ColumnGroups.Pad(units);
            if (isLearned)
            {
                var rule = new Initializer(initializer, sourceWidth, units);
                Linear = new LinearPart($"{name}.weight", $"{name}.bias", sourceWidth, ColumnGroups.Padded(units), rule, initializer == InitializerKind.Orthogonal ? Initializer.Of(0.0) : rule);
            }
        }

        public LinearPart? Linear { get; }

        public void Plan(LayerPlan plan)
        {
            Linear?.Plan(plan, ColumnGroups.Padded(sourceWidth), plan.IsTraining);
            source = plan.Arena.Floats((long)plan.MaximumRows * sourceStride);
            state = Linear is null ? source : plan.Arena.Floats((long)plan.MaximumRows * stride);
            gradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * stride) : null;
            sourceGradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * sourceStride) : null;
        }

        public float* At(int place) => state + ((nint)place * stride);

        public void Forward(TrainingStep step, EncodedMemory memory, EncoderLevel from)
        {
            int rows = memory.Scope.Rows;
            for (int place = 0; place < rows; place++)
            {
                from.Read(place, isCell, source + ((nint)place * sourceStride));
            }

            if (Linear is not null)
            {
                Linear.Forward(0, rows, source, sourceStride, state, stride, step.Workspace);
                ElementwiseFunctions.Forward(Activation.Tanh, (long)rows * stride, state, state);
            }
        }

        public void Backward(TrainingStep step, EncodedMemory memory, EncoderLevel into, float* stateGradient)
        {
            int rows = memory.Scope.Rows;
            for (int place = 0; place < rows; place++)
            {
                new ReadOnlySpan<float>(stateGradient + ((nint)place * stride), units).CopyTo(new Span<float>(gradient + ((nint)memory.PlaceOf(place) * stride), units));
            }

            float* back = gradient;
            if (Linear is not null)
            {
                ElementwiseFunctions.Backward(Activation.Tanh, (long)rows * stride, state, gradient, gradient);
                Linear.Gradients(step, memory.Rows, gradient, stride, source, sourceStride);
                Linear.Backward(0, rows, gradient, stride, sourceGradient, sourceStride, accumulates: false, step.Workspace);
                back = sourceGradient;
            }

            for (int place = 0; place < rows; place++)
            {
                if (memory.Scope.Lengths[place] > 0)
                {
                    into.AddGradient(place, isCell, back + ((nint)place * sourceStride));
                }
            }
        }
    }
}

/// <summary>The states that an encoder's recurrent level ends in.</summary>
/// <param name="Width">Units of all its directions.</param>
/// <param name="HasCell">Whether there are cell states.</param>
internal readonly record struct EncoderLevelShape(int Width, bool HasCell);
