// Words with tags: CoNLL files, one word a line with its columns, an empty line between sentences; or sentences from a small
// grammar whose names are ambiguous: the same word is a person, a place or a firm, and what stands around it tells.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads sentences of words with tags.</summary>
internal sealed class TaggingReader(TaggingData config) : ILabelledReader
{
    // A file without empty lines is one sentence, and would be one row of so many time steps.
    private const int MostWords = 10_000;

    private static readonly string[] FirstNames = ["Anna", "Boris", "Clara", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas"];
    private static readonly string[] Ambiguous = ["Hamilton", "Lincoln", "Jackson", "Austin", "Houston", "Dallas", "Sydney", "Florence", "Chester", "Preston", "Milton", "Clifton"];
    private static readonly string[] Syllables = ["ka", "lo", "mi", "ren", "sto", "var", "bel", "dun", "tor", "eli", "fos", "gri"];
    private static readonly string[] Kinds = ["Bank", "Motors", "Foods", "Airlines", "Press"];

    // P: a person, L: a place, O: a firm.
    private static readonly string[] Forms =
    [
        "P said that the train to L was late .", "P works for O in L .", "the offices of O are in L .", "P moved from L to L last year .",
        "O has hired P .", "yesterday P met P in L .", "shares of O fell after P left .", "the river near L is wide .", "it rained in L .", "P and P bought O .",
        "the weather was fine and nobody said a word .", "L lies north of L .",
    ];

    /// <inheritdoc/>
    public string Unit => "sentence";

    /// <inheritdoc/>
    public LabelPlaces Places => LabelPlaces.EveryStep;

    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus)
    {
        var examples = new List<RawExample>();
        int documents = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            List<string> words = [], tags = [];
            int line = 0, first = 0, columns = 0, firstLine = 0;
            string text = TokenizedText.DecodeUtf8(file);
            foreach (string raw in (text.StartsWith('\uFEFF') ? text[1..] : text).Split('\n'))
            {
                line++;
                string[] cells = raw.TrimEnd('\r').Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
                if (cells.Length == 0)
                {
                    End();
                    continue;
                }

                if (cells[0] == "-DOCSTART-")
                {
                    documents++;
                    continue;
                }

                if (columns == 0)
                {
                    (columns, firstLine) = (cells.Length, line);
                    int needed = Math.Max(config.WordColumn, config.TagColumn ?? 2);
                    if (columns < needed)
                    {
                        throw new DataException(file.Name, $"at least {needed} columns: a word and its tag", $"{columns}", "Complete the line, or set data.wordColumn and data.tagColumn", line);
                    }
                }

                if (cells.Length != columns)
                {
                    throw new DataException(file.Name, $"{columns} columns, as on line {firstLine}", $"{cells.Length}", "Complete the line; an empty line ends a sentence", line);
                }

                if (words.Count == MostWords)
                {
                    throw new DataException(file.Name, $"at most {MostWords} words in a sentence, an empty line behind each", "more", "Part the sentences by empty lines", line);
                }

                first = words.Count == 0 ? line : first;
                words.Add(cells[config.WordColumn - 1]);
                tags.Add(cells[(config.TagColumn ?? columns) - 1]);
            }

            End();

            void End()
            {
                if (words.Count > 0)
                {
                    examples.Add(new RawExample(file.Name, first, [.. words], null, [.. tags]));
                    words.Clear();
                    tags.Clear();
                }
            }
        }

        return new RawExamples(corpus.Name, examples, corpus.Sha256, Dropped.Notes(corpus.Name, (documents, "-DOCSTART- lines", "dropped")));
    }

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Tagging, 0);
        var examples = new List<RawExample>(count);
        for (int i = 0; i < count; i++)
        {
            List<string> words = [], tags = [];
            string[] form = Forms[key.Below(i, 0, 0, Forms.Length)].Split(' ');
            for (int place = 0; place < form.Length; place++)
            {
                switch (form[place])
                {
                    case "P":
                        bool hasFirst = Below(1, 3) > 0;
                        Add("PER", hasFirst ? [FirstNames[Below(2, FirstNames.Length)], Name()] : [Name()]);
                        break;
                    case "L":
                        Add("LOC", Below(1, 6) == 0 ? ["New", Name()] : [Name()]);
                        break;
                    case "O":
                        Add("ORG", Below(1, 2) == 0 ? [Name(), Kinds[Below(2, Kinds.Length)]] : [Name()]);
                        break;
                    default:
                        words.Add(form[place]);
                        tags.Add("O");
                        break;
                }

                int Below(int element, int bound) => (int)key.Below(i, 1 + place, element, bound);

                // A name that may be anything, or one that is new.
                string Name()
                {
                    if (Below(3, 2) == 0)
                    {
                        return Ambiguous[Below(4, Ambiguous.Length)];
                    }

                    string name = Syllables[Below(5, Syllables.Length)] + Syllables[Below(6, Syllables.Length)] + Syllables[Below(7, Syllables.Length)];
                    return char.ToUpperInvariant(name[0]) + name[1..];
                }

                void Add(string type, string[] name)
                {
                    for (int word = 0; word < name.Length; word++)
                    {
                        words.Add(name[word]);
                        tags.Add($"{(word == 0 ? 'B' : 'I')}-{type}");
                    }
                }
            }

            examples.Add(new RawExample("generated sentences", null, [.. words], null, [.. tags]));
        }

        return new RawExamples("generated sentences", examples, ExampleGenerators.Sha256($"tagged sentences 1 {seed} {count}"), []);
    }

    /// <inheritdoc/>
    public Vocabulary? VocabularyOf(IReadOnlyList<RawExample> examples) => WordCounts.VocabularyOf(TokenLevel.Word, examples, config.MinimumCount);
}
