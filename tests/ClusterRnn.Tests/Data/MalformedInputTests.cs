// Broken input of every format, read as a training reads it: one error that names the file and the place in it, never another exception,
// never something that is skipped without a word. Chosen faults, every place where a binary file can break off, and random changes of bytes.
using System.IO.Compression;
using System.Text;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Data;

public sealed class MalformedInputTests : IDisposable
{
    private const string Name = "input.bin";
    private static readonly Batching s_batching = new(2, 3, 3, false, 1);

    // What is opened in which format, and a small file of it that is well.
    private static readonly Dictionary<string, (DataConfig Config, byte[] Whole)> s_formats = new()
    {
        ["text"] = (new TextFileData { Path = Name, Validation = 0 }, Utf8("a small text, and a little more of it: ä\n")),
        ["words"] = (new TextFileData { Path = Name, Validation = 0, Level = TokenLevel.Word }, Utf8("a small text, and a little more of it: ä\n")),
        ["gzip"] = (new TextFileData { Path = Name, Validation = 0 }, Gzip(Utf8("a small text, and a little more of it: a small text"))),
        ["csv"] = (new TableData { Path = Name, Validation = 0, Test = 0, Window = 2 }, Utf8("day,\"value\"\n1,2.5\n2,-3e2\n3,4\n4,5\n5,6\n")),
        ["csv-drop"] = (new TableData { Path = Name, Validation = 0, Test = 0, Window = 2, Missing = MissingValues.Drop }, Utf8("day,value\nmon,2.5\ntue,NA\nwed,4\nthu,5\nfri,6\nsat,7\n")),
        ["tsv"] = (new SentimentData { Path = Name, Validation = 0, Test = 0 }, Utf8("a fine film\tgood\na dull film\tbad\n")),
        ["tsv-answers"] = (new AnswerSelectionData { Path = Name, Validation = 0, Test = 0 }, Utf8("where is it ?\there .\twe do not know .\nwho can say ?\tAnna can .\tnobody .\n")),
        ["csv-sessions"] = (new RecommendationData { Path = Name, TimeColumn = "when", Validation = 0, Test = 0, MinimumCount = 1 }, Utf8("who,what,when\na,x,1\nb,\"y\",2026\na,y,2\nb,x,7.5\n")),
        ["conll"] = (new TaggingData { Path = Name, Validation = 0, Test = 0 }, Utf8("Anna NNP B-PER\nworks VBZ O\n\nBoris NNP B-PER\n")),
        ["pairs"] = (new TranslationData { Path = Name, Target = "other.txt", Validation = 0, Test = 0 }, Utf8("one\ntwo words\nthree\n")),
        ["pairs-tab"] = (new TranslationData { Path = Name, Validation = 0, Test = 0 }, Utf8("one\teins\ntwo\tzwei\n")),
        ["wav"] = (new SpokenWordsData { Path = "7_input.wav", Validation = 0, Test = 0, Bands = 8 }, new WavFile(8000, [.. Enumerable.Range(0, 400).Select(i => i % 50 / 50f)]).ToBytes()),
        ["sound"] = (new AudioData { Path = "7_input.wav", Validation = 0 }, new WavFile(8000, [.. Enumerable.Range(0, 40).Select(i => i % 50 / 50f)]).ToBytes()),
        ["png"] = (new ImagesData { Path = "input.png", Validation = 0 }, new PngFile(3, 2, [0, 100, 255, 7, 8, 9]).ToBytes()),
        ["idx"] = (new DigitsData { Path = Name, Labels = "labels", Validation = 0, Test = 0 }, [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7]),
        ["labels"] = (new DigitsData { Path = "images", Labels = Name, Validation = 0, Test = 0 }, [0, 0, 8, 1, 0, 0, 0, 2, 3, 9]),
    };

    private readonly Scratch _scratch = new();

    public MalformedInputTests()
    {
        _scratch.Write("other.txt", "eins\nzwei Worte\ndrei\n");
        _scratch.Write("images", s_formats["idx"].Whole);
        _scratch.Write("labels", s_formats["labels"].Whole);
    }

    public void Dispose() => _scratch.Dispose();

    public static TheoryData<string> Formats { get; } = [.. s_formats.Keys];

