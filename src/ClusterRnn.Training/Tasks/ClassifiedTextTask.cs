// Texts with a class: how a review judges, what an utterance is for. How many are right stands beside always naming the most
// frequent class; some that it takes for others are shown, the surest first.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>Classes of texts.</summary>
/// <param name="unit">What a text is called.</param>
/// <param name="what">What a class is called.</param>
/// <param name="several">What several are called.</param>
/// <param name="likeliest">How many of a single text's classes are shown, the likeliest first.</param>
public sealed class ClassifiedTextTask(string unit, string what, string several, int likeliest) : LabelledTask
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
            [unit, "taken for", "is", "probability"],
            [.. mistakes.Select(example => (IReadOnlyList<string>)[TextOf(part.Trained, example), part.Labels[example.Classes[0]], part.Labels[example.Example.Classes[0]], Percent(example.Probabilities[0])])]);
        return new TaskOutcome([part.Accuracy(several)], [part.ClassTable(), .. shown.Rows.Count > 0 ? new[] { shown } : []], [], null);
    }

    private protected override IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request)
    {
        var config = (ClassifiedTextData)trained.Job.Data;
        return LinesOf(request, "a text", "predict RUN 'a fine film'").ConvertAll(text => new LabelledExample(text, LabelledInput.Tokens(text, config, trained.Artefact), null, [0]));
    }

    private protected override Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation)
    {
        if (likeliest == 1 || asked.Examples.Count > 1)
        {
            return NamesOf(asked, "Classes", unit, what, example => Short(example.Name), cancellation);
        }

        float[] probabilities = [];
        asked.Visit((_, _, logits) => probabilities = LabelledPart.Probabilities(logits), cancellation);
        IEnumerable<int> best = Enumerable.Range(0, probabilities.Length).OrderByDescending(label => probabilities[label]).Take(likeliest);
        return new Prediction(
            null, [new FigureTable($"Likeliest for '{Short(asked.Examples[0].Name)}'", [what, "probability"], [.. best.Select(label => (IReadOnlyList<string>)[asked.Labels[label], Percent(probabilities[label])])])], []);
    }

    /// <inheritdoc/>
    public override Explanation Explain(TaskModel trained, string? input)
    {
        ArgumentNullException.ThrowIfNull(trained);
        LabelledExample asked = Read(trained, new PredictionRequest(input, trained.Job.Generate))[0];
        using SpanBatch row = SingleRow.Of(asked.Tokens, targets: 1);
        return Explanation.Of(trained.Model, row, [.. asked.Tokens!.Select(trained.Artefact.Vocabulary!.NameOf)], logits =>
        {
            int likeliest = Explanation.LargestOf(logits);
            return $"{what} '{trained.Artefact.Labels![likeliest]}' {Percent(LabelledPart.Probabilities(logits)[likeliest])}";
        });
    }

    private static string TextOf(TaskModel trained, PredictedExample example) => Short(trained.Artefact.Vocabulary!.Decode(example.Example.Tokens!).Trim());

    private static string Short(string text) => text.Length <= ShownCharacters ? text : $"{text[..ShownCharacters]}…";
}
