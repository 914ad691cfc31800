// Speech to text: what is said in a recording, character by character, found by beam search among a model's outputs. Judged by the
// edits that make the right text of it, by characters and by words.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>Texts of recordings.</summary>
public sealed class SpeechTask : SequenceTask
{
    private const int MostExamples = 2000;
    private const int ShownExamples = 10;

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        LabelledPart part = LabelledPart.Of(trained, data);
        List<LabelReading> readings = LabelReading.Of(trained.Model, part.Examples, MostExamples);
        int characters = 0, edits = 0, words = 0, wordEdits = 0, right = 0;
        var rows = new List<IReadOnlyList<string>>();
        for (int i = 0; i < readings.Count; i++)
        {
            LabelReading reading = readings[i];
            (string expected, string found) = (TextOf(part.Labels, reading.Expected), TextOf(part.Labels, reading.Found));
            string[] said = LabelledInput.Words(expected);
            characters += reading.Expected.Count;
            edits += reading.Edits;
            words += said.Length;
            wordEdits += LabelReading.EditsOf(said, LabelledInput.Words(found));
            right += expected == found ? 1 : 0;
            if (rows.Count < ShownExamples)
            {
                rows.Add([Path.GetFileName(part.Examples[i].Name), found, expected]);
            }
        }

        return new TaskOutcome(
            [
                Rate("CharacterErrorRate", "Character error rate", edits, characters, "characters put in, left out or taken for others, by the characters there are"),
                Rate("WordErrorRate", "Word error rate", wordEdits, words, null),
                Rate("WhollyRight", "Texts without an error", right, readings.Count, null),
            ],
            [new FigureTable($"Recordings of the {part.Name} part", ["recording", "read", "said"], rows) { IsText = true }],
            [],
            null);

        Figure Rate(string key, string label, int count, int all, string? note) =>
            new($"{part.Name}{key}", $"{label}, {part.Name} part", count / (double)all, $"{Percent(count / (double)all)} ({count} of {all})", note);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        string input = request.Input ?? throw new DataException("predict", "a recording, a folder or a glob of them", "none", "Put it after the run: predict RUN speech.wav");
        List<LabelledExample> recordings = LabelledInput.Recordings(input, (SpeechData)trained.Job.Data, trained.Artefact);
        var part = new LabelledPart(trained, new LabelledExamples(recordings, trained.Model.Model.InputWidth, LabelPlaces.Somewhere, ""), "input");
        List<LabelReading> readings = LabelReading.Of(trained.Model, part.Examples, recordings.Count, cancellation);
        return new Prediction(
            null, [new FigureTable("Texts", ["recording", "read"], [.. readings.Select((reading, i) => (IReadOnlyList<string>)[Path.GetFileName(recordings[i].Name), TextOf(part.Labels, reading.Found)])]) { IsText = true }], []);
    }

    private static string TextOf(IReadOnlyList<string> labels, IReadOnlyList<int> classes) => string.Concat(classes.Select(label => labels[label]));
}
