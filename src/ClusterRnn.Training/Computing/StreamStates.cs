namespace ClusterRnn.Training.Computing;

/// <summary>What a skipped step does to the recurrent states.</summary>
public static unsafe class StreamStates
{
    /// <summary>Zeroes each row whose state is not finite, so that a poisoned step doesn't poison the next.</summary>
    /// <param name="states">[rows, width], updated.</param>
    /// <param name="rows">How many rows there are.</param>
    /// <param name="width">Floats a row.</param>
    /// <returns>How many rows were zeroed.</returns>
    public static int ZeroNonFinite(float* states, int rows, int width)
    {
        int zeroed = 0;
        for (int row = 0; row < rows; row++)
        {
            float* state = states + (long)row * width;
            if (!ContentDigest.IsFinite(state, width))
            {
                new Span<float>(state, width).Clear();
                zeroed++;
            }
        }

        return zeroed;
    }
}
