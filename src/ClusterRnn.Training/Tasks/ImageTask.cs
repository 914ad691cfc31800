// Small pictures written pixel by pixel: a model of the next pixel's level, drawn from until a picture is whole, many pictures side by
// side. The loss stands beside the entropy of the levels by themselves; what is written is a PNG file.
using System.Globalization;
using System.Text;
using ClusterRnn.Data;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Tasks;

/// <summary>A model of pictures.</summary>
public sealed class ImageTask : SequenceTask
{
    private const string Shades = " .:-=+*#%@";
    private const int SampleColumns = 6;
    private const int DefaultPictures = 36;
    private const int Gap = 2; // pixels between pictures

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        int levels = ((ImagesData)trained.Job.Data).Levels;
        int[][] pictures = Write(trained, SampleColumns, trained.Job.Generate, default);
        var text = new StringBuilder();
        int width = trained.Artefact.PictureWidth;
        for (int row = 0; row < trained.Artefact.PictureHeight; row++)
        {
            foreach (int[] picture in pictures)
            {
                for (int column = 0; column < width; column++)
                {
                    text.Append(Shades[picture[(row * width) + column] * (Shades.Length - 1) / (levels - 1)]);
                }

                text.Append("  ");
            }

            text.Append('\n');
        }

        return new TaskOutcome(AudioTask.NextFigures(data, trainLoss, validationLoss, "pixel"), [], [], text.ToString());
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        if (request.Input is not null)
        {
            throw new DataException("predict", "no input: pictures are drawn from nothing", $"'{request.Input}'", "Leave it out; --length says how many pictures are drawn");
        }

        int levels = ((ImagesData)trained.Job.Data).Levels, width = trained.Artefact.PictureWidth, height = trained.Artefact.PictureHeight;
        int[][] pictures = Write(trained, request.Steps ?? DefaultPictures, request.Generate, cancellation);
        int columns = 1;
        while (columns * columns < pictures.Length)
        {
            columns++;
        }

        int rows = (pictures.Length + columns - 1) / columns;
        var sheet = new PngFile((columns * (width + Gap)) + Gap, (rows * (height + Gap)) + Gap, new byte[((columns * (width + Gap)) + Gap) * ((rows * (height + Gap)) + Gap)]);
        sheet.Pixels.AsSpan().Fill(128);
        for (int i = 0; i < pictures.Length; i++)
        {
            PngFile picture = ImageSource.PictureOf(pictures[i], width, levels);
            for (int row = 0; row < height; row++)
            {
                int at = ((((i / columns) * (height + Gap)) + Gap + row) * sheet.Width) + ((i % columns) * (width + Gap)) + Gap;
                picture.Pixels.AsSpan(row * width, width).CopyTo(sheet.Pixels.AsSpan(at));
            }
        }

        return new Prediction(
            null,
            [new FigureTable("Pictures", ["what", "value"], [["pictures", pictures.Length.ToString(CultureInfo.InvariantCulture)], ["pixels of each", $"{width} x {height}"], ["levels", levels.ToString(CultureInfo.InvariantCulture)]])],
            [])
        { Files = [new PredictedFile("generated.png", sheet.ToBytes())] };
    }

    private static int[][] Write(TaskModel trained, int count, GenerateConfig generate, CancellationToken cancellation)
    {
        int levels = ((ImagesData)trained.Job.Data).Levels, pixels = trained.Artefact.PictureWidth * trained.Artefact.PictureHeight;
        var sampler = new TokenSampler(levels, generate.Temperature, generate.TopK, generate.TopP, generate.Seed ?? trained.Job.Seed);
        return TextGenerator.Write(trained.Model, [levels], pixels, count, sampler, null, cancellation, pixels);
    }
}
