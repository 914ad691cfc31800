// New input for a trained model, read as its training data was.
namespace ClusterRnn.Data;

/// <summary>Reads what a model with labels is asked about.</summary>
public static class LabelledInput
{
    /// <summary>The words of a sentence, which spaces separate.</summary>
    public static string[] Words(string sentence)
    {
        ArgumentNullException.ThrowIfNull(sentence);
        return sentence.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>The tokens of a text.</summary>
    public static int[] Tokens(string text, SentimentData config, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(artefact);
        string[] pieces = SentimentReader.PiecesOf(text, config.Level);
        return ((ILabelledReader)new SentimentReader(config)).Encode(pieces[..Math.Min(pieces.Length, config.MaximumLength)], artefact.Vocabulary!);
    }

    /// <summary>The spectra of recordings.</summary>
    /// <param name="path">A file, folder or glob.</param>
    /// <param name="config">How the training data was read.</param>
    /// <param name="artefact">The scaler.</param>
    /// <exception cref="DataException">A file is no recording of the right kind, or there is none.</exception>
    public static List<LabelledExample> Recordings(string path, SpokenWordsData config, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(artefact);
        var reader = new SpokenWordsReader(config);
        return
        [
            .. FileSearch.Find(path, Environment.CurrentDirectory)
                .Select(file => new LabelledExample(file, null, LabelledSource.Scaled(reader.SpectraOf(file, Corpus.ReadFile(file), out _), artefact.Scaler!), [0])),
        ];
    }

    /// <summary>Pictures, read as those of IDX files are: 0 paper, 255 ink.</summary>
    /// <param name="path">PNG files (a file, folder or glob), or one IDX file.</param>
    /// <param name="artefact">The size that the model was trained on.</param>
    /// <exception cref="DataException">A file is no picture, or has another size.</exception>
    public static List<LabelledExample> Pictures(string path, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(artefact);
        (int width, int height) = artefact.PictureWidth > 0 ? (artefact.PictureWidth, artefact.PictureHeight) : (DigitExamples.Columns, DigitExamples.Rows);
        (string name, List<PngFile> pictures, _, _) = ImageSource.Read(path, Environment.CurrentDirectory);
        return pictures[0].Width == width && pictures[0].Height == height
            ? [.. pictures.Select((picture, index) => new LabelledExample(pictures.Count == 1 ? Path.GetFileName(name) : $"{index + 1}", null, PictureExamples.Ink(picture.Pixels), [0]))]
            : throw new DataException(name, $"pictures of {width} x {height} pixels, as the model was trained on", $"{pictures[0].Width} x {pictures[0].Height}", "Scale them: bright ink on a dark ground");
    }
}
