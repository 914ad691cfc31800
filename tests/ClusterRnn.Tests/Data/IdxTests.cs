// Pictures of IDX files: read as they lie there, cut into parts, and refused with the byte where something is wrong.
using System.Buffers.Binary;
using System.IO.Compression;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class IdxTests : IDisposable
{
    private static readonly Batching s_batching = new(4, 10, 10, true, 1);
    private readonly Scratch _scratch = new();

    public void Dispose() => _scratch.Dispose();

    /// <summary>Pictures of one dimension after another: pixel k of picture i is i + k.</summary>
    private static byte[] Images(int count, int rows, int columns) => Idx([count, rows, columns], [.. Enumerable.Range(0, count * rows * columns).Select(at => (byte)((at / (rows * columns)) + (at % (rows * columns))))]);

    private static byte[] Labels(params byte[] labels) => Idx([labels.Length], labels);

    private static byte[] Idx(int[] sizes, byte[] values)
    {
        byte[] head = new byte[4 + (4 * sizes.Length)];
        (head[2], head[3]) = (8, (byte)sizes.Length);
        for (int i = 0; i < sizes.Length; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(head.AsSpan(4 + (4 * i)), sizes[i]);
        }

        return [.. head, .. values];
    }

    private static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(bytes);
        }

        return packed.ToArray();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void PicturesAreReadRowByRow(bool packed)
    {
        Func<byte[], byte[]> pack = packed ? Gzip : bytes => bytes;
        _scratch.Write("a-images-idx3-ubyte", pack(Images(10, 3, 2)));
        _scratch.Write("a-labels-idx1-ubyte", pack(Labels(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)));
        Dataset data = Open(new DigitsData { Path = "a-images-idx3-ubyte", Validation = 0.2, Test = 0.1 });
        Assert.Equal((2, 10, 0), (data.FeatureWidth, data.OutputWidth, data.InputVocabulary));
        Assert.Equal((2, 3), (data.Artefact.PictureWidth, data.Artefact.PictureHeight));
        Assert.EndsWith("7 pictures to train, 2 to validate and 1 to test on, 2 x 3 pixels, 10 classes", data.Notes[0]);
        var seen = new List<int>();
        foreach (IBatchSource part in new[] { data.Training, data.Validation!, data.Test! })
        {
            IExamples examples = ((IExampleSource)part).Examples;
            Assert.Equal((3, 1), (examples.Time, examples.TargetTime));
            using var batch = new SpanBatch(3, 2, 2, 0) { Time = 3, TargetTime = 1, Rows = 2 };
            for (long example = 0; example < examples.Count; example++)
            {
                Assert.Equal(3, examples.Read(example, batch, 1));
                int digit = batch.TargetTokens[1];
                seen.Add(digit);
                for (int pixel = 0; pixel < 6; pixel++)
                {
                    Assert.Equal((digit + pixel) / 255f, batch.Features[(((pixel / 2) * 2) + 1) * 2 + (pixel % 2)]);
                }
            }
        }

        Assert.Equal(Enumerable.Range(0, 10), seen.Order());
        Assert.NotEqual(Enumerable.Range(0, 10), seen); // drawn by the data's seed
        Assert.NotEqual(data.Sha256, Open(new DigitsData { Path = "a-images-idx3-ubyte", Labels = _scratch.Write("other", Labels(1, 1, 2, 3, 4, 5, 6, 7, 8, 9)) }).Sha256);
    }

    [Fact]
    public void OtherFilesTest()
    {
        Write(Images(4, 2, 2), Labels(0, 1, 0, 1));
        string images = _scratch.Write("t-images-idx3", Images(2, 2, 2));
        _scratch.Write("t-labels-idx1", Labels(1, 1));
        Dataset data = Open(new DigitsData { Path = "images", Labels = "labels", TestPath = images, Classes = 2, Validation = 0.25 });
        Assert.Equal((3L, 1L, 2L, 2), (Count(data.Training), Count(data.Validation!), Count(data.Test!), data.OutputWidth));
        Assert.NotEqual(data.Sha256, Open(new DigitsData { Path = "images", Labels = "labels", Classes = 2 }).Sha256);

        _scratch.Write("t-images-idx3", Images(2, 2, 3));
        Assert.Contains("pictures of 2 x 2 pixels, as those to train on, found 3 x 2", Assert.Throws<DataException>(() => Open(new DigitsData { Path = "images", Labels = "labels", TestPath = images, Classes = 2 })).Message);
    }

    /// <summary>Folds of the training part are disjoint and together all of it.</summary>
    [Fact]
    public void FoldsShareTheTrainingPart()
    {
        Write(Images(12, 1, 1), Labels(new byte[12]));
        var seen = new List<int>();
        for (int fold = 1; fold <= 3; fold++)
        {
            Dataset data = Open(new DigitsData { Path = "images", Labels = "labels", Test = 0.25, Fold = new FoldConfig { Number = fold, Of = 3 } });
            IExamples validated = ((IExampleSource)data.Validation!).Examples;
            using var batch = new SpanBatch(1, 1, 1, 0) { Time = 1, TargetTime = 1, Rows = 1 };
            for (int i = 0; i < validated.Count; i++)
            {
                validated.Read(i, batch, 0);
                seen.Add((int)MathF.Round(255 * batch.Features[0]));
            }
        }

        Assert.Equal((9, 9), (seen.Count, seen.Distinct().Count()));
    }

    [Fact]
    public void BrokenFilesAreRefusedWithTheByte()
    {
        byte[] images = Images(3, 2, 2), labels = Labels(0, 1, 2);
        (byte[] Images, byte[] Labels, string File, long? Position, string What)[] cases =
        [
            (images[..3], labels, "images", 0, "found 3 bytes"),
            ("PK\x03\x04 zip"u8.ToArray(), labels, "images", 0, "found 504b0304"),
            (With(images, 2, 13), labels, "images", 2, "unsigned bytes (kind 08), found values of kind 0d"),
            (labels, images, "images", 3, "3 dimensions, as pictures have (idx3), found 1"),
            (images, images, "labels", 3, "one dimension, as labels have (idx1), found 3"),
            (images[..15], labels, "images", 4, "the sizes of 3 dimensions (12 bytes), found 11 bytes"),
            (With(images, 11, 0), labels, "images", 8, "a size of 1 to 2147483647 for dimension 2, found 0"),
            (With(images, 12, 0xFF), labels, "images", 12, "for dimension 3, found 4278190082"),
            (With(With(With(images, 4, 0x7F), 8, 0x7F), 12, 0x7F), labels, "images", images.Length, "found 12 before the end: the file breaks off"),
            (images[..^1], labels, "images", images.Length - 1, "12 bytes of values (3 x 2 x 2), found 11 before the end"),
            ([.. images, 7], labels, "images", images.Length, "found 13: the file goes on"),
            (images, Labels(0, 1), "labels", 4, "3 labels, one for each picture"),
            (images, Labels(0, 1, 10), "labels", 10, "labels from 0 to 9, found 10 for picture 3"),
            (Gzip(images)[..^9], labels, "images", null, "a whole gzip file"),
        ];
        foreach ((byte[] brokenImages, byte[] brokenLabels, string file, long? position, string what) in cases)
        {
            Write(brokenImages, brokenLabels);
            DataException error = Assert.Throws<DataException>(() => Open(new DigitsData { Path = "images", Labels = "labels" }));
            Assert.Contains(what, error.Message);
            Assert.Equal((file, position), (Path.GetFileName(error.DataSource), error.Position));
        }

        Write(images, labels);
        Assert.Equal(3, Count(Open(new DigitsData { Path = "images", Labels = "labels", Validation = 0, Test = 0 }).Training));
        _scratch.Write("pictures", images);
        Assert.Contains("Set data.labels", Assert.Throws<DataException>(() => Open(new DigitsData { Path = "pictures" })).Message);
        Assert.Contains("pictures to train on", Assert.Throws<DataException>(() => Open(new DigitsData { Path = "images", Labels = "labels", Test = 0.7, Validation = 0.4 })).Message);
    }

    [Fact]
    public void PicturesToWriteComeFromIdxToo()
    {
        Write(Idx([3, 2, 2], [0, 85, 170, 255, 0, 0, 0, 0, 255, 255, 255, 255]), Labels(0));
        Dataset data = Open(new ImagesData { Path = "images", Validation = 0.34 });
        Assert.Equal((2L, 1L), (Count(data.Training), Count(data.Validation!)));
        Assert.Equal((2, 2), (data.Artefact.PictureWidth, data.Artefact.PictureHeight));
        Assert.Equal([1, 1, 4], Parts(data).SelectMany(part => Enumerable.Range(0, (int)part.Count).Select(i => part[i].Classes.Distinct().Count())).Order());
        Assert.Equal(3, Assert.Throws<DataException>(() => Open(new ImagesData { Path = "labels" })).Position);
        _scratch.Write("images", Images(1, 1, 257));
        Assert.Contains("at most 256 x 256 pixels, found 257 x 1", Assert.Throws<DataException>(() => Open(new ImagesData { Path = "images" })).Message);
    }

    [Fact]
    public void PicturesAreInputOfTheirSize()
    {
        string png = _scratch.Write("one.png", new PngFile(2, 1, [0, 255]).ToBytes());
        var artefact = new DataArtefact(null, null) { PictureWidth = 2, PictureHeight = 1 };
        LabelledExample example = Assert.Single(LabelledInput.Pictures(png, artefact));
        Assert.Equal(("one.png", 2), (example.Name, example.Values!.Length));
        Assert.Equal([0f, 1f], example.Values);
        Assert.Contains("1 x 2 pixels, as the model was trained on, found 2 x 1", Assert.Throws<DataException>(() => LabelledInput.Pictures(png, artefact with { PictureWidth = 1, PictureHeight = 2 })).Message);
    }

    [Fact]
    public void HandwrittenDigitsAreRead()
    {
        Dataset data = Open(new DigitsData { Path = Scratch.Shared("mnist/t10k-images-idx3-ubyte.gz"), Validation = 0.1, Test = 0.1 });
        Assert.Equal((8000L, 1000L, 1000L), (Count(data.Training), Count(data.Validation!), Count(data.Test!)));
        Assert.Equal((28, 10), (data.FeatureWidth, data.OutputWidth));
    }

    private static byte[] With(byte[] bytes, int at, byte value) => [.. bytes[..at], value, .. bytes[(at + 1)..]];

    private static IEnumerable<LabelledExamples> Parts(Dataset data) => new[] { data.Training, data.Validation! }.Select(part => (LabelledExamples)((IExampleSource)part).Examples);

    private static long Count(IBatchSource part) => ((IExampleSource)part).Examples.Count;

    private void Write(byte[] images, byte[] labels)
    {
        _scratch.Write("images", images);
        _scratch.Write("labels", labels);
    }

    private Dataset Open(DataConfig config) => Dataset.Open(config, s_batching, _scratch.Folder);
}
