// What somebody looks at next, from the items of a session so far (GRU4Rec: Hidasi et al., Session-based recommendations with
// recurrent neural networks, 2016). Recall and mean reciprocal rank among the first twenty stand beside three recommendations that
// need no training: what followed the last item most often, what shares most sessions with it, and what is most popular.
using System.Globalization;
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>The next item of a session.</summary>
public sealed class RecommendationTask : LabelledTask
{
    private const int Places = 20;
    private const int MostSessions = 5000;
    private const int ShownSessions = 6;
    private const int ShownItems = 3;
    private const int DefaultItems = 10;

    /// <inheritdoc/>
    public override bool ReadsLines => true;

    private protected override bool HasTags => true;

    private protected override TaskOutcome Judge(LabelledPart part, Dataset data)
    {
        LabelledPart judged = part.First(MostSessions);
        var baselines = new ItemCounts(LabelledPart.ExamplesOf(data.Training), part.Labels.Count);
        RankSum model = new(), followed = new(), together = new(), popular = new();
        double[] scores = new double[part.Labels.Count];
        var shown = new List<IReadOnlyList<string>>();
        judged.Visit((session, time, logits) =>
        {
            LabelledExample example = judged.Examples[session];
            int last = example.Tokens![time], next = example.Classes[time];
            for (int i = 0; i < scores.Length; i++)
            {
                scores[i] = logits[i];
            }

            model.Add(scores, next);
            if (session < ShownSessions && time == example.Classes.Length - 1)
            {
                shown.Add([$"{(example.Tokens.Length > ShownItems ? "… " : "")}{string.Join(' ', example.Tokens.TakeLast(ShownItems).Select(item => part.Labels[item]))}", string.Join(' ', Best(logits, ShownItems).Select(item => part.Labels[item])), part.Labels[next]]);
            }

            baselines.Followers(last, scores);
            followed.Add(scores, next);
            baselines.Companions(last, scores);
            together.Add(scores, next);
            popular.Add(baselines.Popularity, next);
        });
        string of = judged.Examples.Count < part.Examples.Count ? string.Create(CultureInfo.InvariantCulture, $"the first {MostSessions} sessions; ") : "";
        string[] Row(string name, RankSum sum) => [name, Percent(sum.Recall(Places)), Show(sum.MeanReciprocalRankAt(Places))];
        return new TaskOutcome(
            [
                new Figure($"{part.Name}Recall20", $"Next item among the first {Places}, {part.Name} part", model.Recall(Places), Percent(model.Recall(Places)), $"{of}what followed the last item: {Percent(followed.Recall(Places))}"),
                new Figure($"{part.Name}MeanReciprocalRank20", $"Mean reciprocal rank, {part.Name} part", model.MeanReciprocalRankAt(Places), Show(model.MeanReciprocalRankAt(Places)), $"0 behind the first {Places}; what followed the last item: {Show(followed.MeanReciprocalRankAt(Places))}"),
            ],
            [
                new FigureTable(
                    $"Recommendations of the {part.Name} part",
                    ["recommended", $"recall@{Places}", $"MRR@{Places}"],
                    [Row("by this model", model), Row("what followed the last item", followed), Row("what shares sessions with it", together), Row("the most popular", popular)]),
                new FigureTable($"Sessions of the {part.Name} part", ["session", "recommended", "next was"], shown) { IsText = true },
            ],
            [],
            null);
    }

    private protected override IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request)
    {
        var config = (RecommendationData)trained.Job.Data;
        return LinesOf(request, "the items of a session", "predict RUN 'camping-1 camping-4'").ConvertAll(line =>
        {
            int[] items = LabelledInput.Items(line, config, trained.Artefact);
            return new LabelledExample(line, items, null, new int[items.Length]);
        });
    }

    private protected override Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation)
    {
        var tables = new List<FigureTable>();
        asked.Visit(
            (session, time, logits) =>
            {
                if (time < asked.Examples[session].Classes.Length - 1)
                {
                    return;
                }

                float[] probabilities = LabelledPart.Probabilities(logits);
                tables.Add(new FigureTable(
                    $"Next after {asked.Examples[session].Name}",
                    ["item", "probability"],
                    [.. Best(logits, request.Steps ?? DefaultItems).Select(item => (IReadOnlyList<string>)[asked.Labels[item], Percent(probabilities[item])])]));
            },
            cancellation);
        return new Prediction(null, tables, []);
    }

    private static int[] Best(ReadOnlySpan<float> logits, int count)
    {
        float[] values = logits.ToArray();
        return [.. Enumerable.Range(0, values.Length).OrderByDescending(item => values[item]).Take(count)];
    }

    /// <summary>What the training sessions' counts alone say.</summary>
    private sealed class ItemCounts
    {
        private readonly Dictionary<int, int>[] followers; // [items]
        private readonly Dictionary<int, int>[] companions; // [items]

        public ItemCounts(LabelledExamples sessions, int items)
        {
            Popularity = new double[items];
            followers = [.. Enumerable.Range(0, items).Select(_ => new Dictionary<int, int>())];
            companions = [.. Enumerable.Range(0, items).Select(_ => new Dictionary<int, int>())];
            for (int i = 0; i < sessions.Count; i++)
            {
                LabelledExample session = sessions[i];
                int[] all = [session.Tokens![0], .. session.Classes], different = [.. all.Distinct()];
                for (int time = 0; time < session.Classes.Length; time++)
                {
                    Count(followers[session.Tokens[time]], session.Classes[time]);
                }

                foreach (int item in all)
                {
                    Popularity[item]++;
                }

                foreach (int item in different)
                {
                    foreach (int other in different)
                    {
                        Count(companions[item], other);
                    }
                }
            }
        }

        public double[] Popularity { get; }

        public void Followers(int item, Span<double> scores) => Score(followers[item], -1, scores);

        public void Companions(int item, Span<double> scores) => Score(companions[item], item, scores);

        private static void Count(Dictionary<int, int> counts, int item) => counts[item] = counts.GetValueOrDefault(item) + 1;

        // Of those that were counted alike, the more popular ones first. Popularity is below 1 here, counts above.
        private void Score(Dictionary<int, int> counts, int except, Span<double> scores)
        {
            for (int i = 0; i < scores.Length; i++)
            {
                scores[i] = (counts.TryGetValue(i, out int count) && i != except ? count : 0) + (Popularity[i] / (1L << 40));
            }
        }
    }
}
