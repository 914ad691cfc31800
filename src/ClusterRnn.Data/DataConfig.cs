// The `data:` section of a job. One record per kind of source; `source` says which. Every kind that generates its data
// also takes `path`, so that any config runs on a fresh clone and on real data by one setting.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace ClusterRnn.Data;

/// <summary>What one token of a text is.</summary>
public enum TokenLevel
{
    /// <summary>A Unicode scalar value.</summary>
    Character,

    /// <summary>A byte; any file will do.</summary>
    Byte,

    /// <summary>A word, a punctuation mark or an ideograph, with the space before it.</summary>
    Word,
}

/// <summary>How the columns of a series are scaled, by the training part's statistics only.</summary>
public enum Scaling
{
    /// <summary>Values as they are.</summary>
    None,

    /// <summary>Mean 0 and standard deviation 1.</summary>
    Standard,

    /// <summary>Minimum 0 and maximum 1.</summary>
    MinMax,
}

/// <summary>What happens with an empty, NA or NaN cell.</summary>
public enum MissingValues
{
    /// <summary>It is an error that names the cell.</summary>
    Error,

    /// <summary>The column's last value is taken; rows before a column's first value are dropped. Both are counted and reported.</summary>
    Previous,

    /// <summary>Windows that read or predict such a cell are left out, and rows before a column's first value are dropped. Both are counted and reported.</summary>
    Drop,
}

/// <summary>Where the data comes from and how it is cut.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "source")]
[JsonDerivedType(typeof(TextFileData), "text")]
[JsonDerivedType(typeof(SumsData), "sums")]
[JsonDerivedType(typeof(DatesData), "dates")]
[JsonDerivedType(typeof(SumsAndDatesData), "sums-and-dates")]
[JsonDerivedType(typeof(TableData), "csv")]
[JsonDerivedType(typeof(NoisySineData), "sine")]
[JsonDerivedType(typeof(MackeyGlassData), "mackey-glass")]
[JsonDerivedType(typeof(SeasonalData), "seasonal")]
[JsonDerivedType(typeof(RandomWalkData), "random-walk")]
[JsonDerivedType(typeof(AirData), "air")]
[JsonDerivedType(typeof(SensorData), "sensor")]
[JsonDerivedType(typeof(CopyData), "copy")]
[JsonDerivedType(typeof(AddingData), "adding")]
[JsonDerivedType(typeof(DigitsData), "digits")]
[JsonDerivedType(typeof(DigitStringsData), "digit-strings")]
[JsonDerivedType(typeof(TranslationData), "translation")]
[JsonDerivedType(typeof(SentimentData), "sentiment")]
[JsonDerivedType(typeof(IntentData), "intent")]
[JsonDerivedType(typeof(AnswerSelectionData), "answer-selection")]
[JsonDerivedType(typeof(RecommendationData), "recommendation")]
[JsonDerivedType(typeof(TaggingData), "tagging")]
[JsonDerivedType(typeof(SpokenWordsData), "spoken-words")]
[JsonDerivedType(typeof(SpeechData), "speech")]
[JsonDerivedType(typeof(AudioData), "audio")]
[JsonDerivedType(typeof(ImagesData), "images")]
public abstract record DataConfig
{
    /// <summary>The file, folder or glob to read.</summary>
    [Description("A file, folder or glob to read (gzip files are unpacked); in place of generated data where a generator is named.")]
    public string? Path { get; init; }

    /// <summary>The share of the data, at its end, that is kept for validation.</summary>
    [Description("The share of the data that is kept for validation: the last part of a text, the part after training of a series.")]
    [Range(0.0, 0.9)]
    public double Validation { get; init; } = 0.1;

    /// <summary>Which part validates in cross-validation, instead of the share <see cref="Validation"/>; null: none.</summary>
    [Description("Cross-validation: which of several equal parts validates, instead of the share 'validation'. Written by 'clusterrnn sweep' with 'folds'.")]
    public FoldConfig? Fold { get; init; }

