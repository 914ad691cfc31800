using ClusterRnn.Kernels.Attention;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>One of the two sequences of a model with an encoder and a decoder; other models have a source alone.</summary>
public enum SequenceSide
{
    /// <summary>What the model, or its encoder, reads.</summary>
    Source,

    /// <summary>What the decoder writes, and at the next time step reads.</summary>
    Target,
}

/// <summary>What the time steps of a row attend to.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Head">Which of its heads.</param>
/// <param name="QuerySide">Whose time steps attend; of the target's they are those at which its tokens are written.</param>
/// <param name="KeySide">Whose time steps they attend to; of the target's they are those at which its tokens are read, the first its beginning.</param>
/// <param name="Queries">Time steps that attend.</param>
/// <param name="Keys">Time steps that may be attended to.</param>
/// <param name="Weights">[Queries, Keys]: for each time step its weights; 0 where it sees nothing, and before the first time step that was asked for.</param>
public sealed record AttentionMap(string Layer, int Head, SequenceSide QuerySide, SequenceSide KeySide, int Queries, int Keys, float[] Weights)
{
    /// <summary>A head's weights, computed again for people from its queries and keys.</summary>
    internal static unsafe AttentionMap Of(string layer, int head, SequenceSide querySide, SequenceSide keySide, in AttentionArguments arguments)
    {
        int queries = arguments.FirstQuery + arguments.Queries, keys = arguments.Keys;
        float[] weights = new float[queries * keys];
        double[] scores = new double[keys];
        for (int query = 0; query < arguments.Queries; query++)
        {
            int seen = arguments.IsCausal ? arguments.FirstQuery + query + 1 : keys;
            double greatest = double.NegativeInfinity, sum = 0;
            for (int key = 0; key < seen; key++)
            {
                scores[key] = Sums.Dot(arguments.HeadWidth, arguments.Query + (query * arguments.QueryStride), arguments.Key + (key * arguments.KeyStride)) * arguments.Scale;
                greatest = Math.Max(greatest, scores[key]);
            }

            for (int key = 0; key < seen; key++)
            {
                scores[key] = ScalarMath.Exp(scores[key] - greatest);
                sum += scores[key];
            }

            for (int key = 0; key < seen; key++)
            {
                weights[((arguments.FirstQuery + query) * keys) + key] = (float)(scores[key] / sum);
            }
        }

        return new AttentionMap(layer, head, querySide, keySide, queries, keys, weights);
    }
}

/// <summary>How much the loss depends on a layer at each time step.</summary>
/// <param name="Layer">The layer's number, see <see cref="Model.LayerNames"/>.</param>
/// <param name="Side">Whose time steps it runs along.</param>
/// <param name="Norms">[T]: |dL/dh| of a recurrent layer's state after the time step; of a layer with attention, |dL/dx| of what it reads.</param>
public sealed record LayerGradients(int Layer, SequenceSide Side, double[] Norms);

/// <summary>What is seen of a model that has read one row: see <see cref="ModelExecutor.Look"/>.</summary>
/// <param name="Gradients">Of each recurrent layer and each with attention, from below.</param>
/// <param name="Width">Values a time step that the first layer (of an encoder, where there is one) gives.</param>
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
