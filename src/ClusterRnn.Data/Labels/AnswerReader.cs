// Questions with answers: TSV files, or generated ones (TownAnswers). What the model reads is the question, a mark, and one answer;
// its class says whether the answer is right. The wrong ones are the data's own, or drawn from the answers to other questions of the
// same part, so that nothing that tests was seen in training.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads questions with answers.</summary>
internal sealed class AnswerReader(AnswerSelectionData config) : ILabelledReader
{
    /// <summary>The class of a right answer.</summary>
    public const string Right = "right";

    /// <summary>What stands between question and answer; no word is cut from a text like this.</summary>
    public const string Mark = "<sep>";

    // Draws for one wrong answer before a part counts as having no other.
    private const int MostDraws = 20;

    private static readonly string[] Labels = [Right, "wrong"];

    /// <inheritdoc/>
    public string Unit => "question";

    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus)
    {
        var examples = new List<RawExample>();
        int emptyLines = 0, halves = 0, cut = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            IReadOnlyList<(int Line, string[] Cells)> rows = TsvReader.Read(file.Name, TokenizedText.DecodeUtf8(file), 2, out int empty);
            emptyLines += empty;
            foreach ((int line, string[] cells) in rows.Skip(config.Header ? 1 : 0))
            {
                if (string.IsNullOrWhiteSpace(cells[0]) || string.IsNullOrWhiteSpace(cells[1]))
                {
                    halves++;
                    continue;
                }

                examples.Add(Question(file.Name, line, cells[0], cells[1], cells.Skip(2).Where(cell => !string.IsNullOrWhiteSpace(cell)), ref cut));
            }
        }

        return new RawExamples(corpus.Name, examples, corpus.Sha256, Dropped.Notes(
            corpus.Name, (emptyLines, "empty lines", "dropped"), (halves, "lines without a question or a right answer", "dropped"), (cut, $"questions and answers longer than {config.MaximumLength} words", "cut")));
    }

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Answers, 0);
        var examples = new List<RawExample>(count);
        int cut = 0;
        for (int i = 0; i < count; i++)
        {
            (string question, string answer) = TownAnswers.Make(key, i);
            examples.Add(Question("generated questions", i + 1, question, answer, [], ref cut));
        }

        return new RawExamples("generated questions", examples, ExampleGenerators.Sha256($"town answers 1 {seed} {count}"), []);
    }

    /// <inheritdoc/>
    public Vocabulary? VocabularyOf(IReadOnlyList<RawExample> examples) => WordCounts.VocabularyOf(
        TokenLevel.Word, [.. examples, .. examples.SelectMany(example => example.Wrong.Select(answer => example with { Pieces = answer }))], config.MinimumCount);

    /// <inheritdoc/>
    public IReadOnlyList<string> LabelsOf(IReadOnlyList<RawExample> examples, Vocabulary? vocabulary) => Labels;

    /// <summary>Each question with its right answer, and after it with wrong ones.</summary>
    public IReadOnlyList<RawExample> Finish(IReadOnlyList<RawExample> part, bool trains, DataArtefact artefact, Action<string> note)
    {
        var key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.Answers, trains ? 1UL : 2UL);
        int wanted = trains ? config.Wrong : config.Candidates - 1, few = 0;
        string[][] answers = [.. part.Select(AnswerOf)];
        string[] texts = [.. answers.Select(answer => string.Concat(answer))];
        var finished = new List<RawExample>(part.Count * (wanted + 1));
        for (int i = 0; i < part.Count; i++)
        {
            RawExample right = part[i];
            finished.Add(right);
            IReadOnlyList<string[]> wrong = right.Wrong;
            if (wrong.Count == 0)
            {
                wrong = Drawn(i);
                few += wrong.Count < wanted ? 1 : 0;
            }

            finished.AddRange(wrong.Select(answer => right with { Pieces = [.. QuestionOf(right), .. answer], Labels = [Labels[1]] }));
        }

        if (few > 0)
        {
            note($"{few} questions have fewer than {wanted} wrong answers, because the part has no more different ones");
        }

        return finished;

        List<string[]> Drawn(int question)
        {
            var drawn = new List<string[]>(wanted);
            HashSet<string> taken = [texts[question]];
            for (int element = 0; drawn.Count < wanted && element < MostDraws * wanted; element++)
            {
                int other = (int)key.Below(question, 0, element, part.Count);
                if (taken.Add(texts[other]))
                {
                    drawn.Add(answers[other]);
                }
            }

            return drawn;
        }
    }

    /// <summary>What the model reads: the question's last words, a mark, the answer's first.</summary>
    /// <param name="question">The question.</param>
    /// <param name="answer">An answer.</param>
    /// <param name="cut">How many of the two were longer than is read.</param>
    internal string[] Pieces(string question, string answer, out int cut)
    {
        string[] asked = ClassifiedTextReader.PiecesOf(question, TokenLevel.Word), answered = ClassifiedTextReader.PiecesOf(answer, TokenLevel.Word);
        cut = (asked.Length > config.MaximumLength ? 1 : 0) + (answered.Length > config.MaximumLength ? 1 : 0);
        return [.. asked.TakeLast(config.MaximumLength), Mark, .. answered.Take(config.MaximumLength)];
    }

    private static string[] QuestionOf(RawExample example) => example.Pieces![..(Array.IndexOf(example.Pieces, Mark) + 1)];

    private static string[] AnswerOf(RawExample example) => example.Pieces![(Array.IndexOf(example.Pieces, Mark) + 1)..];

    private RawExample Question(string name, int line, string question, string right, IEnumerable<string> wrong, ref int cut)
    {
        string[] pieces = Pieces(question, right, out int ofPair);
        cut += ofPair;
        return new RawExample(name, line, pieces, null, [Right])
        {
            Wrong = [.. wrong.Select(answer => Pieces(question, answer, out _)[(Array.IndexOf(pieces, Mark) + 1)..])],
        };
    }
}