    /// <summary>The same section for other data, of which nothing is kept for validation or testing.</summary>
    /// <param name="path">The file, folder or glob.</param>
    public virtual DataConfig AllOf(string path) => this with { Path = path, Validation = 0, Fold = null };
}

/// <summary>
/// One fold of a cross-validation. A text is cut into <see cref="Of"/> equal parts; part <see cref="Number"/> validates and
/// the others train, in their order. Of a series only the past may train: its rows before the test part are cut into
/// <see cref="Of"/> + 1 equal parts, the first <see cref="Number"/> train and the next one validates (an expanding window).
/// </summary>
[Description("Which of several equal parts validates. Text: the other parts train. Series, in time order: the parts before it train.")]
public sealed record FoldConfig : IValidatableObject
{
    /// <summary>The part, from 1.</summary>
    [Description("The part that validates, from 1.")]
    [Range(1, 1000)]
    public required int Number { get; init; }

    /// <summary>How many folds there are.</summary>
    [Description("How many folds there are.")]
    [Range(2, 1000)]
    public required int Of { get; init; }

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Number > Of)
        {
            yield return new ValidationResult($"'data.fold.number' expects one of the {Of} folds; found {Number}", [nameof(Number)]);
        }
    }
}

/// <summary>Text, predicted token by token.</summary>
public abstract record TextData : DataConfig
{
    /// <summary>What one token is.</summary>
    [Description("What one token is: character (a Unicode scalar value), byte or word.")]
    public TokenLevel Level { get; init; }

    /// <summary>Tokens rarer than this become &lt;unk&gt;.</summary>
    [Description("Characters or words that occur less often become <unk>.")]
    [Range(1, int.MaxValue)]
    public int MinimumCount { get; init; } = 1;

    /// <summary>The token with which each document begins: recurrent states start anew before it. Null: the text is one document.</summary>
    [Description("The character, byte or word with which each document begins, such as \"\\n\": recurrent layers start anew before it, wherever it stands in a stream. Default: the text is one document.")]
    [MinLength(1)]
    public string? DocumentStart { get; init; }
}

/// <summary>Text from files.</summary>
[Description("Text from a file, a folder or a glob.")]
public sealed record TextFileData : TextData;

