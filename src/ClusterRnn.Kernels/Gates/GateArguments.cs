using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Gates;

/// <summary>
/// The operands of a gate kernel: a tile of rows x units of one time step. HP is hidden rounded up to 16; a gate buffer is
/// [rows, G x HP], everything else [rows, HP], without gaps between the rows.
/// </summary>
public unsafe struct GateArguments
{
    /// <summary>Rows.</summary>
    public int Rows;

    /// <summary>The first unit of the tile, a multiple of 8.</summary>
    public int FirstUnit;

    /// <summary>One more than the last unit of the tile, a multiple of 8: the padding beyond it is left alone.</summary>
    public int EndUnit;

    /// <summary>HP: floats from one row of a state to the next.</summary>
    public int Stride;

    /// <summary>Floats from one row of the gates to the next.</summary>
    public int GateStride;

    /// <summary>Forward: in pre-activations, out activations. Backward: in activations, out gradients of the pre-activations.</summary>
    public float* Gates; // [rows, G x HP]

    /// <summary>The hidden state before this step.</summary>
    public float* HiddenBefore; // [rows, HP]

    /// <summary>The hidden state after this step.</summary>
    public float* Hidden; // [rows, HP]

    /// <summary>The cell state before this step (LSTM).</summary>
    public float* CellBefore; // [rows, HP]

    /// <summary>The cell state after this step (LSTM).</summary>
    public float* Cell; // [rows, HP]

    /// <summary>tanh of the cell state after this step (LSTM without peepholes or normalised cells): out forward, unless null, in backward.</summary>
    public float* CellTanh; // [rows, HP]

    /// <summary>Backward: the gradient of this step's hidden state from the layers above, or null.</summary>
    public float* GradientAbove; // [rows, HP]

    /// <summary>Backward: in the gradient of the hidden state from the steps after, out what the recurrent product is added to.</summary>
    public float* HiddenGradient; // [rows, HP]

    /// <summary>Backward: in the gradient of the cell state from the steps after, out that of the cell state before (LSTM); or the gradient of the reset hidden state (GRU with the reset before).</summary>
    public float* CellGradient; // [rows, HP]

    /// <summary>The weights with which input, forget and output gate see the cell state (LSTM with peepholes).</summary>
    public float* Peepholes; // [3, HP]

    /// <summary>The normalised cell states (LSTM with layer normalisation).</summary>
    public float* Normals; // [rows, HP]

    /// <summary>Gain and bias of the normalised cell states (LSTM with layer normalisation).</summary>
    public float* NormalParameters; // [2, HP]

    /// <summary>Backward: the gradient of what gain and bias make of the normalised cell states (LSTM with layer normalisation).</summary>
    public float* NormalGradient; // [rows, HP]

    internal static GateArguments Tile(int rows, int hidden, int gates) => new()
    {
        Rows = rows,
        EndUnit = ColumnGroups.Padded(hidden).Reach,
        Stride = ColumnGroups.Pad(hidden),
        GateStride = gates * ColumnGroups.Pad(hidden),
    };

    // These rows and units of the tile alone.
    internal readonly GateArguments Part(int firstRow, int rows, int firstUnit, int endUnit)
    {
        GateArguments part = this;
        nint state = (nint)firstRow * Stride;
        part.Rows = rows;
        part.FirstUnit = firstUnit;
        part.EndUnit = endUnit;
        part.Gates = Gates + ((nint)firstRow * GateStride);
        part.HiddenBefore = At(HiddenBefore, state);
        part.Hidden = At(Hidden, state);
        part.CellBefore = At(CellBefore, state);
        part.Cell = At(Cell, state);
        part.CellTanh = At(CellTanh, state);
        part.GradientAbove = At(GradientAbove, state);
        part.HiddenGradient = At(HiddenGradient, state);
        part.CellGradient = At(CellGradient, state);
        part.Normals = At(Normals, state);
        part.NormalGradient = At(NormalGradient, state);
        return part;

        static float* At(float* pointer, nint offset) => pointer is null ? null : pointer + offset;
    }
}