    public static TheoryData<string> TextFormats { get; } = ["text", "words", "csv", "csv-drop", "tsv", "tsv-answers", "csv-sessions", "conll", "pairs", "pairs-tab"];

    public static TheoryData<string> BinaryFormats { get; } = ["gzip", "wav", "sound", "png", "idx", "labels"];

    [Theory]
    [MemberData(nameof(Formats))]
    public void WhatIsWellIsRead(string format) => Read(format, s_formats[format].Whole);

    [Theory]
    [MemberData(nameof(Formats))]
    public void AnEmptyFileIsRefused(string format) => Refused(format, [], "found an empty file");

    [Theory]
    [MemberData(nameof(BinaryFormats))]
    public void ABinaryFileThatBreaksOffAnywhereIsRefused(string format)
    {
        byte[] whole = s_formats[format].Whole;
        for (int length = 1; length < whole.Length; length++)
        {
            Refused(format, whole[..length], null);
        }
    }

    [Theory]
    [MemberData(nameof(TextFormats))]
    public void BytesThatAreNoTextAreRefusedWithTheirPlace(string format)
    {
        byte[] whole = s_formats[format].Whole;
        Assert.True(HasPlace(Refused(format, [.. whole, 0xC3, 0x28], "UTF-8")));
        Assert.Equal(7, Refused(format, [.. whole[..7], 0, .. whole[7..]], "a NUL byte").Position);
        Assert.Equal(1, Refused(format, [.. whole.SelectMany(value => new byte[] { value, 0 })], "a NUL byte").Position); // UTF-16
    }

    [Theory]
    [InlineData("csv", "day,value\n1,2\n3\n", 3, "2 cells, as on line 1, found 1")]
    [InlineData("csv", "day,value\n1,2\n3,4,5\n", 3, "2 cells, as on line 1, found 3")]
    [InlineData("csv", "day,value\n1,NaN\n2,3\n", 2, "a finite number in column 'value', found 'NaN'")]
    [InlineData("csv", "day,value\n1,2\n2,inf\n", 3, "a finite number in column 'value', found 'inf'")]
    [InlineData("csv", "day,value\n1,2\n2,-Infinity\n", 3, "a finite number")]
    [InlineData("csv", "day,value\n1,2\n2,1e39\n", 3, "a finite number in column 'value', found '1e39'")]
    [InlineData("csv", "day,value\n1,2\n2,1e999\n", 3, "a finite number")]
    [InlineData("csv", "day,value\n1,2\n2,\n", 3, "found an empty cell")]
    [InlineData("csv", "day,value\n1,2\n\n2,3\n", 3, "a row, found an empty line")]
    [InlineData("csv", "day,value\n1,\"2\n2,3\n", 2, "a closing quote")]
    [InlineData("csv", "day,value\n1,2\"\n", 2, "a quote within one")]
    [InlineData("csv", "day,day\n1,2\n", 1, "'day' twice")]
    [InlineData("csv-drop", "day,value\nmon,2\ntue,x\n", 3, "found 'x'")]
    [InlineData("tsv", "a fine film\n", 1, "at least 2 cells")]
    [InlineData("tsv", "a fine film\tgood\nbad\n", 2, "at least 2 cells")]
    [InlineData("tsv", "a fine film\tgood\na\tb\tc\n", 2, "2 cells, as on line 1, found 3")]
    [InlineData("tsv", "a fine film\t\n", 1, "a class in column 2, found none")]
    [InlineData("conll", "Anna\n", 1, "at least 2 columns")]
    [InlineData("conll", "Anna NNP B-PER\nworks O\n", 2, "3 columns, as on line 1, found 2")]
    [InlineData("pairs", "one\ntwo\n", 3, "2 lines, as")]
    [InlineData("pairs", "one\ntwo\nthree\nfour\n", 4, "3 lines, as")]
    [InlineData("pairs-tab", "one\teins\ntwo zwei\n", 2, "two texts with a tab between them, found no tab")]
    [InlineData("pairs-tab", "one\teins\ttwo\n", 1, "found 2 tabs")]
    public void ABrokenLineIsRefusedWithItsNumber(string format, string text, int line, string what) => Assert.Equal(line, Refused(format, Utf8(text), what, anyFile: format == "pairs").Line);

