// New input for a trained model, read as its training data was.
namespace ClusterRnn.Data;

/// <summary>Reads what a model with labels is asked about.</summary>
public static class LabelledInput
{
    /// <summary>The class of a right answer.</summary>
    public const string RightAnswer = AnswerReader.Right;

    /// <summary>The words of a sentence, which spaces separate.</summary>
    public static string[] Words(string sentence)
    {
        ArgumentNullException.ThrowIfNull(sentence);
        return sentence.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>The tokens of a text.</summary>
    public static int[] Tokens(string text, ClassifiedTextData config, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(artefact);
        string[] pieces = ClassifiedTextReader.PiecesOf(text, config.Level);
        return ((ILabelledReader)new ClassifiedTextReader(config)).Encode(pieces[..Math.Min(pieces.Length, config.MaximumLength)], artefact.Vocabulary!);
    }

    /// <summary>The tokens of a question with an answer that may be to it.</summary>
    public static int[] Tokens(string question, string answer, AnswerSelectionData config, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(artefact);
        return [.. new AnswerReader(config).Pieces(question, answer, out _).Select(artefact.Vocabulary!.IdOf)];
    }

    /// <summary>The token between a question and an answer.</summary>
    public static int MarkOf(DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(artefact);
        return artefact.Vocabulary!.IdOf(AnswerReader.Mark);
    }

    /// <summary>The items of a session, in order: between commas where there are any, else between spaces.</summary>
    /// <exception cref="DataException">An item is unknown; the message has the nearest one.</exception>
    public static int[] Items(string session, RecommendationData config, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(artefact);
        Vocabulary known = artefact.Vocabulary!;
        string[] items = session.Contains(',', StringComparison.Ordinal) ? session.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) : Words(session);
        if (items.Length == 0)
        {
            throw new DataException("predict", "items with commas or spaces between them", $"'{session}'", "Name the items of a session, the latest one last");
        }

        return [.. items.TakeLast(config.MaximumLength).Select(item => known.IdOf(item) is >= 0 and int id ? id : throw new DataException(
            "predict", "items of the training data", $"'{item}'", NearestName.Of(item, known.Entries) is { } near ? $"Did you mean '{near}'" : "Leave it out; rare items are not known"))];
    }

    /// <summary>The spectra of recordings.</summary>
    /// <param name="path">A file, folder or glob.</param>
    /// <param name="config">How the training data was read.</param>
    /// <param name="artefact">The scaler.</param>
    /// <exception cref="DataException">A file is no recording of the right kind, or there is none.</exception>
    public static List<LabelledExample> Recordings(string path, RecordingsData config, DataArtefact artefact)
    {
        ArgumentNullException.ThrowIfNull(artefact);
        var spectra = new RecordingSpectra(config);
        IReadOnlyList<string> files = FileSearch.Find(path, Environment.CurrentDirectory);
        if (files.Count > 1)
        {
            files = [.. files.Where(RecordingReader.IsRecording)]; // as of training data: tables and the like lie beside them
        }

        return files.Count == 0 ? throw new DataException(path, "recordings (.wav)", "files of other kinds", "Name a file, a folder or a pattern that has some") :
        [
            .. files.Select(file => new LabelledExample(file, null, LabelledSource.Scaled(spectra.SpectraOf(file, Corpus.ReadFile(file), out _), artefact.Scaler!), [0])),
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
