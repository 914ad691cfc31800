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
}
