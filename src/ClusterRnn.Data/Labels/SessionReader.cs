// Sessions of items: CSV files with a row for each item, or generated ones (ShopVisits). A session's rows need not stand together. The
// model reads all items but the last and is asked after each for the next one; the items are its vocabulary and its classes alike.
using System.Globalization;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads sessions of items.</summary>
internal sealed class SessionReader(RecommendationData config) : ILabelledReader
{
    /// <inheritdoc/>
    public string Unit => "session";

    /// <inheritdoc/>
    public LabelPlaces Places => LabelPlaces.EveryStep;

    /// <inheritdoc/>
    public string LabelUnits => "items";

    /// <inheritdoc/>
    public bool KeepsOrder => config.TimeColumn is not null;

    /// <inheritdoc/>
    public bool PredictsNext => true;

    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus)
    {
        var sessions = new Dictionary<string, int>(StringComparer.Ordinal);
        var visits = new List<List<Visit>>();
        var places = new List<(string File, int Line)>();
        bool? hasDates = null;
        foreach (CorpusFile file in corpus.Files)
        {
            IReadOnlyList<CsvCell[]> rows = CsvReader.Read(file.Name, TokenizedText.DecodeUtf8(file), CsvReader.SeparatorOf(config.Separator));
            if (rows.Count == 0)
            {
                continue;
            }

            string[] names = config.Header ? Array.ConvertAll(rows[0], cell => cell.Text.Trim()) : [.. Enumerable.Range(1, rows[0].Length).Select(number => number.ToString(CultureInfo.InvariantCulture))];
            int session = SeriesTable.IndexOf(file.Name, names, config.SessionColumn, 1), item = SeriesTable.IndexOf(file.Name, names, config.ItemColumn, 1);
            int time = config.TimeColumn is null ? -1 : SeriesTable.IndexOf(file.Name, names, config.TimeColumn, 1);
            foreach (CsvCell[] row in rows.Skip(config.Header ? 1 : 0))
            {
                string of = Filled(file.Name, row[session], "a session"), what = Filled(file.Name, row[item], "an item");
                if (!sessions.TryGetValue(of, out int index))
                {
                    sessions[of] = index = visits.Count;
                    visits.Add([]);
                    places.Add((file.Name, row[session].Line));
                }

                visits[index].Add(new Visit(what, time < 0 ? 0 : TimeOf(file.Name, row[time], ref hasDates)));
            }
        }

        // Stable: rows of one time stay in order, sessions that begin together too.
        IEnumerable<int> order = Enumerable.Range(0, visits.Count);
        if (KeepsOrder)
        {
            for (int i = 0; i < visits.Count; i++)
            {
                visits[i] = [.. visits[i].OrderBy(visit => visit.Time)];
            }

            order = order.OrderBy(i => visits[i][0].Time);
        }

        int single = visits.Count(items => items.Count < 2), cut = visits.Count(items => items.Count > config.MaximumLength);
        return new RawExamples(
            corpus.Name,
            [.. order.Where(i => visits[i].Count >= 2).Select(i => Session(places[i].File, places[i].Line, visits[i].Select(visit => visit.Item)))],
            corpus.Sha256,
            Dropped.Notes(corpus.Name, (single, "sessions of one item", "dropped"), (cut, $"sessions longer than {config.MaximumLength} items, the first of them", "cut")));
    }

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Sessions, 0);
        return new RawExamples(
            "generated sessions", [.. Enumerable.Range(0, count).Select(i => Session("generated sessions", i + 1, ShopVisits.Make(key, i)))], ExampleGenerators.Sha256($"shop visits 1 {seed} {count}"), []);
    }

    /// <inheritdoc/>
    public Vocabulary? VocabularyOf(IReadOnlyList<RawExample> examples) => WordCounts.VocabularyOf(TokenLevel.Word, examples, config.MinimumCount, hasUnknown: false);

    /// <inheritdoc/>
    public IReadOnlyList<string> LabelsOf(IReadOnlyList<RawExample> examples, Vocabulary? vocabulary) => vocabulary!.Entries;

    /// <summary>Sessions of known items: all but the last to read, all but the first to predict.</summary>
    public IReadOnlyList<RawExample> Finish(IReadOnlyList<RawExample> part, bool trains, DataArtefact artefact, Action<string> note)
    {
        var finished = new List<RawExample>(part.Count);
        long unknown = 0;
        int tooShort = 0;
        foreach (RawExample session in part)
        {
            string[] items = [.. session.Pieces!.Where(item => artefact.Vocabulary!.IdOf(item) >= 0)];
            unknown += session.Pieces!.Length - items.Length;
            if (items.Length < 2)
            {
                tooShort++;
                continue;
            }

            finished.Add(session with { Pieces = items[..^1], Labels = items[1..] });
        }

        if (unknown > 0)
        {
            note($"{unknown} rows left out whose item occurs less than {config.MinimumCount} times in the training part, and {tooShort} sessions of which less than two items are left");
        }

        return finished;
    }

    private static string Filled(string file, CsvCell cell, string what) => cell.Text.Trim() is { Length: > 0 } text
        ? text
        : throw new DataException(file, what, "an empty cell", "Complete the row or remove it", cell.Line, cell.Column);

    private static double TimeOf(string file, CsvCell cell, ref bool? hasDates)
    {
        string text = cell.Text.Trim();
        bool isNumber = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number);
        bool isDate = !isNumber && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset date) && (number = date.UtcTicks) > 0;
        hasDates ??= isDate;
        return isNumber && hasDates == false || isDate && hasDates == true
            ? number
            : throw new DataException(
                file, hasDates == true ? "a date, as in the rows before" : "a number or a date such as 2026-11-21T18:00:00Z", $"'{text}'", "Correct it, or leave out data.timeColumn if rows are in order", cell.Line, cell.Column);
    }

    private RawExample Session(string name, int line, IEnumerable<string> items) => new(name, line, [.. items.TakeLast(config.MaximumLength)], null, []);

    private readonly record struct Visit(string Item, double Time);
}
