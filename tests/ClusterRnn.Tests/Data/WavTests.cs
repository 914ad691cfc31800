// WAV files: every kind of sample that is read, what is written, and each way of being broken with the byte where it shows.
using ClusterRnn.Data;

namespace ClusterRnn.Tests.Data;

public sealed class WavTests
{
    [Fact]
    public void WhatIsWrittenIsRead()
    {
        float[] samples = [0f, 0.5f, -0.5f, 1f, -1f, 2f];
        WavFile again = WavFile.Parse("a.wav", new WavFile(11025, samples).ToBytes());
        Assert.Equal(11025, again.SampleRate);
        Assert.Equal(6, again.Samples.Length);
        for (int i = 0; i < 5; i++)
        {
            Assert.Equal(samples[i], again.Samples[i], 1e-4f);
        }

        Assert.Equal(32767 / 32768f, again.Samples[5]); // cut
    }

    [Theory]
    [InlineData(1, 8, new byte[] { 128, 192, 0 }, new[] { 0f, 0.5f, -1f })]
    [InlineData(1, 16, new byte[] { 0, 0x40, 0, 0x80 }, new[] { 0.5f, -1f })]
    [InlineData(1, 24, new byte[] { 0, 0, 0x40, 0, 0, 0x80 }, new[] { 0.5f, -1f })]
    [InlineData(1, 32, new byte[] { 0, 0, 0, 0x40, 0, 0, 0, 0x80 }, new[] { 0.5f, -1f })]
    [InlineData(3, 32, new byte[] { 0, 0, 0, 0x3F, 0, 0, 0x80, 0xBF }, new[] { 0.5f, -1f })]
    public void EveryKindOfSampleIsRead(int encoding, int bits, byte[] data, float[] expected) =>
        Assert.Equal(expected, WavFile.Parse("a.wav", File(encoding, 1, bits, data)).Samples);

    [Fact]
    public void ChannelsAreAveragedAndOtherChunksSkipped()
    {
        byte[] file = File(1, 2, 16, [0, 0x40, 0, 0, 0, 0x80, 0, 0]);
        Assert.Equal([0.25f, -0.5f], WavFile.Parse("a.wav", file).Samples);
        byte[] list = [(byte)'L', (byte)'I', (byte)'S', (byte)'T', 3, 0, 0, 0, 1, 2, 3, 0]; // odd, with its pad
        Assert.Equal([0.25f, -0.5f], WavFile.Parse("a.wav", [.. file[..12], .. list, .. file[12..]]).Samples);
    }

    public static TheoryData<byte[], long, string> Broken
    {
        get
        {
            byte[] whole = File(1, 1, 16, [1, 0, 2, 0]);
            return new()
            {
                { [], 0, "0 bytes" },
                { "MThd\0\0\0\u0006\0\0\0\u0001"u8.ToArray(), 0, "RIFF and WAVE" },
                { whole[..30], 12, "16 bytes in the chunk 'fmt '" },
                { whole[..40], 36, "a chunk's name and length" },
                { whole[..46], 36, "4 bytes in the chunk 'data'" },
                { whole[..36], 36, "a chunk 'data'" },
                { File(1, 1, 16, [1, 0, 2]), 46, "1 bytes more than whole ones" },
                { File(1, 1, 16, []), 36, "samples, found none" },
                { File(6, 1, 8, [1]), 20, "encoding 6 of 8 bits" },
                { File(1, 0, 16, [1, 0]), 22, "0 channels" },
                { File(3, 1, 32, [0, 0, 0xC0, 0x7F]), 44, "a finite sample, found NaN" },
                { [.. whole[..12], .. whole[36..]], 12, "the chunk 'fmt ' before the samples" },
            };
        }
    }

    [Theory, MemberData(nameof(Broken))]
    public void BrokenFilesAreRefusedWithTheByte(byte[] bytes, long position, string what)
    {
        DataException error = Assert.Throws<DataException>(() => WavFile.Parse("a.wav", bytes));
        Assert.Contains(what, error.Message);
        Assert.Equal(position, error.Position);
    }

    /// <summary>Whatever is cut off or changed, a file is read or refused, never anything else.</summary>
    [Fact]
    public void DamageNeverCrashes()
    {
        byte[] whole = File(1, 2, 24, new byte[60]);
        int refused = 0;
        for (int i = 0; i < whole.Length; i++)
        {
            foreach (byte[] damaged in new[] { whole[..i], [.. whole[..i], 0xFF, .. whole[(i + 1)..]], [.. whole[..i], 0, .. whole[(i + 1)..]] })
            {
                try
                {
                    WavFile.Parse("a.wav", damaged);
                }
                catch (DataException)
                {
                    refused++;
                }
            }
        }

        Assert.True(refused > whole.Length, $"{refused}");
    }

    private static byte[] File(int encoding, int channels, int bits, byte[] data)
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        writer.Write("RIFF"u8);
        writer.Write(36 + data.Length);
        writer.Write("WAVEfmt "u8);
        writer.Write(16);
        writer.Write((short)encoding);
        writer.Write((short)channels);
        writer.Write(8000);
        writer.Write(8000 * channels * bits / 8);
        writer.Write((short)(channels * bits / 8));
        writer.Write((short)bits);
        writer.Write("data"u8);
        writer.Write(data.Length);
        writer.Write(data);
        return stream.ToArray();
    }
}
