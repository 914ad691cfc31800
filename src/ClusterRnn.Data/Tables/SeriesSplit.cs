namespace ClusterRnn.Data;

/// <summary>Rows <c>[Start, End)</c> of a table.</summary>
public readonly record struct SeriesPart(int Start, int End)
{
    /// <summary>How many rows there are.</summary>
    public int Rows => End - Start;
}

/// <summary>
/// A table cut in time order into training, validation and test, with its scaler and the columns that are read and
/// predicted. A window belongs to the part in which its targets lie; its inputs may reach back into the part before,
/// as they would when the model is used.
/// </summary>
public sealed class SeriesSplit
{
    private readonly float[] _features; // [rows, Features]
    private readonly float[] _targets; // [rows, Targets]
    private readonly int[]? _featureGaps; // [rows + 1]: how many rows before this one lack a feature
    private readonly int[]? _targetGaps; // the same of targets

    private SeriesSplit(SeriesTable table, SeriesData config, SeriesScaler scaler, int[] features, int[] targets, Cuts cuts)
    {
        Table = table;
        Scaler = scaler;
        Features = features;
        Targets = targets;
        Window = config.Window;
        Horizon = config.Horizon;
        EveryStep = config.EveryStep;
        Training = new SeriesPart(0, cuts.TrainEnd);
        Validation = new SeriesPart(cuts.TrainEnd, cuts.ValidationEnd);
        Test = new SeriesPart(cuts.TestStart, table.Rows);
        _features = Scaled(features);
        _targets = Scaled(targets);
        _featureGaps = GapsOf(features);
        _targetGaps = GapsOf(targets);
    }

    /// <summary>The table.</summary>
    public SeriesTable Table { get; }

    /// <summary>How the table's columns are scaled.</summary>
    public SeriesScaler Scaler { get; }

    /// <summary>The table's columns that are read.</summary>
    public IReadOnlyList<int> Features { get; }

    /// <summary>The table's columns that are predicted.</summary>
    public IReadOnlyList<int> Targets { get; }

    /// <summary>The table's column that marks anomalies, or null.</summary>
    public int? Anomalies { get; private init; }

    /// <summary>Rows in a window.</summary>
    public int Window { get; }

    /// <summary>Rows ahead that are predicted.</summary>
    public int Horizon { get; }

    /// <summary>Whether every time step of a window has targets.</summary>
    public bool EveryStep { get; }

    /// <summary>The first rows.</summary>
    public SeriesPart Training { get; }

    /// <summary>The rows after them; maybe none. In a cross-validation later folds' rows lie between it and the test part, unused.</summary>
    public SeriesPart Validation { get; }

    /// <summary>The last rows; maybe none.</summary>
    public SeriesPart Test { get; }

    /// <summary>Cuts and scales a table as a config says.</summary>
    /// <param name="table">The table.</param>
    /// <param name="config">Columns, window, shares and scaling.</param>
    /// <param name="scaler">The scaler to use, as on resuming; null to measure the training part.</param>
    /// <exception cref="DataException">A column is missing or a part is too short for one window.</exception>
    public static SeriesSplit Of(SeriesTable table, SeriesData config, SeriesScaler? scaler = null)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(config);
        int? anomalies = config.Anomalies is null ? null : table.IndexOf(config.Anomalies);
        int[] values = [.. Enumerable.Range(0, table.Columns.Count).Where(column => column != anomalies)];
        int[] targets = config.Target is null ? values[^Math.Min(1, values.Length)..] : [.. config.Target.Select(table.IndexOf)];
        int[] features = config.Features is null ? values : [.. config.Features.Select(table.IndexOf)];
        foreach ((int[] columns, string key) in new[] { (targets, "target"), (features, "features") })
        {
            if (columns.Length == 0 || columns.Distinct().Count() < columns.Length)
            {
                throw new DataException(
                    table.Name, $"different columns in data.{key}", columns.Length == 0 ? "none" : "one twice", $"Name each column once; the table has {string.Join(", ", table.Columns)}");
            }
        }

        if (anomalies is { } marks && (targets.Contains(marks) || features.Contains(marks)))
        {
            throw new DataException(table.Name, "a column for data.anomalies that is neither read nor predicted", $"'{table.Columns[marks]}' among data.features or data.target", "Leave it out there");
        }

