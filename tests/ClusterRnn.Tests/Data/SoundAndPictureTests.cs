// Sound as classes and pictures as pixels: the mu-law, PNG files whole and broken, and the streams and rows that are made of them.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class SoundAndPictureTests : IDisposable
{
    private static readonly Batching s_batching = new(4, 10, 10, true, 1);

    // A picture's first two parts as another program writes them (its checksum included), and then nothing.
    private static readonly byte[] s_colours = Convert.FromHexString("89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a73");

    private readonly Scratch _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData(0f, 128)]
    [InlineData(1f, 255)]
    [InlineData(-1f, 0)]
    [InlineData(5f, 255)]
    [InlineData(0.5f, 239)] // torchaudio's mu_law_encoding gives these
    [InlineData(-0.01f, 98)]
    [InlineData(0.1f, 203)]
    public void SamplesAreClassesOfTheMuLaw(float sample, int expected) => Assert.Equal(expected, MuLaw.Encode(sample));

    [Fact]
    public void ClassesAreSamplesAgain()
    {
        for (int token = 0; token < MuLaw.Classes; token++)
        {
            Assert.Equal(token, MuLaw.Encode(MuLaw.Decode(token)));
            Assert.True(token == 0 || MuLaw.Decode(token) > MuLaw.Decode(token - 1));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => MuLaw.Decode(256));
    }

    [Fact]
    public void RecordingsFollowEachOther()
    {
        _scratch.Write("b.wav", new WavFile(8000, [0.5f, .. new float[99]]).ToBytes());
        _scratch.Write("a.wav", new WavFile(8000, [1f, .. new float[99]]).ToBytes());
        _scratch.Write("c.txt", "no sound");
        Dataset data = Dataset.Open(new AudioData { Path = _scratch.Folder, Validation = 0.1 }, s_batching, _scratch.Folder);
        Assert.Equal((256, 256), (data.InputVocabulary, data.OutputWidth));
        Assert.Equal(179, data.Training.TargetsPerPass);
        Assert.EndsWith("left out 1 of these: files that are no .wav", data.Notes[1]);
        using var batch = new SpanBatch(10, 4, 0, 0);
        data.Training.Fill(data.Training.Plan(0), 0, 4, batch);
        Assert.Equal([255, 128], new[] { batch.Tokens[0], batch.TargetTokens[0] });

        Assert.Contains("8000", Assert.Throws<DataException>(() => Dataset.Open(new AudioData { Path = _scratch.Folder, SampleRate = 16000 }, s_batching, _scratch.Folder)).Message);
        Assert.Contains("at least 4001 samples", Assert.Throws<DataException>(() => Dataset.Open(new AudioData { Path = _scratch.Folder }, s_batching with { Span = 1000 }, _scratch.Folder)).Message);
    }

    [Fact]
    public void PicturesAreWrittenAndRead()
    {
        var picture = new PngFile(3, 2, [0, 100, 255, 7, 8, 9]);
        PngFile again = PngFile.Parse("a.png", picture.ToBytes());
        Assert.Equal((3, 2), (again.Width, again.Height));
        Assert.Equal(picture.Pixels, again.Pixels);
    }

    /// <summary>Each filter, and colours with and without transparency, against pictures put together by hand.</summary>
    [Theory]
    [InlineData(0, new byte[] { 0, 10, 20, 30, 1, 5, 5, 5, 2, 1, 1, 1, 3, 2, 2, 2, 4, 3, 3, 3 }, 4, 5, new byte[] { 10, 20, 30, 5, 10, 15, 6, 11, 16, 5, 10, 15, 8, 13, 18 })]
    [InlineData(2, new byte[] { 0, 255, 0, 0, 0, 255, 0, 0, 0, 0, 255, 255, 255, 255 }, 7, 2, new byte[] { 76, 150, 29, 255 })]
    [InlineData(4, new byte[] { 0, 0, 255, 0, 0 }, 5, 1, new byte[] { 0, 255 })]
    public void EveryFilterAndColourIsRead(int colour, byte[] rows, int rowBytes, int height, byte[] expected)
    {
        int channels = colour switch { 2 => 3, 4 => 2, _ => 1 };
        PngFile picture = PngFile.Parse("a.png", Png((rowBytes - 1) / channels, height, colour, rows));
        Assert.Equal(expected, picture.Pixels);
    }

    [Fact]
    public void BrokenPicturesAreRefusedWithTheByte()
    {
        byte[] whole = new PngFile(3, 2, [0, 100, 255, 7, 8, 9]).ToBytes();
        (byte[] Bytes, long? Position, string What)[] cases =
        [
            ([], 0, "0 bytes"),
            ("GIF89a..."u8.ToArray(), 0, "begins with"),
            (whole[..20], 8, "13 bytes in the chunk 'IHDR', found 0 before"),
            (whole[..^12], whole.Length - 12, "12 bytes"),
            ([.. whole[..17], 4, .. whole[18..]], 8, "checksum"),
            (Png(2, 1, 3, [0, 1, 2]), 24, "colour type 3"),
            (Png(0, 1, 0, []), 16, "0 x 1"),
            (Png(2, 1, 0, [9, 1, 2]), null, "a filter from 0 to 4, found 9 in row 1"),
            (Png(2, 2, 0, [0, 1, 2]), null, "6 bytes of unpacked pixels, found 3"),
            (s_colours, 33, "found 0 bytes before the end"),
        ];
        foreach ((byte[] bytes, long? position, string what) in cases)
        {
            DataException error = Assert.Throws<DataException>(() => PngFile.Parse("a.png", bytes));
            Assert.Contains(what, error.Message);
            Assert.Equal(position, error.Position);
        }

        for (int i = 0; i < whole.Length; i++)
        {
            byte[] damaged = [.. whole];
            damaged[i] ^= 0x55;
            Assert.Throws<DataException>(() => PngFile.Parse("a.png", damaged)); // every byte is in a checksum, or is one
            Assert.Throws<DataException>(() => PngFile.Parse("a.png", whole[..i]));
        }
    }

    [Fact]
    public void PixelsAreReadOneAfterTheOther()
    {
        for (int i = 0; i < 4; i++)
        {
            _scratch.Write($"{i}.png", new PngFile(2, 2, [0, 85, 170, (byte)(i * 85)]).ToBytes());
        }

        var config = new ImagesData { Path = _scratch.Folder, Validation = 0.25 };
        Dataset data = Dataset.Open(config, s_batching, _scratch.Folder);
        Assert.Equal((5, 4), (data.InputVocabulary, data.OutputWidth));
        Assert.Equal((2, 2), (data.Artefact.PictureWidth, data.Artefact.PictureHeight));
        Assert.Equal((2, 2), (DataArtefact.FromJson(data.Artefact.ToJson()).PictureWidth, DataArtefact.FromJson(data.Artefact.ToJson()).PictureHeight));
        var examples = (LabelledExamples)((IExampleSource)data.Training).Examples;
        Assert.Equal(3, examples.Count);
        Assert.Equal([4, 0, 1, 2], examples[0].Tokens!);
        Assert.Equal([0, 1, 2], examples[0].Classes[..3]);
        Assert.Equal([0, 85, 170, 255], ImageSource.PictureOf([0, 1, 2, 3], 2, 4).Pixels);

        _scratch.Write("9.png", new PngFile(1, 2, [0, 1]).ToBytes());
        Assert.Contains("2 x 2 pixels, as the first, found 1 x 2", Assert.Throws<DataException>(() => Dataset.Open(config, s_batching, _scratch.Folder)).Message);
    }

    // A file with the rows as they are given, filters included.
    private static byte[] Png(int width, int height, int colour, byte[] rows)
    {
        byte[] grey = new PngFile(1, 1, [0]).ToBytes();
        using var packed = new MemoryStream();
        using (var zlib = new System.IO.Compression.ZLibStream(packed, System.IO.Compression.CompressionLevel.Fastest, leaveOpen: true))
        {
            zlib.Write(rows);
        }

        byte[] header = [0, 0, 0, (byte)width, 0, 0, 0, (byte)height, 8, (byte)colour, 0, 0, 0];
        return [.. grey[..8], .. Chunk("IHDR"u8, header), .. Chunk("IDAT"u8, packed.ToArray()), .. Chunk("IEND"u8, [])];

        static byte[] Chunk(ReadOnlySpan<byte> kind, byte[] content)
        {
            byte[] named = [.. kind, .. content];
            uint sum = uint.MaxValue; // CRC-32, bit by bit
            foreach (byte value in named)
            {
                sum ^= value;
                for (int bit = 0; bit < 8; bit++)
                {
                    sum = (sum & 1) == 0 ? sum >> 1 : 0xEDB88320 ^ (sum >> 1);
                }
            }

            sum = ~sum;
            return [0, 0, (byte)(content.Length >> 8), (byte)content.Length, .. named, (byte)(sum >> 24), (byte)(sum >> 16), (byte)(sum >> 8), (byte)sum];
        }
    }
}
