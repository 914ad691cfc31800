// How a layer that looks at several time steps at once (convolution, pooling) moves along a row: which input steps an output
// step reads, and how many output steps a row of a given length has. A row's outputs depend on its own length alone, never on
// the padding after it; steps before its start and after its end count as zero.
namespace ClusterRnn.Models;

/// <summary>A window of some time steps that moves along a row.</summary>
/// <param name="Size">K: time steps that an output reads.</param>
/// <param name="Stride">S: input steps from one output to the next.</param>
/// <param name="Padding">What happens at a row's ends.</param>
internal readonly record struct TimeKernel(int Size, int Stride, ConvolutionPadding Padding)
{
    /// <summary>The first input step of output step 0, negative: that many steps before the row's start count as zero.</summary>
    public int First => Padding switch
    {
        ConvolutionPadding.Causal => 1 - Size,
        ConvolutionPadding.Same => -((Size - 1) / 2),
        _ => 0,
    };

    /// <summary>Whether a row has as many output steps as input steps, one for each.</summary>
    public bool KeepsTime => Stride == 1 && (Size == 1 || Padding != ConvolutionPadding.Valid);

    /// <summary>Whether an output reads later input steps than its own.</summary>
    public bool ReadsAhead => !KeepsTime || (Size > 1 && Padding == ConvolutionPadding.Same);

    /// <summary>
    /// Output steps of a row: with padding ceil(length / S), without floor((length - K) / S) + 1; a row shorter than the kernel has one, as if it went on with zeros.
    /// </summary>
    /// <param name="length">Its input steps.</param>
    public int After(int length) => length <= 0 ? 0
        : Padding == ConvolutionPadding.Valid ? (Math.Max(0, length - Size) / Stride) + 1
        : (length + Stride - 1) / Stride;
}
