// The sections of data with labels: lines of text with a class, questions with answers, sessions of items, words with a tag each,
// recordings with a word. Each is generated where no path is named.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace ClusterRnn.Data;

/// <summary>Examples with labels, from files or generated.</summary>
public abstract record LabelledData : DataConfig
{
    /// <summary>The seed of the generator, and of which examples are kept for validation and testing.</summary>
    [Description("The seed of the generator, and of which examples are kept for validation and testing; the job's own seed changes neither.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How many examples are generated where no path is named.</summary>
    [Description("How many examples are generated where no path is named, those for validation and testing included.")]
    [Range(10, 10_000_000)]
    public int Examples { get; init; } = 4000;

    /// <summary>The share kept for testing.</summary>
    [Description("The share of the examples that is kept for testing, drawn at random by the seed.")]
    [Range(0.0, 0.9)]
    public double Test { get; init; } = 0.1;

    /// <summary>What validates instead of a share of <see cref="DataConfig.Path"/>; null: a share.</summary>
    [Description("Files that validate, instead of the share 'validation' of path.")]
    public string? ValidationPath { get; init; }

    /// <summary>What tests instead of a share of <see cref="DataConfig.Path"/>; null: a share.</summary>
    [Description("Files that test, instead of the share 'test' of path.")]
    public string? TestPath { get; init; }

    /// <inheritdoc/>
    public override LabelledData AllOf(string path) => this with { Path = path, Validation = 0, ValidationPath = null, Test = 0, TestPath = null, Fold = null };
}

/// <summary>Lines of text with a class each.</summary>
public abstract record ClassifiedTextData : LabelledData
{
    /// <summary>What one token is.</summary>
    [Description("What one token is: word, character (a Unicode scalar value) or byte.")]
    public TokenLevel Level { get; init; } = TokenLevel.Word;

    /// <summary>Tokens rarer than this become &lt;unk&gt;.</summary>
    [Description("Words or characters that occur less often in the training part become <unk>.")]
    [Range(1, int.MaxValue)]
    public int MinimumCount { get; init; } = 2;

    /// <summary>The column of the text, from 1.</summary>
    [Description("The column of the text, from 1.")]
    [Range(1, 1000)]
    public int TextColumn { get; init; } = 1;

    /// <summary>The column of the class, from 1.</summary>
    [Description("The column of the class, from 1.")]
    [Range(1, 1000)]
    public int LabelColumn { get; init; } = 2;

    /// <summary>Whether the first line names the columns.</summary>
    [Description("Whether the first line of each file names the columns.")]
    public bool Header { get; init; }

    /// <summary>The most tokens that are read of a line.</summary>
    [Description("The most tokens that are read of a line; what comes after them is left out, and counted.")]
    [Range(1, 1_000_000)]
    public int MaximumLength { get; init; } = 200;
}

/// <summary>Lines of text with a class each: a judgement, a topic.</summary>
[Description("Lines of text with a class each (TSV: text, tab, class), such as reviews and how they judge; generated reviews where no path is named.")]
public sealed record SentimentData : ClassifiedTextData;

/// <summary>Utterances with what their speaker wants.</summary>
[Description("Utterances with what their speaker wants (TSV: utterance, tab, intent); generated requests to an assistant where no path is named.")]
public sealed record IntentData : ClassifiedTextData;

/// <summary>Questions with their answers, to be told from wrong ones.</summary>
[Description("Questions with their answers, to be told from wrong ones (TSV: question, right answer, and wrong ones if the data has its own); generated questions about a town where no path is named.")]
public sealed record AnswerSelectionData : LabelledData
{
    /// <summary>Words rarer than this become &lt;unk&gt;.</summary>
    [Description("Words that occur less often in the training part become <unk>.")]
    [Range(1, int.MaxValue)]
    public int MinimumCount { get; init; } = 2;

    /// <summary>Whether the first line names the columns.</summary>
    [Description("Whether the first line of each file names the columns.")]
    public bool Header { get; init; }

    /// <summary>The most words that are read of a question or an answer.</summary>
    [Description("The most words that are read of a question (its last ones) or an answer (its first ones); the others are left out, and counted.")]
    [Range(1, 1_000_000)]
    public int MaximumLength { get; init; } = 100;

    /// <summary>Wrong answers to each question that trains.</summary>
    [Description("Wrong answers to each question that trains, drawn from those to other questions unless the data has its own.")]
    [Range(1, 1000)]
    public int Wrong { get; init; } = 4;

    /// <summary>N: answers that the right one is ranked among.</summary>
    [Description("How many answers, the right one included, are ranked for each question that validates or tests; the wrong ones are drawn from those to other questions unless the data has its own.")]
    [Range(2, 1000)]
    public int Candidates { get; init; } = 10;
}

/// <summary>Sessions: the items that somebody looked at or bought, one after the other.</summary>
[Description("Sessions of items, one after the other (CSV: session, item and maybe time, one item a row), to predict the next one; generated visits to a shop where no path is named.")]
public sealed record RecommendationData : LabelledData
{
    /// <summary>The column of the session.</summary>
    [Description("The column that says which session a row belongs to, by name, by number from 1, or \"last\".")]
    public string SessionColumn { get; init; } = "1";

    /// <summary>The column of the item.</summary>
    [Description("The column of the item, by name, by number from 1, or \"last\".")]
    public string ItemColumn { get; init; } = "2";

    /// <summary>The column of the time; null: rows are in order.</summary>
    [Description("The column of the time (numbers, or dates such as 2026-11-21T18:00:00Z): sessions are sorted by it, and the latest ones validate and test. Default: rows are in order, and sessions are drawn at random.")]
    public string? TimeColumn { get; init; }

    /// <summary>Whether the first line names the columns.</summary>
    [Description("Whether the first line of each file names the columns.")]
    public bool Header { get; init; } = true;

    /// <summary>What stands between cells.</summary>
    [Description("The character between two cells of a file.")]
    public string Separator { get; init; } = ",";

    /// <summary>Items rarer than this are left out.</summary>
    [Description("Items that occur less often in the training part are left out, and counted.")]
    [Range(1, int.MaxValue)]
    public int MinimumCount { get; init; } = 2;

    /// <summary>The most items that are read of a session.</summary>
    [Description("The most items that are read of a session, its last ones; the others are left out, and counted.")]
    [Range(2, 1_000_000)]
    public int MaximumLength { get; init; } = 50;
}

/// <summary>Words with a tag each: names, parts of speech.</summary>
[Description("Words with a tag each (CoNLL: a word and its columns on a line, an empty line between sentences), such as names; generated sentences where no path is named.")]
public sealed record TaggingData : LabelledData
{
    /// <summary>Words rarer than this become &lt;unk&gt;.</summary>
    [Description("Words that occur less often in the training part become <unk>.")]
    [Range(1, int.MaxValue)]
    public int MinimumCount { get; init; } = 2;

    /// <summary>The column of the word, from 1.</summary>
    [Description("The column of the word, from 1.")]
    [Range(1, 1000)]
    public int WordColumn { get; init; } = 1;

    /// <summary>The column of the tag, from 1; null: the last.</summary>
    [Description("The column of the tag, from 1. Default: the last.")]
    [Range(1, 1000)]
    public int? TagColumn { get; init; }
}

/// <summary>What names the word of a recording.</summary>
public enum RecordingLabel
{
    /// <summary>The file's name up to the first underscore.</summary>
    File,

    /// <summary>The name of the folder it lies in.</summary>
    Folder,
}

/// <summary>Recordings, read as logarithmic mel spectra.</summary>
public abstract record RecordingsData : LabelledData
{
    /// <summary>Recordings whose file name fits are for testing instead of a share; null: a share.</summary>
    [Description("Files whose name fits this pattern, with * and ?, are for testing instead of a share: a speaker held out.")]
    public string? TestFiles { get; init; }

    /// <summary>Samples a second that all recordings must have.</summary>
    [Description("Samples a second that all recordings have.")]
    [Range(1000, 192_000)]
    public int SampleRate { get; init; } = 8000;

    /// <summary>Bands of a spectrum.</summary>
    [Description("Mel bands of a spectrum: values of a time step.")]
    [Range(4, 256)]
    public int Bands { get; init; } = 40;

    /// <summary>Milliseconds that a spectrum spans.</summary>
    [Description("Milliseconds that a spectrum spans.")]
    [Range(2.0, 1000.0)]
    public double WindowMs { get; init; } = 25;

    /// <summary>Milliseconds from one spectrum to the next.</summary>
    [Description("Milliseconds from one spectrum to the next: the time steps.")]
    [Range(1.0, 1000.0)]
    public double HopMs { get; init; } = 10;

    /// <summary>Whether each recording's mean is taken from each of its bands.</summary>
    [Description("Take each recording's mean over time from each of its bands: what a microphone and part of a voice add is gone, and how loud it is.")]
    public bool Center { get; init; }

    /// <summary>The most seconds that are read of a recording.</summary>
    [Description("The most seconds that are read of a recording; what comes after them is left out, and counted.")]
    [Range(0.05, 3600.0)]
    public double MaximumSeconds { get; init; } = 2;

    /// <inheritdoc/>
    public override RecordingsData AllOf(string path) => (RecordingsData)base.AllOf(path) with { TestFiles = null };
}

/// <summary>Recordings of a word each.</summary>
[Description("Recordings (WAV) of a word each, read as logarithmic mel spectra; generated sounds where no path is named.")]
public sealed record SpokenWordsData : RecordingsData
{
    /// <summary>What names the word.</summary>
    [Description("What names the word of a recording: the file's name up to the first underscore (file), or the folder it lies in (folder).")]
    public RecordingLabel Label { get; init; }
}

/// <summary>Recordings of speech with what is said.</summary>
[Description("Recordings (WAV) of speech, read as logarithmic mel spectra, and what is said in them, letter by letter; generated speech where no path is named.")]
public sealed record SpeechData : RecordingsData
{
    /// <summary>A recording may last longer than a word.</summary>
    public SpeechData() => MaximumSeconds = 20;

    /// <summary>The file that says what is said in the recordings of <see cref="DataConfig.Path"/>; null: <c>transcripts.tsv</c> beside them.</summary>
    [Description("The file that says what is said: a line for each recording with its file's name, a tab and the text. Default: transcripts.tsv beside the recordings.")]
    public string? Transcripts { get; init; }

    /// <summary>Whether upper case counts as lower case.</summary>
    [Description("Whether upper case counts as lower case.")]
    public bool Lowercase { get; init; } = true;

    /// <inheritdoc/>
    public override SpeechData AllOf(string path) => (SpeechData)base.AllOf(path) with { Transcripts = null };
}