    [Theory]
    [InlineData("csv", "day,value\n", "rows of numbers")]
    [InlineData("csv", "day,value\nmon,tue\n", "a column of numbers")]
    [InlineData("csv-drop", "day,value\nmon,NA\ntue,NA\n", "a column of numbers")]
    [InlineData("csv", "1,2\n3,4\n", "rows in the training part")]
    [InlineData("tsv", "\n\n\n", "with labels, found none")]
    [InlineData("tsv", " \tgood\n", "with labels, found none")]
    [InlineData("conll", "\n\n", "with labels, found none")]
    [InlineData("conll", "-DOCSTART- -X- O\n", "with labels, found none")]
    [InlineData("pairs-tab", "\n\n", "2 lines, each with an empty side")]
    [InlineData("text", "abc", "at least 7 character tokens")]
    public void AFileWithNothingToReadIsRefused(string format, string text, string what) => Refused(format, Utf8(text), what);

    [Theory]
    [InlineData("tsv", "\n\na fine film\tgood\n \tbad\n", "dropped 2 of these: empty lines", "dropped 1 of these: lines without text")]
    [InlineData("conll", "-DOCSTART- -X- O\n\nAnna NNP B-PER\n", "dropped 1 of these: -DOCSTART- lines")]
    [InlineData("pairs-tab", "one\teins\n\ttwo\n\nthree\t\n", "3 of 4 pairs were dropped because a side is empty, the first in line 2")]
    [InlineData("csv-drop", "day,value,text\n1,NA,x\n2,1,x\n3,2,x\n4,NA,x\n5,3,x\n6,4,x\n7,5,x\n", "the first 1 rows were dropped", "1 missing cells of column 'value' are left out", "left out 3 of 4 windows", "no numbers: column 'text'")]
    public void WhatIsLeftOutIsCounted(string format, string text, params string[] notes)
    {
        IReadOnlyList<string> found = Read(format, Utf8(text)).Notes;
        Assert.All(notes, note => Assert.Contains(found, line => line.Contains(note, StringComparison.Ordinal)));
        Assert.Equal(notes.Length + 1, found.Count);
    }

    [Theory]
    [InlineData("wav", 20, 7, "encoding 7 of 16 bits")]
    [InlineData("wav", 22, 0, "0 channels")]
    [InlineData("wav", 24, 0x41, "8000 samples a second, found 8001")]
    [InlineData("wav", 27, 0x80, "samples a second")]
    [InlineData("wav", 43, 0xFF, "before the end: the file breaks off")]
    [InlineData("wav", 19, 0xFF, "before the end: the file breaks off")]
    [InlineData("wav", 0, 0x52 + 1, "RIFF and WAVE")]
    [InlineData("wav", 34, 12, "encoding 1 of 12 bits")]
    [InlineData("png", 0, 0, "begins with 89504e47")]
    [InlineData("png", 8, 0xFF, "before the end: the file breaks off")]
    [InlineData("png", 19, 0xFF, "checksum")]
    [InlineData("idx", 4, 0xFF, "a size of 1 to")]
    [InlineData("idx", 7, 3, "12 bytes of values (3 x 2 x 2), found 8")]
    [InlineData("idx", 2, 9, "unsigned bytes")]
    [InlineData("labels", 9, 200, "labels from 0 to 9, found 200 for picture 2")]
    [InlineData("labels", 7, 1, "found 2: the file goes on")]
    [InlineData("gzip", 2, 9, "gzip")]
    [InlineData("gzip", 15, 0x55, "gzip")]
    public void AChangedByteIsRefused(string format, int at, int value, string what)
    {
        byte[] changed = [.. s_formats[format].Whole];
        changed[at] = (byte)value;
        DataException error = Refused(format, changed, what);
        Assert.True(format is "gzip" || HasPlace(error) || what.Contains("samples a second", StringComparison.Ordinal), error.Message);
    }

    [Fact]
    public void ALineOfAMillionCharactersIsRead()
    {
        string endless = new('x', 1_000_000);
        Read("text", Utf8(endless));
        Read("tsv", Utf8($"{endless}\tgood\n"));
        Read("conll", Utf8($"{endless} O\n"));
        Read("pairs-tab", Utf8($"{endless}\tb\n"));
        Assert.Equal(3, Refused("csv", Utf8($"day,value\n1,2\n2,{new string('9', 1_000_000)}\n"), "…' (1000000 characters)").Line);
        Assert.Equal(10_001, Refused("conll", Utf8(string.Concat(Enumerable.Repeat("a O\n", 10_001))), "at most 10000 words in a sentence").Line);
    }

