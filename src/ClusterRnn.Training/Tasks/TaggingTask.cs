// Words with a tag each. Tags that begin with B- and I- mark spans: names of people, places, firms. A span counts as found when
// its first word, its last word and its type are right, as in the shared tasks of CoNLL (Tjong Kim Sang and De Meulder 2003).
using System.Text;
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>A run of words of one type.</summary>
/// <param name="Type">What they are.</param>
/// <param name="First">The first word.</param>
/// <param name="End">One more than the last.</param>
public readonly record struct TaggedSpan(string Type, int First, int End)
{
    /// <summary>The spans that tags mark: B- begins one, I- goes on with one of its type or begins one, any other tag ends it.</summary>
    public static IReadOnlyList<TaggedSpan> Of(IReadOnlyList<string> tags)
    {
        ArgumentNullException.ThrowIfNull(tags);
        var spans = new List<TaggedSpan>();
        string? open = null;
        int first = 0;
        for (int i = 0; i <= tags.Count; i++)
        {
            string tag = i < tags.Count ? tags[i] : "O";
            bool marks = tag.Length > 2 && tag[1] == '-' && tag[0] is 'B' or 'I';
            string? type = marks ? tag[2..] : null;
            if (open is not null && (type != open || tag[0] == 'B'))
            {
                spans.Add(new TaggedSpan(open, first, i));
                open = null;
            }

            if (open is null && type is not null)
            {
                (open, first) = (type, i);
            }
        }

        return spans;
    }
}

/// <summary>Tags of words.</summary>
public sealed class TaggingTask : LabelledTask
{
    private const int Shown = 10;

    /// <inheritdoc/>
    public override bool ReadsLines => true;

    private protected override bool HasTags => true;

    private protected override TaskOutcome Judge(LabelledPart part, Dataset data)
    {
        IReadOnlyList<string> labels = part.Labels;
        var counts = new SortedDictionary<string, (int Hits, int Found, int Actual)>(StringComparer.Ordinal);
        foreach (PredictedExample example in part.Predicted)
        {
            IReadOnlyList<TaggedSpan> actual = SpansOf(example.Example.Classes, labels), found = SpansOf(example.Classes, labels);
            foreach (TaggedSpan span in actual)
            {
                (int hits, int ofFound, int ofActual) = counts.GetValueOrDefault(span.Type);
                counts[span.Type] = (hits + (found.Contains(span) ? 1 : 0), ofFound, ofActual + 1);
            }

            foreach (TaggedSpan span in found)
            {
                (int hits, int ofFound, int ofActual) = counts.GetValueOrDefault(span.Type);
                counts[span.Type] = (hits, ofFound + 1, ofActual);
            }
        }

        var figures = new List<Figure> { part.Accuracy("tags") };
        var tables = new List<FigureTable>();
        if (counts.Count > 0)
        {
            int hits = 0, found = 0, actual = 0;
            foreach ((int ofHits, int ofFound, int ofActual) in counts.Values)
            {
                (hits, found, actual) = (hits + ofHits, found + ofFound, actual + ofActual);
            }

            double score = actual + found == 0 ? 0 : 2.0 * hits / (actual + found);
            figures.Add(new Figure($"{part.Name}SpanF1", $"Spans, F1, {part.Name} part", score, Percent(score), "first word, last word and type right"));
            tables.Add(new FigureTable(
                $"Spans of the {part.Name} part",
                ["type", "there are", "found", "precision", "recall", "F1"],
                [.. counts.Append(new("all", (hits, found, actual))).Select(entry => (IReadOnlyList<string>)
                [
                    entry.Key, $"{entry.Value.Actual}", $"{entry.Value.Found}", Share(entry.Value.Hits, entry.Value.Found),
                    Share(entry.Value.Hits, entry.Value.Actual), Share(2 * entry.Value.Hits, entry.Value.Actual + entry.Value.Found),
                ])]));
        }
        else
        {
            tables.Add(part.ClassTable());
        }

        tables.Add(new FigureTable(
            $"Sentences of the {part.Name} part",
            ["found", "right would be"],
            [.. part.Predicted.Take(Shown).Select(example => (IReadOnlyList<string>)[Marked(WordsOf(part, example), example.Classes, labels), Marked(WordsOf(part, example), example.Example.Classes, labels)])])
        { IsText = true });
        return new TaskOutcome(figures, tables, [], null);
    }

    private protected override IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request) =>
        LinesOf(request, "a sentence with spaces between words", "predict RUN 'Anna works for Kalo Bank .'").ConvertAll(line =>
        {
            int[] tokens = [.. LabelledInput.Words(line).Select(trained.Artefact.Vocabulary!.IdOf)];
            return new LabelledExample(line, tokens, null, new int[tokens.Length]);
        });

    private protected override Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation)
    {
        var rows = new List<IReadOnlyList<string>>();
        var text = new StringBuilder();
        foreach (PredictedExample sentence in asked.Predict(cancellation))
        {
            string[] words = LabelledInput.Words(sentence.Example.Name);
            text.Append(Marked(words, sentence.Classes, asked.Labels)).Append('\n');
            for (int word = 0; word < words.Length; word++)
            {
                rows.Add([words[word], asked.Labels[sentence.Classes[word]], Percent(sentence.Probabilities[word])]);
            }
        }

        request.OnText?.Invoke(text.ToString());
        return new Prediction(text.ToString(), [new FigureTable("Tags", ["word", "tag", "probability"], rows)], []);
    }

    private static IReadOnlyList<TaggedSpan> SpansOf(int[] classes, IReadOnlyList<string> labels) => TaggedSpan.Of([.. classes.Select(tag => labels[tag])]);

    private static string[] WordsOf(LabelledPart part, PredictedExample example) => [.. example.Example.Tokens!.Select(part.Trained.Artefact.Vocabulary!.Show)];

    // The sentence with its spans in brackets, or where there are none with its tags.
    private static string Marked(string[] words, int[] classes, IReadOnlyList<string> labels)
    {
        IReadOnlyList<TaggedSpan> spans = SpansOf(classes, labels);
        string[] marked = [.. words];
        foreach (TaggedSpan span in spans)
        {
            marked[span.First] = $"[{span.Type} {marked[span.First]}";
            marked[span.End - 1] += "]";
        }

        bool hasSpans = labels.Any(label => label.StartsWith("B-", StringComparison.Ordinal) || label.StartsWith("I-", StringComparison.Ordinal));
        return string.Join(' ', hasSpans ? marked : words.Select((word, i) => $"{word}/{labels[classes[i]]}"));
    }
}
