namespace ClusterRnn.Models;

/// <summary>What the time steps of a row attend to.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Head">Which of its heads.</param>
/// <param name="Time">T: the row's time steps.</param>
/// <param name="Weights">[T, T]: for each time step its weights over all of them; 0 where it sees nothing, and before the first time step that was asked for.</param>
public sealed record AttentionMap(string Layer, int Head, int Time, float[] Weights);

/// <summary>How much the loss depends on a layer at each time step.</summary>
/// <param name="Layer">The layer's number, see <see cref="Model.LayerNames"/>.</param>
/// <param name="Norms">[T]: |dL/dh| of a recurrent layer's state after the time step; of a layer with attention, |dL/dx| of what it reads.</param>
public sealed record LayerGradients(int Layer, double[] Norms);

/// <summary>What is seen of a model that has read one row: see <see cref="ModelExecutor.Look"/>.</summary>
/// <param name="Gradients">Of each recurrent layer and each with attention, from below.</param>
/// <param name="Width">Values a time step that the first layer gives.</param>
/// <param name="Values">[T, Width]: what the first layer gives, such as a token's vector.</param>
/// <param name="ValueGradients">[T, Width]: dL/d of it.</param>
/// <param name="Attention">What it attends to, layer by layer and head by head.</param>
public sealed record ModelView(IReadOnlyList<LayerGradients> Gradients, int Width, float[] Values, float[] ValueGradients, IReadOnlyList<AttentionMap> Attention);

/// <summary>The gradients of one row's recurrent states, as the way back passes them.</summary>
internal sealed unsafe class StateGradients
{
    private readonly SortedDictionary<int, double[]> norms = [];

    /// <summary>Of each layer, by its number: |dL/dh| after each time step.</summary>
    public IReadOnlyDictionary<int, double[]> Norms => norms;

    /// <summary>Notes dL/dh of the first row after the time step <paramref name="at"/> of <paramref name="time"/>: what comes from the steps after, and from the layers above.</summary>
    public void Add(int layer, bool isReverse, int time, int at, int hidden, float* fromAfter, float* fromAbove)
    {
        if (isReverse)
        {
            return; // its lags run the other way
        }

        double squares = 0;
        for (int i = 0; i < hidden; i++)
        {
            double value = (double)fromAfter[i] + (fromAbove is null ? 0f : fromAbove[i]);
            squares += value * value;
        }

        if (!norms.TryGetValue(layer, out double[]? ofLayer))
        {
            norms.Add(layer, ofLayer = new double[time]);
        }

        ofLayer[at] = Math.Sqrt(squares);
    }
}
