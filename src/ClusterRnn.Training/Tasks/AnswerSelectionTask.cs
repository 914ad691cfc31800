// Answers to questions: of several candidates the right one should stand first. A model that reads a question with one answer and says
// how likely that answer is right ranks them (a cross-encoder); beside it stand how often a guess would be right, and the answer with
// the most words of the question.
using System.Globalization;
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>Answers, ranked.</summary>
public sealed class AnswerSelectionTask : LabelledTask
{
    private const int Shown = 8;

    /// <inheritdoc/>
    public override bool ReadsLines => true;

    /// <inheritdoc/>
    public override bool RanksCandidates => true;

    private protected override TaskOutcome Judge(LabelledPart part, Dataset data)
    {
        float[] rightness = RightnessOf(part, default);
        List<Range> questions = QuestionsOf(part.Examples);
        RankSum model = new(), words = new(), guess = new();
        var mistakes = new List<IReadOnlyList<string>>();
        foreach (Range question in questions)
        {
            (int first, int end) = (question.Start.Value, question.End.Value);
            double[] own = [.. rightness[question].Select(value => (double)value)];
            model.Add(own, 0);
            words.Add([.. Enumerable.Range(first, end - first).Select(i => (double)SharedWords(part, i))], 0);
            guess.Add(new double[end - first], 0);
            int best = Array.IndexOf(own, own.Max());
            if (best > 0 && mistakes.Count < Shown)
            {
                (string asked, string right) = TextsOf(part, first);
                mistakes.Add([asked, TextsOf(part, first + best).Answer, right]);
            }
        }

        double most = questions.Max(question => question.End.Value - question.Start.Value);
        string among = string.Create(CultureInfo.InvariantCulture, $"of {(questions.All(question => question.End.Value - question.Start.Value == most) ? "" : "up to ")}{most}");
        string[] Row(string name, RankSum sum) => [name, Percent(sum.Recall(1)), Percent(sum.Recall(3)), Show(sum.MeanReciprocalRank)];
        return new TaskOutcome(
            [
                new Figure($"{part.Name}Recall1", $"Right answer first {among}, {part.Name} part", model.Recall(1), $"{Percent(model.Recall(1))} of {questions.Count} questions", $"a guess: {Percent(guess.Recall(1))}"),
                new Figure($"{part.Name}MeanReciprocalRank", $"Mean reciprocal rank, {part.Name} part", model.MeanReciprocalRank, Show(model.MeanReciprocalRank), $"a guess: {Show(guess.MeanReciprocalRank)}"),
            ],
            [
                new FigureTable($"Answers ranked, {part.Name} part", ["by", "right one first", "among three", "mean reciprocal rank"], [Row("this model", model), Row("words in common with the question", words), Row("a guess", guess)]),
                .. mistakes.Count > 0 ? new[] { new FigureTable($"Mistakes of the {part.Name} part", ["question", "put first", "right would be"], mistakes) { IsText = true } } : [],
            ],
            [],
            null);
    }

    private protected override IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request)
    {
        string[] candidates = CandidatesOf(request);
        if (candidates.Length == 0)
        {
            throw new DataException("predict", "answers to rank", request.Candidates is null ? "none" : "empty lines", "Name a file with one a line: predict RUN 'when does the pool open ?' --candidates answers.txt");
        }

        var config = (AnswerSelectionData)trained.Job.Data;
        return
        [
            .. LinesOf(request, "a question", "predict RUN 'when does the pool open ?'")
                .SelectMany(question => candidates.Select(answer => new LabelledExample(question, LabelledInput.Tokens(question, answer, config, trained.Artefact), null, [0]))),
        ];
    }

    private protected override Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation)
    {
        string[] candidates = CandidatesOf(request);
        float[] rightness = RightnessOf(asked, cancellation);
        var tables = new List<FigureTable>();
        for (int first = 0; first < rightness.Length; first += candidates.Length)
        {
            IEnumerable<int> order = Enumerable.Range(0, candidates.Length).OrderByDescending(i => rightness[first + i]);
            tables.Add(new FigureTable($"Answers to '{asked.Examples[first].Name}'", ["answer", "right"], [.. order.Select(i => (IReadOnlyList<string>)[candidates[i], Percent(rightness[first + i])])]));
        }

        return new Prediction(null, tables, []);
    }

    private static string[] CandidatesOf(PredictionRequest request) => [.. (request.Candidates ?? []).Where(line => !string.IsNullOrWhiteSpace(line))];

    // How likely each example's answer is right.
    private static float[] RightnessOf(LabelledPart part, CancellationToken cancellation)
    {
        int right = part.Labels.ToList().IndexOf(LabelledInput.RightAnswer);
        float[] rightness = new float[part.Examples.Count];
        part.Visit((example, _, logits) => rightness[example] = LabelledPart.Probabilities(logits)[right], cancellation);
        return rightness;
    }

    // A question's examples stand together, the right answer first, and have its place as their name.
    private static List<Range> QuestionsOf(LabelledExamples examples)
    {
        var questions = new List<Range>();
        int first = 0;
        for (int i = 1; i <= examples.Count; i++)
        {
            if (i == examples.Count || examples[i].Name != examples[first].Name)
            {
                questions.Add(first..i);
                first = i;
            }
        }

        return questions;
    }

    private static int SharedWords(LabelledPart part, int example)
    {
        int[] tokens = part.Examples[example].Tokens!;
        int mark = Array.IndexOf(tokens, LabelledInput.MarkOf(part.Trained.Artefact));
        return tokens[(mark + 1)..].Distinct().Count(tokens[..mark].Contains);
    }

    private static (string Question, string Answer) TextsOf(LabelledPart part, int example)
    {
        int[] tokens = part.Examples[example].Tokens!;
        int mark = Array.IndexOf(tokens, LabelledInput.MarkOf(part.Trained.Artefact));
        Vocabulary vocabulary = part.Trained.Artefact.Vocabulary!;
        return (vocabulary.Decode(tokens.AsSpan(0, mark)).Trim(), vocabulary.Decode(tokens.AsSpan(mark + 1)).Trim());
    }
}
