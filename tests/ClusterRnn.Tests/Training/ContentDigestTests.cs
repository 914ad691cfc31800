using ClusterRnn.Models;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Tests.Training;

public sealed unsafe class ContentDigestTests
{
    [Fact]
    public void NaNsCompareAsNaNAndNotByPayload()
    {
        ParameterLayout layout = TrainingFixtures.Layout(30, 40, 3);
        ulong[] positive = Digest(0x7FC00000, 500, out bool finite);
        Assert.False(finite);
        Assert.Equal(positive, Digest(0xFFC00000, 500, out _));
        Assert.Equal(positive, Digest(0x7FC0BEEF, 500, out _));
        Assert.NotEqual(positive, Digest(0x7F800000, 500, out _)); // infinity
        Assert.NotEqual(positive, Digest(0x7FC00000, 501, out _));
        Assert.NotEqual(positive, Digest(0x3F800000, 500, out finite));
        Assert.True(finite);

        ulong[] Digest(uint bits, int at, out bool isFinite)
        {
            float[] gradient = new float[layout.Length];
            for (int i = 0; i < gradient.Length; i++)
            {
                gradient[i] = i * 0.25f;
            }

            gradient[at] = BitConverter.UInt32BitsToSingle(bits);
            ulong[] layers = new ulong[layout.Tensors.Max(tensor => tensor.Layer) + 1];
            fixed (float* pointer = gradient)
            {
                isFinite = ShardComputer.DigestGradient(layout, pointer, layers);
            }

            return layers;
        }
    }
}
