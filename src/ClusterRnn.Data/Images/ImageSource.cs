// Small pictures, predicted pixel by pixel: row after row, each pixel one of a few levels of grey, given all that come before it
// (van den Oord et al., Pixel recurrent neural networks, 2016). A row of the batch is a picture; what it reads first is a sign of
// its own, after that each pixel it has just been asked for.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Small pictures, predicted pixel by pixel.</summary>
[Description("Small pictures (PNG files, all of one size, or one IDX file as MNIST's), predicted pixel by pixel; drawn digits where no path is named.")]
public sealed record ImagesData : DataConfig
{
    /// <summary>The generator's seed, and that of which pictures validate.</summary>
    [Description("The seed of the generator, and of which pictures are kept for validation; the job's own seed changes neither.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How many pictures are drawn where no path is named.</summary>
    [Description("How many pictures are drawn where no path is named.")]
    [Range(10, 10_000_000)]
    public int Examples { get; init; } = 2000;

    /// <summary>Levels of grey.</summary>
    [Description("Levels of grey that pixels are rounded to: classes of the model.")]
    [Range(2, 256)]
    public int Levels { get; init; } = 4;
}

/// <summary>Opens pictures.</summary>
public static class ImageSource
{
    private const int MostSide = 256;

    /// <summary>Opens the data of a section.</summary>
    /// <exception cref="DataException">A file is no picture that can be read, or has another size than the first.</exception>
    internal static Dataset Open(ImagesData config, Batching batching, string baseFolder)
    {
        (string name, List<PngFile> pictures, string sha256, int others) = config.Path is null ? Draw(config) : Read(config.Path, baseFolder);
        int forValidation = (int)(pictures.Count * config.Validation);
        Range kept = config.Fold is { } fold ? TokenizedText.Part(pictures.Count, fold) : (pictures.Count - forValidation)..pictures.Count;
        var order = new KeyedPermutation(config.Seed, RandomPurpose.Split, 0, pictures.Count);
        List<LabelledExample> training = [], validation = [];
        for (int place = 0; place < pictures.Count; place++)
        {
            int[] levels = LevelsOf(pictures[(int)order.At(place)], config.Levels);
            var example = new LabelledExample($"{name} {order.At(place) + 1}", [config.Levels, .. levels[..^1]], null, levels);
            (place >= kept.Start.Value && place < kept.End.Value ? validation : training).Add(example);
        }

        if (training.Count == 0)
        {
            throw new DataException(name, "pictures to train on", $"none of {pictures.Count}", "Take more pictures, or a smaller data.validation");
        }

        return new Dataset
        {
            Config = config,
            Training = new WindowSource(Part(training), batching.Rows, batching.Seed, shuffled: true),
            Validation = validation.Count == 0 ? null : new WindowSource(Part(validation), batching.EvaluationRows ?? batching.Rows, batching.Seed, shuffled: false),
            Sha256 = sha256,
            InputVocabulary = config.Levels + 1,
            OutputWidth = config.Levels,
            PredictsNext = true,
            UnigramEntropy = TextStatistics.UnigramEntropy(training.SelectMany(example => example.Classes).ToArray(), config.Levels),
            Artefact = new DataArtefact(null, null) { PictureWidth = pictures[0].Width, PictureHeight = pictures[0].Height },
            Notes =
            [
                $"{name}: {training.Count} pictures to train and {validation.Count} to validate on, {pictures[0].Width} x {pictures[0].Height} pixels of {config.Levels} levels",
                .. Dropped.Notes(name, (others, "files that are no .png", "left out")),
            ],
        };

        LabelledExamples Part(List<LabelledExample> examples) => new(examples, 0, LabelPlaces.EveryStep, sha256);
    }

    /// <summary>A picture of levels.</summary>
    public static PngFile PictureOf(ReadOnlySpan<int> levels, int width, int count)
    {
        byte[] pixels = new byte[levels.Length];
        for (int i = 0; i < pixels.Length; i++)
        {
            pixels[i] = (byte)(((255 * levels[i]) + ((count - 1) / 2)) / (count - 1));
        }

        return new PngFile(width, levels.Length / width, pixels);
    }

    internal static int[] LevelsOf(PngFile picture, int count) => Array.ConvertAll(picture.Pixels, pixel => ((pixel * (count - 1)) + 127) / 255);

    internal static (string Name, List<PngFile> Pictures, string Sha256, int Others) Read(string path, string baseFolder)
    {
        Corpus corpus = Corpus.Open(path, baseFolder);
        var pictures = new List<PngFile>();
        if (corpus.Files.Count == 1 && !IsPng(corpus.Files[0]))
        {
            var file = IdxFile.Parse(corpus.Files[0].Name, corpus.Files[0].Bytes, IdxFile.PictureDimensions);
            (int height, int width) = (file.Sizes[1], file.Sizes[2]);
            CheckSide(file.Name, width, height);
            for (int i = 0; i < file.Sizes[0]; i++)
            {
                pictures.Add(new PngFile(width, height, file.Values.Slice(i * height * width, height * width).ToArray()));
            }

            return (corpus.Name, pictures, corpus.Sha256, 0);
        }

        foreach (CorpusFile file in corpus.Files.Where(IsPng))
        {
            var picture = PngFile.Parse(file.Name, file.Bytes.ToArray());
            CheckSide(file.Name, picture.Width, picture.Height);
            if (pictures.Count > 0 && (picture.Width, picture.Height) != (pictures[0].Width, pictures[0].Height))
            {
                throw new DataException(file.Name, $"{pictures[0].Width} x {pictures[0].Height} pixels, as the first", $"{picture.Width} x {picture.Height}", "Make all pictures one size");
            }

            pictures.Add(picture);
        }

        return pictures.Count > 0 ? (corpus.Name, pictures, corpus.Sha256, corpus.Files.Count - pictures.Count) : throw new DataException(
            path, "PNG files, or one IDX file", $"{corpus.Files.Count} files of other kinds", "Convert the pictures to PNG");

        static bool IsPng(CorpusFile file) => file.Name.EndsWith(".png", StringComparison.OrdinalIgnoreCase);

        static void CheckSide(string name, int width, int height)
        {
            if (width > MostSide || height > MostSide)
            {
                throw new DataException(name, $"at most {MostSide} x {MostSide} pixels", $"{width} x {height}", "Make the pictures smaller: each pixel is a time step");
            }
        }
    }

    private static (string Name, List<PngFile> Pictures, string Sha256, int Others) Draw(ImagesData config)
    {
        var key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.Pictures, 0);
        var pictures = new List<PngFile>(config.Examples);
        for (int number = 0; number < config.Examples; number++)
        {
            DigitExamples.Glyph glyph = DigitExamples.Draw(key, 1, number, (int)key.Below(0, number, 0, DigitExamples.Digits));
            byte[] pixels = new byte[DigitExamples.Rows * DigitExamples.Columns];
            for (int i = 0; i < pixels.Length; i++)
            {
                pixels[i] = (byte)(255f * glyph.Ink(i % DigitExamples.Columns, i / DigitExamples.Columns));
            }

            pictures.Add(new PngFile(DigitExamples.Columns, DigitExamples.Rows, pixels));
        }

        return ("drawn digits", pictures, ExampleGenerators.Sha256($"pictures of digits 1 {config.Seed} {config.Examples}"), 0);
    }
}
