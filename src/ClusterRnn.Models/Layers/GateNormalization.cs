// Layer normalisation within a recurrent cell (Ba, Kiros and Hinton, Layer normalization, 2016, equations 20 to 31): the input's
// part W x and the state's part R h of the gates are normalised each by itself, each with a gain and a bias of its own, and
// then added:
//
//     gates = LN(W x; gain_ih, bias_ih) + LN(R h; gain_hh, bias_hh)
//
// The gates of an LSTM share mean and variance; of a GRU reset and update gate share them, its candidate has its own (equations
// 29 to 31). The biases are the plain cell's two, in the place of the paper's, whose third, b, would add to them: the parameters of
// PyTorch's LayerNormLSTMCell (benchmarks/fastrnns/custom_lstms.py), which however carries the normalised cell on; here as in the
// paper the cell is normalised on its way to the output alone (CellNormalization).
//
// All time steps' normalised values and both gradients are kept, in the order of the gates: five times a plain cell's room.
using ClusterRnn.Kernels.Normalization;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>The normalisation of both parts of the gates of one direction of a recurrent level: <c>gain_ih_l*</c> and <c>gain_hh_l*</c> [G H].</summary>
/// <param name="name">The layer's name.</param>
/// <param name="suffix">The last part of its tensors' names.</param>
/// <param name="input">Where the gates' input part lies in a row.</param>
/// <param name="state">Where their state's part lies: where both lie, they are added.</param>
/// <param name="stride">Floats from one row of gates to the next.</param>
/// <param name="sharing">How many gates, one after the other, share mean and variance.</param>
internal sealed unsafe class GateNormalization(string name, string suffix, ColumnGroups input, ColumnGroups state, int stride, params int[] sharing)
{
    /// <summary>What is added to the variance, PyTorch's default.</summary>
    public const float Epsilon = 1e-5f;

    private readonly Part ofInput = new(input, false);
    private readonly Part ofState = new(state, true);

    /// <summary>Where the state's part lies in a row.</summary>
    public ColumnGroups State => state;

    /// <summary>The product W x, then its normalised values.</summary>
    public float* Input => ofInput.Normals; // [T, B, stride]

    /// <summary>After <see cref="Backward(long, int, float*)"/>: the gradient of W x.</summary>
    public float* InputGradient => ofInput.Gradient; // [T, B, stride]

    /// <summary>The product R h, then its normalised values.</summary>
    public float* StateProduct => ofState.Normals; // [T, B, stride]

    /// <summary>After <see cref="Backward(long, int, float*)"/>: the gradient of R h.</summary>
    public float* StateGradient => ofState.Gradient; // [T, B, stride]

