using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Tests.Kernels;

public class RandomTests
{
    // The known answers of Random123 1.14 (kat_vectors, philox4x32 10).
    [Theory]
    [InlineData(0UL, 0UL, 0UL, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(ulong.MaxValue, ulong.MaxValue, ulong.MaxValue, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(0x299f31d0a4093822UL, 0x0370734413198a2eUL, 0x85a308d3243f6a88UL, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void PhiloxGivesTheKnownAnswers(ulong key, ulong high, ulong low, uint word0, uint word1, uint word2, uint word3) =>
        Assert.Equal((word0, word1, word2, word3), Philox.Block(key, high, low));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(64)]
    [InlineData(1000)]
    [InlineData(4097)]
    public void APermutationHitsEveryPlaceOnce(long count)
    {
        var permutation = new KeyedPermutation(7, RandomPurpose.Shuffle, 3, count);
        var seen = new HashSet<long>();
        for (long i = 0; i < count; i++)
        {
            long at = permutation.At(i);
            Assert.InRange(at, 0, count - 1);
            Assert.True(seen.Add(at));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => permutation.At(count));
    }

    [Fact]
    public void PermutationsOfAnotherEpochOrSeedDiffer()
    {
        long Moved(KeyedPermutation a, KeyedPermutation b) => Enumerable.Range(0, 1000).Count(i => a.At(i) != b.At(i));
        var first = new KeyedPermutation(7, RandomPurpose.Shuffle, 0, 1000);
        Assert.Equal(0, Moved(first, new KeyedPermutation(7, RandomPurpose.Shuffle, 0, 1000)));
        Assert.True(Moved(first, new KeyedPermutation(7, RandomPurpose.Shuffle, 1, 1000)) > 900);
        Assert.True(Moved(first, new KeyedPermutation(8, RandomPurpose.Shuffle, 0, 1000)) > 900);
        Assert.True(Moved(first, new KeyedPermutation(7, RandomPurpose.Bucket, 0, 1000)) > 900);
    }

    [Fact]
    public void UniformsAndNormalsHaveTheRightMoments()
    {
        var key = new RandomKey(5, RandomPurpose.Initialize, 2, 0);
        const int count = 100_000;
        double uniform = 0, normal = 0, square = 0, fourth = 0;
        for (int i = 0; i < count; i++)
        {
            float u = key.Uniform(0, 0, i);
            Assert.InRange(u, 0f, MathF.BitDecrement(1f));
            uniform += u;
            double n = key.NormalDeviateDouble(0, 0, i);
            normal += n;
            square += n * n;
            fourth += n * n * n * n;
        }

        Assert.Equal(0.5, uniform / count, 0.005);
        Assert.Equal(0, normal / count, 0.015);
        Assert.Equal(1, square / count, 0.02);
        Assert.Equal(3, fourth / count, 0.15);
    }

    [Fact]
    public void EveryPartOfAnAddressMatters()
    {
        var key = new RandomKey(5, RandomPurpose.Dropout, 2, 9);
        float[] numbers =
        [
            key.Uniform(1, 2, 3), key.Uniform(2, 2, 3), key.Uniform(1, 3, 3), key.Uniform(1, 2, 4), key.Uniform(1, 2, 7),
            new RandomKey(6, RandomPurpose.Dropout, 2, 9).Uniform(1, 2, 3), new RandomKey(5, RandomPurpose.Sample, 2, 9).Uniform(1, 2, 3),
            new RandomKey(5, RandomPurpose.Dropout, 3, 9).Uniform(1, 2, 3), new RandomKey(5, RandomPurpose.Dropout, 2, 10).Uniform(1, 2, 3),
        ];
        Assert.Equal(numbers.Length, numbers.Distinct().Count());
    }

    [Fact]
    public void BelowStaysBelow()
    {
        var key = new RandomKey(5, RandomPurpose.Generate, 0, 0);
        var counts = new int[7];
        for (int i = 0; i < 7000; i++)
        {
            counts[key.Below(0, 0, i, 7)]++;
        }

        Assert.All(counts, c => Assert.InRange(c, 850, 1150));
    }
}