        Cuts cuts = Cut(table, config);
        if (scaler is not null && !scaler.Columns.SequenceEqual(table.Columns))
        {
            throw new DataException(
                table.Name, $"the columns {string.Join(", ", scaler.Columns)} the model was trained on", string.Join(", ", table.Columns), "Take a file with the same columns");
        }

        scaler ??= SeriesScaler.Measure(table, cuts.TrainEnd, config.Scale);
        var split = new SeriesSplit(table, config, scaler, features, targets, cuts) { Anomalies = anomalies };
        foreach ((SeriesPart part, string name) in new[] { (split.Training, "training"), (split.Validation, "validation"), (split.Test, "test") })
        {
            if ((part.Rows > 0 || name == "training") && split.Windows(part).Count < 1)
            {
                int reach = part.Start == 0 || config.EveryStep ? config.Window : 0;
                throw new DataException(
                    table.Name,
                    $"at least {reach + config.Horizon} rows in the {name} part (window {config.Window}, horizon {config.Horizon})",
                    $"{part.Rows} of {table.Rows}",
                    "Take more rows, a shorter data.window or data.horizon, or other shares");
            }
        }

        return split;
    }

    /// <summary>The windows whose targets lie in a part, in time order.</summary>
    public SeriesWindows Windows(SeriesPart part) => new(this, part, _features, _targets);

    /// <summary>Whether the window that ends at a row reads no missing cell.</summary>
    /// <param name="last">The window's last row; <see cref="Window"/> rows end there.</param>
    public bool ReadsWhole(int last) => _featureGaps is null || _featureGaps[last + 1] == _featureGaps[last + 1 - Window];

    /// <summary>Whether none of that window's targets is missing.</summary>
    /// <param name="last">The window's last row; its targets follow, or with a target at each time step begin within it.</param>
    public bool PredictsWhole(int last) =>
        _targetGaps is null || _targetGaps[last + 1 + Horizon] == _targetGaps[EveryStep ? last + 2 - Window : last + 1];

    private int[]? GapsOf(int[] columns)
    {
        if (Table.Gaps is not { } gaps)
        {
            return null;
        }

        int[] before = new int[Table.Rows + 1];
        for (int row = 0; row < Table.Rows; row++)
        {
            before[row + 1] = before[row] + (columns.Any(column => gaps[column][row]) ? 1 : 0);
        }

        return before;
    }

    private static Cuts Cut(SeriesTable table, SeriesData config)
    {
        double kept = config.Validation + config.Test;
        if (!(config.Validation >= 0 && config.Test >= 0 && kept < 1))
        {
            throw new DataException("data", "shares validation and test that leave something to train on", $"{config.Validation} and {config.Test}", "Make them smaller");
        }

        int test = (int)(table.Rows * config.Test);
        if (config.Fold is { } fold)
        {
            int past = table.Rows - test, part = past / (fold.Of + 1), validationEnd = past - ((fold.Of - fold.Number) * part);
            return new Cuts(validationEnd - part, validationEnd, past);
        }

        if (config.TrainRows is not int trainRows)
        {
            int validation = (int)(table.Rows * config.Validation);
            return new Cuts(table.Rows - test - validation, table.Rows - test, table.Rows - test);
        }

        if (trainRows > table.Rows)
        {
            throw new DataException(table.Name, $"at least the {trainRows} rows of data.trainRows", $"{table.Rows}", "Make trainRows smaller");
        }

        int rest = table.Rows - trainRows;
        int end = kept == 0 ? table.Rows : trainRows + (int)(rest * (config.Validation / kept));
        return new Cuts(trainRows, end, end);
    }

    private readonly record struct Cuts(int TrainEnd, int ValidationEnd, int TestStart);

    private float[] Scaled(IReadOnlyList<int> columns)
    {
        float[] scaled = new float[Table.Rows * columns.Count];
        for (int row = 0; row < Table.Rows; row++)
        {
            for (int i = 0; i < columns.Count; i++)
            {
                scaled[row * columns.Count + i] = (float)Scaler.Scale(columns[i], Table.Values[columns[i]][row]);
            }
        }

        return scaled;
    }
}