    /// <summary>Declares the gains: ones at first.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        declarations.Add($"{name}.gain_ih_{suffix}", Initializer.Of(1.0), input.Total);
        declarations.Add($"{name}.gain_hh_{suffix}", Initializer.Of(1.0), input.Total);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout, ParameterTensor inputBias, ParameterTensor stateBias)
    {
        (ofInput.GainTensor, ofInput.BiasTensor) = (layout[$"{name}.gain_ih_{suffix}"], inputBias);
        (ofState.GainTensor, ofState.BiasTensor) = (layout[$"{name}.gain_hh_{suffix}"], stateBias);
    }

    /// <summary>Takes the buffers.</summary>
    public void Plan(LayerPlan plan)
    {
        foreach (Part part in (ReadOnlySpan<Part>)[ofInput, ofState])
        {
            part.Normals = plan.Arena.Floats(plan.MaximumCells * stride);
            part.Inverses = plan.Arena.Floats(plan.MaximumCells * sharing.Length);
            part.Gradient = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * stride) : null;
        }
    }

    /// <summary>Takes over new parameters.</summary>
    public void Pack(float* parameters)
    {
        ofInput.Parameters = parameters;
        ofState.Parameters = parameters;
    }

    /// <summary>From <see cref="Input"/> and <see cref="StateProduct"/>: the pre-activations.</summary>
    /// <param name="cell">The time step's first cell.</param>
    /// <param name="rows">How many rows, the first ones.</param>
    /// <param name="gates">[T, B, stride]: overwritten there.</param>
    public void Forward(long cell, int rows, float* gates)
    {
        Forward(ofInput, cell, rows, gates);
        Forward(ofState, cell, rows, gates);
    }

    /// <summary>From the gradients of the pre-activations: those of W x and R h.</summary>
    /// <inheritdoc cref="Forward(long, int, float*)" path="/param"/>
    public void Backward(long cell, int rows, float* gates)
    {
        Backward(ofInput, cell, rows, gates);
        Backward(ofState, cell, rows, gates);
    }

    /// <summary>The gradients of gains and biases.</summary>
    /// <param name="step">The step.</param>
    /// <param name="shards">The cells of each shard.</param>
    /// <param name="gates">[T, B, stride]: the gradients of the pre-activations.</param>
    public void Tensors(TrainingStep step, ShardRows shards, float* gates)
    {
        foreach (Part part in (ReadOnlySpan<Part>)[ofInput, ofState])
        {
            WeightGradient.ColumnSums(step.Merge, shards, gates, stride, part.Columns, step.SubtreeGradients, part.BiasTensor.Offset, step.Workspace, !step.IsEnd);
            for (int gate = 0; gate < part.Columns.Count; gate++)
            {
                int first = part.Columns.Offset(gate);
                var columns = new ColumnGroups(1, part.Columns.Width, true, first);
                WeightGradient.ColumnProducts(
                    step.Merge, shards, gates, stride, columns, part.Normals + first, stride, step.SubtreeGradients, part.GainTensor.Offset + ((long)gate * part.Columns.Width), step.Workspace, !step.IsEnd);
            }
        }
    }

    private void Forward(Part part, long cell, int rows, float* gates)
    {
        for (int i = 0, gate = 0; i < sharing.Length; gate += sharing[i++])
        {
            GateNormArguments arguments = Arguments(part, i, gate, cell, rows);
            arguments.Source = arguments.Normals;
            arguments.Target = gates + (cell * stride) + part.Columns.Offset(gate);
            arguments.Adds = part.IsAdded && part.Columns.Offset(gate) == input.Offset(gate);
            GateNorm.ForwardKernel.Run(arguments);
        }
    }

    private void Backward(Part part, long cell, int rows, float* gates)
    {
        for (int i = 0, gate = 0; i < sharing.Length; gate += sharing[i++])
        {
            GateNormArguments arguments = Arguments(part, i, gate, cell, rows);
            arguments.Gradient = gates + (cell * stride) + part.Columns.Offset(gate);
            arguments.SourceGradient = part.Gradient + (cell * stride) + part.Columns.Offset(gate);
            GateNorm.BackwardKernel.Run(arguments);
        }
    }

    // The gates from one on that share mean and variance; each time step's inverses lie together.
    private GateNormArguments Arguments(Part part, int group, int gate, long cell, int rows) => new()
    {
        Rows = rows,
        Gates = sharing[group],
        Width = input.Width,
        Stride = stride,
        Normals = part.Normals + (cell * stride) + part.Columns.Offset(gate),
        Inverses = part.Inverses + (cell * sharing.Length) + ((long)rows * group),
        Gain = part.Parameters + part.GainTensor.Offset + ((long)gate * input.Width),
        Bias = part.Parameters + part.BiasTensor.Offset + ((long)gate * input.Width),
        Epsilon = Epsilon,
    };

    // What is normalised by itself.
    private sealed class Part(ColumnGroups columns, bool isAdded)
    {
        public ColumnGroups Columns { get; } = columns;

        public bool IsAdded { get; } = isAdded;

        public ParameterTensor GainTensor { get; set; } = null!;

        public ParameterTensor BiasTensor { get; set; } = null!;

        public float* Parameters { get; set; }

        public float* Normals { get; set; } // [T, B, stride]

        public float* Inverses { get; set; } // [T, groups, rows], from cell x groups on

        public float* Gradient { get; set; } // [T, B, stride]
    }
}