    /// <summary>Members of gzip one after the other are one file; it breaks off wherever the last one does.</summary>
    [Fact]
    public void SeveralGzipMembersAreReadToTheLast()
    {
        byte[] first = Gzip(Utf8("a small text, ")), second = Gzip(Utf8("and a little more of it"));
        Assert.Equal(37, Read("gzip", [.. first, .. second]).Text!.Ids.Length);
        for (int cut = 1; cut < second.Length; cut++)
        {
            Refused("gzip", [.. first, .. second[..^cut]], "gzip");
        }
    }

    /// <summary>A picture that calls itself large is refused for what it has, without room for what it says.</summary>
    [Fact]
    public void ALargeSizeTakesNoMemory()
    {
        byte[] small = s_formats["png"].Whole, header = [.. small[12..16], 0, 0, 0x20, 0, 0, 0, 0x20, 0, .. small[24..29]];
        uint sum = uint.MaxValue;
        foreach (byte value in header)
        {
            sum ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                sum = (sum & 1) == 0 ? sum >> 1 : 0xEDB88320 ^ (sum >> 1);
            }
        }

        sum = ~sum;
        byte[] large = [.. small[..12], .. header, (byte)(sum >> 24), (byte)(sum >> 16), (byte)(sum >> 8), (byte)sum, .. small[33..]];
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused("png", large, "bytes of unpacked pixels, found 8");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
    }

    /// <summary>Whatever bytes are changed, put in, taken out or cut off: the file is read, or refused in words.</summary>
    [Theory]
    [MemberData(nameof(Formats))]
    public void AnyChangedBytesAreReadOrRefused(string format)
    {
        byte[] whole = s_formats[format].Whole;
        Gen<(int Kind, int At, byte Value)> change = from kind in Gen.Choose(0, 3)
                                                     from at in Gen.Choose(0, whole.Length - 1)
                                                     from value in Gen.OneOf(Gen.Choose(0, 255), Gen.Elements(0, 9, 10, 13, 32, 34, 44, 45, 46, 69, 255))
                                                     select (kind, at, (byte)value);
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(150), Prop.ForAll(change.ListOf(3).ToArbitrary(), changes =>
        {
            var bytes = whole.ToList();
            foreach ((int kind, int at, byte value) in changes.Where(each => each.At < bytes.Count))
            {
                switch (kind)
                {
                    case 0:
                        bytes[at] = value;
                        break;
                    case 1:
                        bytes.Insert(at, value);
                        break;
                    case 2:
                        bytes.RemoveAt(at);
                        break;
                    default:
                        bytes.RemoveRange(Math.Max(at, bytes.Count - 5), bytes.Count - Math.Max(at, bytes.Count - 5));
                        break;
                }
            }

            try
            {
                Read(format, [.. bytes]);
            }
            catch (DataException error)
            {
                Assert.NotEmpty(error.Found);
            }
        }));
    }

    // Opens the file, and reads every row of a pass.
    private Dataset Read(string format, byte[] bytes)
    {
        DataConfig config = s_formats[format].Config;
        _scratch.Write(config is DigitsData { Labels: Name } ? Name : config.Path!, bytes);
        var data = Dataset.Open(config, s_batching, _scratch.Folder);
        IBatchSource source = data.Training;
        using var batch = new SpanBatch(source.MaximumTime, source.BatchRows, source.FeatureWidth, source.TargetWidth);
        for (long version = 0; version < Math.Min(source.StepsPerPass, 20); version++)
        {
            source.Fill(source.Plan(version), 0, source.BatchRows, batch);
        }

        return data;
    }

    private DataException Refused(string format, byte[] bytes, string? what, bool anyFile = false)
    {
        DataException error = Assert.Throws<DataException>(() => Read(format, bytes));
        DataConfig config = s_formats[format].Config;
        Assert.Contains(anyFile ? "" : config is DigitsData { Labels: Name } ? Name : config.Path!, error.Message);
        Assert.Contains(what ?? "", error.Message);
        return error;
    }

    private static bool HasPlace(DataException error) => error.Position is not null || error.Line is not null;

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            gzip.Write(bytes);
        }

        return packed.ToArray();
    }
}