/// <summary>Text from a seeded grammar whose true entropy is known.</summary>
public abstract record GrammarData : TextData
{
    /// <summary>The generator's seed.</summary>
    [Description("The generator's seed; the job's own seed doesn't change the data.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How long the corpus is at least.</summary>
    [Description("The length of the corpus in characters; the last sentence is finished.")]
    [Range(100, 1_000_000_000)]
    public int Characters { get; init; } = 1_000_000;

    /// <summary>The grammar's parameters.</summary>
    public abstract Grammar ToGrammar();
}

/// <summary>Sums in words: "seven plus twelve equals nineteen."</summary>
[Description("Generated sums in words: seven plus twelve equals nineteen.")]
public sealed record SumsData : GrammarData
{
    /// <summary>The largest addend.</summary>
    [Description("Addends are drawn from 0 to this number.")]
    [Range(1, 499)]
    public int LargestAddend { get; init; } = Grammar.DefaultLargestAddend;

    /// <inheritdoc/>
    public override Grammar ToGrammar() => new() { Dates = 0, LargestAddend = LargestAddend };
}

/// <summary>Dates in words and figures: "the third of march nineteen ninety-two is 1992-03-03."</summary>
[Description("Generated dates in words: the third of march nineteen ninety-two is 1992-03-03.")]
public sealed record DatesData : GrammarData
{
    /// <summary>The first year.</summary>
    [Description("The first year a date may have.")]
    [Range(1100, 2099)]
    public int FirstYear { get; init; } = Grammar.DefaultFirstYear;

    /// <summary>The last year.</summary>
    [Description("The last year a date may have.")]
    [Range(1100, 2099)]
    public int LastYear { get; init; } = Grammar.DefaultLastYear;

    /// <inheritdoc/>
    public override Grammar ToGrammar() => new() { Sums = 0, FirstYear = FirstYear, LastYear = LastYear };
}

/// <summary>Sums and dates in words, mixed.</summary>
[Description("Generated sums and dates in words, mixed.")]
public sealed record SumsAndDatesData : GrammarData
{
    /// <summary>The weight of sums.</summary>
    [Description("Of every (sums + dates) sentences, how many are sums on average.")]
    [Range(0, 1000)]
    public int Sums { get; init; } = Grammar.DefaultSums;

    /// <summary>The weight of dates.</summary>
    [Description("Of every (sums + dates) sentences, how many are dates on average.")]
    [Range(0, 1000)]
    public int Dates { get; init; } = 1;

    /// <summary>The largest addend.</summary>
    [Description("Addends are drawn from 0 to this number.")]
    [Range(1, 499)]
    public int LargestAddend { get; init; } = Grammar.DefaultLargestAddend;

    /// <summary>The first year.</summary>
    [Description("The first year a date may have.")]
    [Range(1100, 2099)]
    public int FirstYear { get; init; } = Grammar.DefaultFirstYear;

    /// <summary>The last year.</summary>
    [Description("The last year a date may have.")]
    [Range(1100, 2099)]
    public int LastYear { get; init; } = Grammar.DefaultLastYear;

    /// <inheritdoc/>
    public override Grammar ToGrammar() => new()
    {
        Sums = Sums,
        Dates = Dates,
        LargestAddend = LargestAddend,
        FirstYear = FirstYear,
        LastYear = LastYear,
    };
}

/// <summary>A series in rows, cut into sliding windows in time order.</summary>
public abstract record SeriesData : DataConfig
{
    /// <summary>The share kept for testing, after the validation part.</summary>
    [Description("The share of the rows, at the end, that is kept for testing.")]
    [Range(0.0, 0.9)]
    public double Test { get; init; } = 0.2;

    /// <summary>How many rows are for training; null: what validation and test leave.</summary>
    [Description("How many rows train; the others are divided between validation and test in the proportion of their shares. Default: what the two shares leave.")]
    [Range(1, int.MaxValue)]
    public int? TrainRows { get; init; }

    /// <summary>Time steps in a window.</summary>
    [Description("How many rows of the past the model sees.")]
    [Range(1, 1_000_000)]
    public int Window { get; init; } = 10;

    /// <summary>How many rows ahead are predicted.</summary>
    [Description("How many rows ahead are predicted, each of them: 1 is the next row.")]
    [Range(1, 100_000)]
    public int Horizon { get; init; } = 1;

    /// <summary>Whether every time step of the window has a target, not only the last one.</summary>
    [Description("Whether every time step of a window has a target (sequence to sequence) instead of the last one only.")]
    public bool EveryStep { get; init; }

    /// <summary>How the columns are scaled.</summary>
    [Description("How the columns are scaled, by the training part's statistics only: none, standard or min-max.")]
    public Scaling Scale { get; init; } = Scaling.Standard;

    /// <summary>Input columns; null: every numeric column.</summary>
    [Description("Input columns by name, by number from 1, or \"last\". Default: every numeric column.")]
    public IReadOnlyList<string>? Features { get; init; }

    /// <summary>Predicted columns; null: the last numeric column.</summary>
    [Description("Predicted columns by name, by number from 1, or \"last\". Default: the last numeric column.")]
    public IReadOnlyList<string>? Target { get; init; }

    /// <summary>Whether the file's first line names the columns.</summary>
    [Description("Whether the first line of the file names the columns.")]
    public bool Header { get; init; } = true;

    /// <summary>What stands between cells.</summary>
    [Description("The character between two cells of the file.")]
    public string Separator { get; init; } = ",";

    /// <summary>What happens with missing cells.</summary>
    [Description("What happens with an empty, NA or NaN cell: error, previous (the column's last value is taken), or drop (windows that read or predict one are left out). What was done is counted and printed.")]
    public MissingValues Missing { get; init; }

    /// <summary>The period of the seasonal-naive forecast shown beside the model's; null: none.</summary>
    [Description("After how many rows the series repeats, for the seasonal-naive forecast shown beside the model's.")]
    [Range(1, 1_000_000)]
    public int? Season { get; init; }

    /// <summary>The column that marks anomalies; null: none is.</summary>
    [Description("The column that says which rows are anomalies (0: none), to judge alerts by: by name, by number from 1, or \"last\". It is neither read nor predicted. Default: none is.")]
    public string? Anomalies { get; init; }

    /// <inheritdoc/>
    public override SeriesData AllOf(string path) => this with { Path = path, Validation = 0, Test = 0, TrainRows = null, Fold = null };
}

/// <summary>A series from a CSV file.</summary>
[Description("A series from a CSV file.")]
public sealed record TableData : SeriesData;

/// <summary>A generated series.</summary>
public abstract record GeneratedSeriesData : SeriesData
{
    /// <summary>The generator's seed.</summary>
    [Description("The generator's seed; the job's own seed doesn't change the data.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How many rows are generated.</summary>
    [Description("How many rows are generated.")]
    [Range(10, 10_000_000)]
    public int Rows { get; init; } = 1000;
}

/// <summary>sin(step * i) + noise.</summary>
[Description("A sine with Gaussian noise.")]
public sealed record NoisySineData : GeneratedSeriesData
{
    /// <summary>Radians a row.</summary>
    [Description("How far the sine goes in a row, in radians.")]
    [Range(1e-6, 10.0)]
    public double Step { get; init; } = 0.1;

    /// <summary>The noise's standard deviation.</summary>
    [Description("The standard deviation of the noise.")]
    [Range(0.0, 100.0)]
    public double Noise { get; init; } = 0.1;
}

/// <summary>The Mackey-Glass delay equation, sampled once a time unit.</summary>
[Description("The chaotic Mackey-Glass series, one row a time unit.")]
public sealed record MackeyGlassData : GeneratedSeriesData
{
    /// <summary>The delay.</summary>
    [Description("The delay of the equation in time units; chaotic from about 17.")]
    [Range(1, 1000)]
    public int Delay { get; init; } = 17;
}

/// <summary>Trend + season + noise.</summary>
[Description("A series of trend, season and noise.")]
public sealed record SeasonalData : GeneratedSeriesData
{
    /// <summary>Rows a season.</summary>
    [Description("Rows a season.")]
    [Range(2, 1_000_000)]
    public int Period { get; init; } = 12;

    /// <summary>What the trend adds a row.</summary>
    [Description("What the trend adds a row.")]
    [Range(-1000.0, 1000.0)]
    public double Trend { get; init; } = 0.01;

    /// <summary>The season's amplitude.</summary>
    [Description("The amplitude of the season.")]
    [Range(0.0, 1000.0)]
    public double Amplitude { get; init; } = 1;

    /// <summary>The noise's standard deviation.</summary>
    [Description("The standard deviation of the noise.")]
    [Range(0.0, 1000.0)]
    public double Noise { get; init; } = 0.1;
}

/// <summary>Daily prices of a random walk: date, open, high, low, volume, close.</summary>
[Description("Daily prices that walk at random: date, open, high, low, volume, close.")]
public sealed record RandomWalkData : GeneratedSeriesData
{
    /// <summary>The price before the first day.</summary>
    [Description("The price before the first day.")]
    [Range(0.01, 1e6)]
    public double Price { get; init; } = 100;

    /// <summary>The standard deviation of a day's relative change.</summary>
    [Description("The standard deviation of a day's change, as a share of the price.")]
    [Range(0.0, 0.5)]
    public double Volatility { get; init; } = 0.01;
}

/// <summary>Air by the hour: hour, temperature, wind, rain, pollution.</summary>
[Description("Air by the hour: hour of the day, temperature, wind, rain, and the pollution that traffic makes, wind carries off and rain washes out.")]
public sealed record AirData : GeneratedSeriesData;

/// <summary>What a sensor measures: days, slow drift, noise, and now and then something that should not be.</summary>
[Description("A sensor's values with the rhythm of days, and a column that says which of them are planted anomalies: jumps and spells at another level.")]
public sealed record SensorData : GeneratedSeriesData
{
    /// <summary>Rows a day.</summary>
    [Description("Rows a day.")]
    [Range(2, 1_000_000)]
    public int Period { get; init; } = 48;

    /// <summary>The noise's standard deviation; a day's amplitude is 1.</summary>
    [Description("The standard deviation of the noise, where a day's amplitude is 1.")]
    [Range(0.0, 1000.0)]
    public double Noise { get; init; } = 0.1;

    /// <summary>The share of rows at which an anomaly begins, after those without.</summary>
    [Description("The share of rows at which an anomaly begins, after the first ones.")]
    [Range(0.0, 0.5)]
    public double AnomalyRate { get; init; } = 0.02;

    /// <summary>The share of rows at the start without anomalies.</summary>
    [Description("The share of rows at the start that have no anomaly.")]
    [Range(0.0, 1.0)]
    public double Clean { get; init; } = 0.8;
}

/// <summary>Generated examples, each a sequence with its answer.</summary>
public abstract record ExamplesData : DataConfig
{
    /// <summary>The generator's seed, and that of which examples of files are kept for validation and testing.</summary>
    [Description("The seed of the generator, and of which examples of files are kept for validation and testing; the job's own seed changes neither.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How many examples there are, those for validation and testing included.</summary>
    [Description("How many examples there are, those for validation and testing included.")]
    [Range(10, 1_000_000_000)]
    public long Examples { get; init; } = 10_000;

    /// <summary>The share kept for testing, after the validation part.</summary>
    [Description("The share of the examples, at the end, that is kept for testing.")]
    [Range(0.0, 0.9)]
    public double Test { get; init; } = 0.1;
}

/// <summary>The copy task: symbols, a long delay, a sign, then the symbols again (Hochreiter and Schmidhuber 1997, as in Arjovsky et al. 2016).</summary>
[Description("The copy task: write a few symbols again after a long delay.")]
public sealed record CopyData : ExamplesData
{
    /// <summary>How many different symbols there are.</summary>
    [Description("How many different symbols there are.")]
    [Range(2, 1000)]
    public int Symbols { get; init; } = 8;

    /// <summary>How many symbols are to be remembered.</summary>
    [Description("How many symbols are to be remembered.")]
    [Range(1, 10_000)]
    public int Length { get; init; } = 10;

    /// <summary>T: time steps between the last symbol and the first answer.</summary>
    [Description("Time steps between the last symbol and the first answer (T).")]
    [Range(1, 1_000_000)]
    public int Delay { get; init; } = 100;

    /// <summary>The shortest delay; null: all delays are equal.</summary>
    [Description("The shortest delay, where examples differ; each draws its own. Default: all are equal.")]
    [Range(1, 1_000_000)]
    public int? MinimumDelay { get; init; }
}

/// <summary>The adding problem: the sum of the two marked values of a sequence (Hochreiter and Schmidhuber 1997).</summary>
[Description("The adding problem: the sum of the two marked ones of many values.")]
public sealed record AddingData : ExamplesData
{
    /// <summary>T: values of a sequence.</summary>
    [Description("Values of a sequence (T).")]
    [Range(2, 1_000_000)]
    public int Length { get; init; } = 200;

    /// <summary>The shortest sequence; null: all are equally long.</summary>
    [Description("The shortest sequence, where examples differ; each draws its own length. Default: all are equal.")]
    [Range(2, 1_000_000)]
    public int? MinimumLength { get; init; }
}

/// <summary>Pictures with a class each, read row by row: drawn digits, or what IDX files hold (MNIST).</summary>
[Description("Pictures with a class each, read row by row: those of 'path' and 'labels' (IDX files, as MNIST's; all of them, their parts drawn by the seed), or digits drawn with shaky strokes and noise where no path is named.")]
public sealed record DigitsData : ExamplesData, IValidatableObject
{
    /// <summary>The standard deviation of the noise on each drawn pixel, of which ink is 1 and paper 0.</summary>
    [Description("The standard deviation of the noise on each pixel that is drawn, where ink is 1 and paper 0; pictures of files are taken as they are.")]
    [Range(0.0, 10.0)]
    public double Noise { get; init; } = 0.3;

    /// <summary>The IDX file with the classes; null: the one that is named as MNIST's are.</summary>
    [Description("The IDX file with the classes of the pictures of 'path'. Default: the same name with labels for images and idx1 for idx3, as MNIST's files are called.")]
    public string? Labels { get; init; }

    /// <summary>The IDX file with the pictures to test on; null: a share.</summary>
    [Description("An IDX file with the pictures to test on, in place of the share 'test' of 'path'.")]
    public string? TestPath { get; init; }

    /// <summary>The classes of <see cref="TestPath"/>.</summary>
    [Description("The IDX file with the classes of 'testPath'. Default: as for 'labels'.")]
    public string? TestLabels { get; init; }

    /// <summary>How many classes there are.</summary>
    [Description("How many classes the pictures of 'path' have: labels are below. Drawn digits have 10.")]
    [Range(2, 256)]
    public int Classes { get; init; } = DigitExamples.Digits;

    /// <inheritdoc/>
    public override DigitsData AllOf(string path) => this with { Path = path, Labels = null, Validation = 0, Test = 0, TestPath = null, TestLabels = null, Fold = null };

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Path is null && (Labels is not null || TestPath is not null || Classes != DigitExamples.Digits))
        {
            yield return new ValidationResult("'data.path' names the pictures that 'data.labels', 'data.testPath' and 'data.classes' belong to; found none. Set data.path", [nameof(Path)]);
        }

        if (TestLabels is not null && TestPath is null)
        {
            yield return new ValidationResult("'data.testLabels' belongs to 'data.testPath'; found it without the pictures. Set data.testPath", [nameof(TestLabels)]);
        }
    }
}

/// <summary>Strips with several drawn digits side by side, read column by column; which digits is known, not where.</summary>
[Description("Strips of several drawn digits, read column by column; which digits is known, not where they are (for the loss ctc).")]
public sealed record DigitStringsData : ExamplesData
{
    /// <summary>The fewest digits of a strip.</summary>
    [Description("The fewest digits of a strip.")]
    [Range(1, 100)]
    public int MinimumDigits { get; init; } = 2;

    /// <summary>The most digits of a strip.</summary>
    [Description("The most digits of a strip.")]
    [Range(1, 100)]
    public int MaximumDigits { get; init; } = 5;

    /// <summary>The standard deviation of the noise on each pixel, of which ink is 1 and paper 0.</summary>
    [Description("The standard deviation of the noise on each pixel, where ink is 1 and paper 0.")]
    [Range(0.0, 10.0)]
    public double Noise { get; init; } = 0.2;
}

/// <summary>
/// Pairs of texts, from one to the other: <see cref="DataConfig.Path"/> names the sources' file and <see cref="Target"/> the targets',
/// or the first alone a file with a tab between both; without a path, generated sentences in English and German.
/// </summary>
[Description("Pairs of texts, such as a text and its translation, line by line: 'path' and 'target' are two files, or 'path' alone has a tab between both sides. Default: generated English and German sentences.")]
public sealed record TranslationData : DataConfig, IValidatableObject
{
    /// <summary>The file with the targets; null: <see cref="DataConfig.Path"/> has both.</summary>
    [Description("The file whose lines are the targets of the lines of 'path'. Default: 'path' has both sides of a line, with a tab between them.")]
    public string? Target { get; init; }

    /// <summary>The sources to validate on; null: a share of the pairs.</summary>
    [Description("A file with the sources (or both sides) to validate on, in place of the share 'validation'.")]
    public string? ValidationPath { get; init; }

    /// <summary>The targets of <see cref="ValidationPath"/>.</summary>
    [Description("The file with the targets of 'validationPath'.")]
    public string? ValidationTarget { get; init; }

    /// <summary>The sources to test on; null: a share of the pairs.</summary>
    [Description("A file with the sources (or both sides) to test on, in place of the share 'test'.")]
    public string? TestPath { get; init; }

    /// <summary>The targets of <see cref="TestPath"/>.</summary>
    [Description("The file with the targets of 'testPath'.")]
    public string? TestTarget { get; init; }

    /// <summary>The share kept for testing, after the validation part.</summary>
    [Description("The share of the pairs, at the end, that is kept for testing.")]
    [Range(0.0, 0.9)]
    public double Test { get; init; } = 0.05;

    /// <summary>What one token is: a word or a character.</summary>
    [Description("What one token is: word (an ideograph is one), or character. Text without spaces, such as Chinese, takes either.")]
    public TokenLevel Level { get; init; } = TokenLevel.Word;

    /// <summary>What one token of the targets is; null: as <see cref="Level"/>.</summary>
    [Description("What one token of the targets is, where it differs. Default: as 'level'.")]
    public TokenLevel? TargetLevel { get; init; }

    /// <summary>Rarer tokens become &lt;unk&gt;.</summary>
    [Description("Tokens that occur less often in the training part become <unk>.")]
    [Range(1, int.MaxValue)]
    public int MinimumCount { get; init; } = 1;

    /// <summary>Longer pairs are not trained on; null: all are.</summary>
    [Description("Pairs with more tokens on a side are not trained on, and how many these are is printed. Default: all are.")]
    [Range(1, 1 << 20)]
    public int? MaximumLength { get; init; }

    /// <summary>Whether texts are put in lower case.</summary>
    [Description("Put all texts in lower case.")]
    public bool Lowercase { get; init; }

    /// <summary>The generator's seed.</summary>
    [Description("The generator's seed; the job's own seed doesn't change the data.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How many pairs are generated.</summary>
    [Description("How many pairs are generated, those for validation and testing included.")]
    [Range(10, 10_000_000)]
    public int Examples { get; init; } = 10_000;

    /// <inheritdoc/>
    public override TranslationData AllOf(string path) =>
        this with { Path = path, Target = null, Validation = 0, ValidationPath = null, ValidationTarget = null, Test = 0, TestPath = null, TestTarget = null, Fold = null };

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Level == TokenLevel.Byte || TargetLevel == TokenLevel.Byte)
        {
            yield return new ValidationResult("'data.level' of pairs expects word or character; found byte", [nameof(Level)]);
        }

        if ((Target is not null || ValidationPath is not null || TestPath is not null) && Path is null)
        {
            yield return new ValidationResult("'data.path' names the sources that 'data.target', 'data.validationPath' and 'data.testPath' belong to; found none. Set data.path", [nameof(Target)]);
        }

        if ((ValidationTarget is not null && ValidationPath is null) || (TestTarget is not null && TestPath is null))
        {
            yield return new ValidationResult("'data.validationTarget' and 'data.testTarget' belong to 'data.validationPath' and 'data.testPath'; found one without its sources", [nameof(ValidationTarget)]);
        }

        if (Fold is not null)
        {
            yield return new ValidationResult("'data.fold' is for texts and series; pairs have no folds. Remove it", [nameof(Fold)]);
        }
    }
}
