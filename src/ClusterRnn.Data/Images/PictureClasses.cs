// Pictures with a class each from IDX files, read row by row: handwritten digits (MNIST), clothes (Fashion-MNIST) and whatever else comes
// so. Which of them are kept for validation and testing is drawn by the data's seed, for such files are often sorted in some way.
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Pictures with a class each.</summary>
/// <param name="Pictures">[count, rows, columns], 0 paper to 255 ink.</param>
/// <param name="Labels">The class of each.</param>
/// <param name="Sha256">The SHA-256 of both files.</param>
public sealed record PictureClasses(IdxFile Pictures, ReadOnlyMemory<byte> Labels, string Sha256)
{
    /// <summary>Opens the files of a section.</summary>
    /// <exception cref="DataException">A file is no IDX file, is broken, or does not belong to the others.</exception>
    internal static Dataset Open(DigitsData config, Batching batching, string baseFolder)
    {
        PictureClasses all = Read(config.Path!, config.Labels, config.Classes, baseFolder);
        PictureClasses? tests = config.TestPath is null ? null : Read(config.TestPath, config.TestLabels, config.Classes, baseFolder);
        if (tests is not null && (tests.Height, tests.Width) != (all.Height, all.Width))
        {
            throw IdxFile.Fault(tests.Pictures.Name, $"pictures of {all.Width} x {all.Height} pixels, as those to train on", $"{tests.Width} x {tests.Height}", "Take files that belong together", 8);
        }

        int count = all.Labels.Length, forTest = tests is null ? (int)(count * config.Test) : 0, forValidation = (int)(count * config.Validation);
        Range kept = config.Fold is { } fold ? TokenizedText.Part(count - forTest, fold) : Math.Max(0, count - forTest - forValidation)..(count - forTest);
        var order = new KeyedPermutation(config.Seed, RandomPurpose.Split, 0, count);
        List<int> training = [], validation = [], test = [];
        for (int place = 0; place < count; place++)
        {
            (place >= count - forTest ? test : place >= kept.Start.Value && place < kept.End.Value ? validation : training).Add((int)order.At(place));
        }

        if (training.Count == 0)
        {
            throw new DataException(all.Pictures.Name, "pictures to train on", $"{validation.Count} for validation and {test.Count} for testing of {count}", "Make data.validation and data.test smaller");
        }

        string sha256 = tests is null ? all.Sha256 : Joined(all.Sha256, tests.Sha256);
        var trained = new PictureExamples(all, training, sha256);
        PictureExamples? validated = validation.Count == 0 ? null : new PictureExamples(all, validation, sha256);
        PictureExamples? tested = tests is not null ? new PictureExamples(tests, [.. Enumerable.Range(0, tests.Labels.Length)], sha256) : test.Count == 0 ? null : new PictureExamples(all, test, sha256);
        WindowSource? Evaluated(PictureExamples? part) => part is null ? null : new WindowSource(part, batching.EvaluationRows ?? batching.Rows, batching.Seed, shuffled: false);
        return new Dataset
        {
            Config = config,
            Training = new WindowSource(trained, batching.Rows, batching.Seed, shuffled: true),
            Validation = Evaluated(validated),
            Test = Evaluated(tested),
            Sha256 = sha256,
            FeatureWidth = all.Width,
            OutputWidth = config.Classes,
            Artefact = new DataArtefact(null, null) { PictureWidth = all.Width, PictureHeight = all.Height },
            Notes =
            [
                $"{all.Pictures.Name}: {trained.Count} pictures to train, {validated?.Count ?? 0} to validate and {tested?.Count ?? 0} to test on, {all.Width} x {all.Height} pixels, {config.Classes} classes",
            ],
        };
    }

    /// <summary>Rows of a picture.</summary>
    public int Height => Pictures.Sizes[1];

    /// <summary>Pixels of a row.</summary>
    public int Width => Pictures.Sizes[2];

    /// <summary>Reads pictures and their classes.</summary>
    /// <param name="path">The file with the pictures.</param>
    /// <param name="labels">The file with their classes; null: the one named as MNIST's are, with labels for images and idx1 for idx3.</param>
    /// <param name="classes">How many classes there are: labels are below.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <exception cref="DataException">A file is no IDX file or broken, there are not as many labels as pictures, or a label is too large.</exception>
    public static PictureClasses Read(string path, string? labels, int classes, string baseFolder)
    {
        Corpus pictures = Corpus.OpenOne(path, baseFolder, "IDX file");
        Corpus answers = Corpus.OpenOne(labels ?? LabelsOf(path), baseFolder, "IDX file");
        var images = IdxFile.Parse(pictures.Files[0].Name, pictures.Files[0].Bytes, IdxFile.PictureDimensions);
        var named = IdxFile.Parse(answers.Files[0].Name, answers.Files[0].Bytes, IdxFile.LabelDimensions);
        if (named.Sizes[0] != images.Sizes[0])
        {
            throw IdxFile.Fault(named.Name, $"{images.Sizes[0]} labels, one for each picture of {images.Name}", $"{named.Sizes[0]}", "Take files that belong together", 4);
        }

        int wrong = named.Values.Span.IndexOfAnyExceptInRange((byte)0, (byte)(classes - 1));
        return wrong < 0 ? new PictureClasses(images, named.Values, Joined(pictures.Sha256, answers.Sha256)) : throw IdxFile.Fault(
            named.Name, $"labels from 0 to {classes - 1}", $"{named.Values.Span[wrong]} for picture {wrong + 1}", "Set data.classes to how many there are, or fetch the file again", named.Start + wrong);
    }

    private static string LabelsOf(string path)
    {
        string name = Path.GetFileName(path), labels = name.Replace("images", "labels", StringComparison.Ordinal).Replace("idx3", "idx1", StringComparison.Ordinal);
        return labels != name ? Path.Combine(Path.GetDirectoryName(path) ?? "", labels) : throw new DataException(
            path, "the file with the classes as data.labels", "none, and a name that doesn't tell it", "Set data.labels (a file of pictures called *images-idx3* has its classes in *labels-idx1*)");
    }

    private static string Joined(string first, string second) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{first} {second}")));
}

/// <summary>Some pictures of a file: a sequence of rows each, its class the answer.</summary>
internal sealed unsafe class PictureExamples(PictureClasses all, IReadOnlyList<int> which, string sha256) : IExamples
{
    private readonly int[] _which = [.. which];

    /// <inheritdoc/>
    public long Count => _which.Length;

    /// <inheritdoc/>
    public int Time => all.Height;

    /// <inheritdoc/>
    public int TargetTime => 1;

    /// <inheritdoc/>
    public int FeatureWidth => all.Width;

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public string Sha256 => sha256;

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        int picture = _which[example], width = all.Width, height = all.Height;
        ReadOnlySpan<byte> pixels = all.Pictures.Values.Span.Slice(picture * height * width, height * width);
        for (int y = 0; y < height; y++)
        {
            float* line = into.Features + ((((long)y * into.Rows) + row) * width);
            for (int x = 0; x < width; x++)
            {
                line[x] = Ink(pixels[(y * width) + x]);
            }
        }

        into.TargetTokens[row] = all.Labels.Span[picture];
        return height;
    }

    /// <summary>Pixels as the drawn ones are: paper 0, ink 1.</summary>
    internal static float[] Ink(byte[] pixels) => Array.ConvertAll(pixels, Ink);

    private static float Ink(byte pixel) => pixel / 255f;
}
