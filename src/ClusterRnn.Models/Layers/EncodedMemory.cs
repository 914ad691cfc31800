// What a decoder sees of its encoder: the outputs at all time steps of the source, and each recurrent level's last states. Source
// and target of a row differ in length, so the encoder has an order of rows of its own; PlaceOf leads from one to the other.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>An encoder's results, with their gradients.</summary>
/// <param name="output">The last layer's output.</param>
/// <param name="levels">Its recurrent levels, the lowest first.</param>
/// <param name="order">The order in which the encoder computes the rows.</param>
/// <param name="rows">The rows of each shard that have a source, as cells of one time step in the encoder's order.</param>
internal sealed unsafe class EncodedMemory(Signal output, IReadOnlyList<EncoderLevel> levels, RowOrder order, Func<ShardRows> rows)
{
    /// <summary>The outputs.</summary>
    public Signal Output => output;

    /// <summary>The time axis of the source.</summary>
    public StepScope Scope => output.Scope;

    /// <summary>The recurrent levels, the lowest first.</summary>
    public IReadOnlyList<EncoderLevel> Levels => levels;

    /// <summary>The rows of each shard that have a source, as cells of one time step in the encoder's order.</summary>
    public ShardRows Rows => rows();

    /// <summary>The order in which the decoder computes its rows.</summary>
    public RowOrder DecoderOrder { get; set; } = null!;

    /// <summary>How many of the decoder's rows in turn have the same source (the hypotheses of a beam).</summary>
    public int RowsPerSource { get; set; } = 1;

    /// <summary>Where the source of the decoder's row at a place lies.</summary>
    public int PlaceOf(int place) => order.PlaceOf(DecoderOrder.RowAt(place) / RowsPerSource);

    /// <summary>The source's length of the decoder's row at a place.</summary>
    public int LengthOf(int place) => Scope.Lengths[PlaceOf(place)];

    /// <summary>Sets all gradients to +0, for those who add to them.</summary>
    public void ClearGradients()
    {
        if (output.HasGradient)
        {
            NativeMemory.Clear(output.Gradient, (nuint)Scope.Time * (nuint)Scope.Rows * (nuint)output.Stride * sizeof(float));
        }

        foreach (EncoderLevel level in levels)
        {
            level.ClearGradients();
        }
    }
}

/// <summary>The last states of a recurrent level: of its one direction, or of both side by side.</summary>
/// <param name="directions">Its directions.</param>
internal sealed unsafe class EncoderLevel(IReadOnlyList<RecurrentLayer> directions)
{
    /// <summary>Its directions.</summary>
    public IReadOnlyList<RecurrentLayer> Directions => directions;

    /// <summary>Copies the states of the row at a place.</summary>
    /// <param name="place">Its place in the encoder's order.</param>
    /// <param name="isCell">Whether the cell states.</param>
    /// <param name="into">[Width], overwritten.</param>
    public void Read(int place, bool isCell, float* into)
    {
        foreach (RecurrentLayer direction in directions)
        {
            new ReadOnlySpan<float>(isCell ? direction.LastCell(place) : direction.LastState(place), direction.OutputWidth).CopyTo(new Span<float>(into, direction.OutputWidth));
            into += direction.OutputWidth;
        }
    }

    /// <summary>Adds to the gradient of the states of the row at a place.</summary>
    /// <param name="place">Its place in the encoder's order.</param>
    /// <param name="isCell">Whether that of the cell states.</param>
    /// <param name="from">[Width].</param>
    public void AddGradient(int place, bool isCell, float* from)
    {
        foreach (RecurrentLayer direction in directions)
        {
            float* gradient = isCell ? direction.LastCellGradient(place) : direction.LastStateGradient(place);
            ElementwiseFunctions.Add(direction.OutputWidth, gradient, from, gradient);
            from += direction.OutputWidth;
        }
    }

    /// <summary>Sets the gradients to +0.</summary>
    public void ClearGradients()
    {
        foreach (RecurrentLayer direction in directions)
        {
            direction.ClearLastGradients();
        }
    }
}
