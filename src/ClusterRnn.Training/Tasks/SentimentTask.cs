// Texts with a class: how a review judges, what a message is about. How many are right stands beside always naming the most
// frequent class; some that it takes for others are shown, the surest first.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>Classes of texts.</summary>
public sealed class SentimentTask : LabelledTask
{
    private const int Shown = 10;
    private const int ShownCharacters = 100;

    /// <inheritdoc/>
    public override bool ReadsLines => true;

    private protected override TaskOutcome Judge(LabelledPart part, Dataset data)
    {
        var mistakes = part.Predicted.Where(example => example.Classes[0] != example.Example.Classes[0]).OrderByDescending(example => example.Probabilities[0]).Take(Shown);
        FigureTable shown = new(
            $"The surest mistakes of the {part.Name} part",
            ["text", "taken for", "is", "probability"],
            [.. mistakes.Select(example => (IReadOnlyList<string>)[TextOf(part.Trained, example), part.Labels[example.Classes[0]], part.Labels[example.Example.Classes[0]], Percent(example.Probabilities[0])])]);
        return new TaskOutcome([part.Accuracy("classes")], [part.ClassTable(), .. shown.Rows.Count > 0 ? new[] { shown } : []], [], null);
    }

    private protected override IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request)
    {
        var config = (SentimentData)trained.Job.Data;
        return LinesOf(request, "a text", "predict RUN 'a fine film'").ConvertAll(text => new LabelledExample(text, LabelledInput.Tokens(text, config, trained.Artefact), null, [0]));
    }

    private protected override Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation) =>
        NamesOf(asked, "Classes", "text", "class", example => Short(example.Name), cancellation);

    private static string TextOf(TaskModel trained, PredictedExample example) => Short(trained.Artefact.Vocabulary!.Decode(example.Example.Tokens!).Trim());

    private static string Short(string text) => text.Length <= ShownCharacters ? text : $"{text[..ShownCharacters]}…";
}
