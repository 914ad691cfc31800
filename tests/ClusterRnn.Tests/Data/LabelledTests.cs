// Data with labels: what is read of TSV, CSV, CoNLL and WAV files, what is dropped and counted, what is refused with its place, which
// part an example falls into.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class LabelledTests : IDisposable
{
    private static readonly Batching s_batching = new(4, 10, 10, true, 1);
    private readonly Scratch _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void TextsWithClassesAreRead()
    {
        string path = Write("a.tsv", "good film\tyes\n\nbad film\tno\r\n  \tyes\nfilm good\tyes\nfilm\tno\n");
        Dataset data = Open(new SentimentData { Path = path, Validation = 0, Test = 0, MinimumCount = 1, MaximumLength = 1 });
        Assert.Equal(["no", "yes"], data.Artefact.Labels!);
        Assert.Equal(2, data.OutputWidth);
        LabelledExamples examples = ExamplesOf(data.Training);
        Assert.Equal(["a.tsv:1", "a.tsv:3", "a.tsv:5", "a.tsv:6"], Enumerable.Range(0, 4).Select(i => Path.GetFileName(examples[i].Name)));
        Assert.Equal([1, 0, 1, 0], Enumerable.Range(0, 4).Select(i => examples[i].Classes[0]));
        Assert.Equal(" film", data.Artefact.Vocabulary!.Decode(examples[3].Tokens!));
        Assert.Equal(examples[2].Tokens, examples[3].Tokens); // cut after one word
        Assert.Equal(["dropped 1 of these: empty lines", "dropped 1 of these: lines without text", "cut 3 of these: texts longer than 1 tokens"], data.Notes.Skip(1).Select(note => note[(note.IndexOf(": ", StringComparison.Ordinal) + 2)..]));
    }

    [Fact]
    public void SeparateFilesValidate()
    {
        string train = Write("train.tsv", string.Concat(Enumerable.Range(0, 40).Select(i => $"word{i} x\t{i % 2}\n"))), dev = Write("dev.tsv", "unseen x\t1\n");
        Dataset data = Open(new SentimentData { Path = train, ValidationPath = dev, Test = 0, MinimumCount = 2 });
        Assert.Equal(40, ExamplesOf(data.Training).Count);
        LabelledExample example = ExamplesOf(data.Validation!)[0];
        Assert.Equal("<unk> x", data.Artefact.Vocabulary!.Decode(example.Tokens!));
        Assert.NotEqual(data.Sha256, Open(new SentimentData { Path = train, Test = 0 }).Sha256);

        string wrong = Write("wrong.tsv", "x\t1\nx\t2\n");
        DataException error = Assert.Throws<DataException>(() => Open(new SentimentData { Path = train, ValidationPath = wrong }));
        Assert.Equal(2, error.Line);
        Assert.Contains("(0, 1), found '2'", error.Message);
    }

    /// <summary>Every example falls into one part; the parts depend on the data's seed, not on the job's.</summary>
    [Fact]
    public void PartsAreDrawnByTheDatasSeed()
    {
        string[] Names(SentimentData config, ulong seed = 1)
        {
            Dataset data = Dataset.Open(config, s_batching with { Seed = seed }, _scratch.Folder);
            return [.. new[] { data.Training, data.Validation!, data.Test! }.Select(part => string.Join(',', Enumerable.Range(0, (int)ExamplesOf(part).Count).Select(i => ExamplesOf(part)[i].Name)))];
        }

        var config = new SentimentData { Examples = 100, Validation = 0.2, Test = 0.1 };
        string[] names = Names(config);
        Assert.Equal([70, 20, 10], names.Select(part => part.Split(',').Length));
        Assert.Equal(100, names.SelectMany(part => part.Split(',')).Distinct().Count());
        Assert.Equal(names, Names(config, seed: 2));
        Assert.NotEqual(names, Names(config with { Seed = 2 }));
        var folds = Enumerable.Range(1, 3).Select(i => Names(config with { Fold = new FoldConfig { Number = i, Of = 3 } })).ToArray();
        Assert.Equal(90, folds.SelectMany(fold => fold[1].Split(',')).Distinct().Count());
        Assert.All(folds, fold => Assert.Equal(names[2], fold[2]));
    }

    [Theory]
    [InlineData("good\n", 1, "at least 2 cells with a tab between them, found 1")]
    [InlineData("good\t1\nbad\tvery\t0\n", 2, "2 cells, as on line 1, found 3")]
    [InlineData("good\t1\nbad\t \n", 2, "a class in column 2, found none")]
    public void BrokenTsvIsRefused(string text, int line, string what)
    {
        DataException error = Assert.Throws<DataException>(() => Open(new SentimentData { Path = Write("a.tsv", text) }));
        Assert.Equal(line, error.Line);
        Assert.Contains(what, error.Message);
    }

    /// <summary>A question stands with its right answer first, then with wrong ones: the data's own, or those to other questions of its part.</summary>
    [Fact]
    public void QuestionsHaveWrongAnswers()
    {
        string path = Write("a.tsv", "q w\tright a\n\nq x\t \nq y\tright b b\nq z\tright a\n");
        Dataset data = Open(new AnswerSelectionData { Path = path, Validation = 0, Test = 0, MinimumCount = 1, Wrong = 3, MaximumLength = 2 });
        LabelledExamples examples = ExamplesOf(data.Training);
        Vocabulary words = data.Artefact.Vocabulary!;
        Assert.Equal(["right", "wrong"], data.Artefact.Labels!);
        Assert.Equal(
            [" q w<sep> right a 0", " q w<sep> right b 1", " q y<sep> right b 0", " q y<sep> right a 1", " q z<sep> right a 0", " q z<sep> right b 1"],
            Enumerable.Range(0, (int)examples.Count).Select(i => $"{words.Decode(examples[i].Tokens!)} {examples[i].Classes[0]}"));
        Assert.Equal(
            ["dropped 1 of these: empty lines", "dropped 1 of these: lines without a question or a right answer", "cut 1 of these: questions and answers longer than 2 words",
                "3 questions have fewer than 3 wrong answers, because the part has no more different ones"],
            data.Notes.Skip(1).Select(note => note[(note.IndexOf(": ", StringComparison.Ordinal) + 2)..]));

        string own = Write("own.tsv", "question\tright\twrong\twrong\nq\ta\tb\tc\nr\ta\tc\t \n");
        Dataset given = Open(new AnswerSelectionData { Path = own, Header = true, Validation = 0, Test = 0, MinimumCount = 1 });
        Assert.Equal([" q<sep> a", " q<sep> b", " q<sep> c", " r<sep> a", " r<sep> c"], Enumerable.Range(0, 5).Select(i => given.Artefact.Vocabulary!.Decode(ExamplesOf(given.Training)[i].Tokens!)));
    }

    /// <summary>What tests is ranked among as many as the config says, none of them twice, and none of them a question's that trains.</summary>
    [Fact]
    public void CandidatesAreDifferentAndOfTheirPart()
    {
        Dataset data = Open(new AnswerSelectionData { Examples = 400, Candidates = 6, Wrong = 2 });
        LabelledExamples tested = ExamplesOf(data.Test!);
        Assert.Equal([320 * 3L, 40 * 6L], new[] { ExamplesOf(data.Training).Count, tested.Count });
        for (int question = 0; question < 40; question++)
        {
            LabelledExample[] candidates = [.. Enumerable.Range(6 * question, 6).Select(i => tested[i])];
            Assert.Equal([0, 1, 1, 1, 1, 1], candidates.Select(candidate => candidate.Classes[0]));
            Assert.Single(candidates.Select(candidate => candidate.Name).Distinct());
            Assert.Equal(6, candidates.Select(candidate => string.Join(' ', candidate.Tokens!)).Distinct().Count());
        }
    }

    [Fact]
    public void SessionsAreRead()
    {
        // Rows of two sessions in turn, out of order; what is rare, single or too early is left out.
        string path = Write("a.csv", "time,who,what\n3,a,z\n1,a,x\n2,a,y\n9,b,y\n8,b,x\n10,c,x\n11,b,rare\n12,b,z\n");
        var config = new RecommendationData { Path = path, SessionColumn = "who", ItemColumn = "what", TimeColumn = "time", Validation = 0, Test = 0, MaximumLength = 3 };
        Dataset data = Open(config);
        LabelledExamples examples = ExamplesOf(data.Training);
        string[] items = [.. data.Artefact.Labels!];
        Assert.Equal(["y", "z"], items.Order()); // x and 'rare' occur once in what is left of the sessions
        Assert.Equal(["y>z", "y>z"], Enumerable.Range(0, 2).Select(i => $"{items[examples[i].Tokens![0]]}>{items[examples[i].Classes[0]]}"));
        Assert.Equal(["a.csv:2", "a.csv:5"], Enumerable.Range(0, 2).Select(i => Path.GetFileName(examples[i].Name)));
        Assert.True(data.PredictsNext);
        Assert.Equal(
            ["dropped 1 of these: sessions of one item", "cut 1 of these: sessions longer than 3 items, the first of them", "2 rows left out whose item occurs less than 2 times in the training part, and 0 sessions of which less than two items are left"],
            data.Notes.Skip(1).Select(note => note[(note.IndexOf(": ", StringComparison.Ordinal) + 2)..]));

        // By time, the latest sessions test; what training doesn't know is left out there too.
        string dated = Write("b.csv", string.Concat(Enumerable.Range(1, 10).Select(i => $"{i},k\t2026-01-{i:00}\n{i},l\t2026-01-{i:00}\n{i},{(i > 8 ? "new" : "m")}\t2026-01-{i:00}T09:00:00Z\n")).Replace(',', '\t'));
        Dataset latest = Open(new RecommendationData { Path = dated, Header = false, Separator = "\t", TimeColumn = "last", Validation = 0, Test = 0.2 });
        Assert.Equal(["b.csv:25", "b.csv:28"], Enumerable.Range(0, 2).Select(i => Path.GetFileName(ExamplesOf(latest.Test!)[i].Name)));
        Assert.Contains(latest.Notes, note => note.Contains("test part: 2 rows left out", StringComparison.Ordinal));
        Assert.Equal(24 - 8, ExamplesOf(latest.Training).Targets);
    }

    [Theory]
    [InlineData("s,i\na,x\na\n", 3, "2 cells, as on line 1, found 1")]
    [InlineData("s,i\na,x\n,y\n", 3, "a session, found an empty cell")]
    [InlineData("s,i\na, \n", 2, "an item, found an empty cell")]
    [InlineData("s,i,t\na,x,1\na,y,2026-01-01\n", 3, "a number or a date such as")]
    [InlineData("s,i,t\na,x,2026-01-01\na,y,7\n", 3, "a date, as in the rows before, found '7'")]
    [InlineData("s,i,t\na,x,soon\n", 2, "a number or a date such as")]
    public void BrokenSessionsAreRefused(string text, int line, string what)
    {
        DataException error = Assert.Throws<DataException>(() => Open(new RecommendationData { Path = Write("a.csv", text), TimeColumn = text.StartsWith("s,i,t", StringComparison.Ordinal) ? "t" : null }));
        Assert.Equal(line, error.Line);
        Assert.Contains(what, error.Message);
    }

    [Fact]
    public void SessionsThatDoNotFitAreRefused()
    {
        string path = Write("a.csv", "user,item\na,x\na,y\nb,z\nb,w\n");
        Assert.Contains("Did you mean 'item'", Assert.Throws<DataException>(() => Open(new RecommendationData { Path = path, ItemColumn = "itm" })).Message);
        Assert.Contains("one character that is no quote", Assert.Throws<DataException>(() => Open(new RecommendationData { Path = path, Separator = ";;" })).Message);
        Assert.Contains("sessions to train on, found none of 2 that can be used", Assert.Throws<DataException>(() => Open(new RecommendationData { Path = path, Validation = 0, Test = 0 })).Message);
        Assert.Contains("sessions with labels, found none", Assert.Throws<DataException>(() => Open(new RecommendationData { Path = Write("b.csv", "user,item\n") })).Message);
    }

    [Theory]
    [InlineData(new byte[] { 0x61, 0xFF, 0x09, 0x31 }, "byte 1")]
    [InlineData(new byte[] { 0x1F, 0x8B, 0x08, 0x00 }, "gzip")]
    public void BytesThatAreNoTextAreRefused(byte[] bytes, string what)
    {
        string path = _scratch.Write("a.tsv", bytes);
        Assert.Contains(what, Assert.Throws<DataException>(() => Open(new SentimentData { Path = path })).Message);
        Assert.Contains(what, Assert.Throws<DataException>(() => Open(new TaggingData { Path = path })).Message);
        Assert.Contains(what, Assert.Throws<DataException>(() => Open(new AnswerSelectionData { Path = path })).Message);
        Assert.Contains(what, Assert.Throws<DataException>(() => Open(new RecommendationData { Path = path })).Message);
    }

    [Fact]
    public void WordsWithTagsAreRead()
    {
        string path = Write("a.conll", "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nPeter NNP B-PER\nBlackburn NNP I-PER\n");
        Dataset data = Open(new TaggingData { Path = path, Validation = 0, Test = 0, MinimumCount = 1 });
        Assert.Equal(["B-ORG", "B-PER", "I-PER", "O"], data.Artefact.Labels!);
        LabelledExamples examples = ExamplesOf(data.Training);
        Assert.Equal([2L, 4L], new[] { examples.Count, examples.Targets });
        Assert.Equal([1, 2], examples[1].Classes);
        Assert.Equal("a.conll:7", Path.GetFileName(examples[1].Name));
        Assert.Contains("dropped 1 of these: -DOCSTART- lines", data.Notes[1]);
        Assert.Equal(["NNP", "VBZ"], Open(new TaggingData { Path = path, TagColumn = 2, Validation = 0, Test = 0 }).Artefact.Labels!);
        using var batch = new SpanBatch(2, 2, 0, 0) { Time = 2, TargetTime = 2, Rows = 2 };
        WindowSource.Clear(batch);
        Assert.Equal(2, examples.Read(0, batch, 1));
        Assert.Equal([-1, 0, -1, 3], new Span<int>(batch.TargetTokens, 4).ToArray());
    }

    [Theory]
    [InlineData("EU\n", 1, "at least 2 columns")]
    [InlineData("EU NNP O\n\nPeter B-PER\n", 3, "3 columns, as on line 1, found 2")]
    public void BrokenConllIsRefused(string text, int line, string what)
    {
        DataException error = Assert.Throws<DataException>(() => Open(new TaggingData { Path = Write("a.conll", text) }));
        Assert.Equal(line, error.Line);
        Assert.Contains(what, error.Message);
    }

    [Fact]
    public void NothingButEmptyLinesIsRefused()
    {
        Assert.Contains("sentences with labels, found none", Assert.Throws<DataException>(() => Open(new TaggingData { Path = Write("a.conll", "\n\n") })).Message);
        Assert.Contains("texts with labels, found none", Assert.Throws<DataException>(() => Open(new SentimentData { Path = Write("a.tsv", "\n \t1\n") })).Message);
    }

    [Fact]
    public void RecordingsAreNamedByTheirWord()
    {
        foreach (string name in (string[])["yes_a_1.wav", "yes_b_1.wav", "no_a_1.wav", "no_b_1.wav", "readme.txt"])
        {
            Tone(name, name[0] == 'y' ? 440 : 1200, seconds: 0.1);
        }

        Dataset data = Open(new SpokenWordsData { Path = _scratch.Folder, TestFiles = "*_b_*", Validation = 0, Bands = 8, MaximumSeconds = 0.05 });
        Assert.Equal(["no", "yes"], data.Artefact.Labels!);
        Assert.Equal(["no_a_1.wav", "yes_a_1.wav"], Enumerable.Range(0, 2).Select(i => Path.GetFileName(ExamplesOf(data.Training)[i].Name)));
        Assert.Equal(2, ExamplesOf(data.Test!).Count);
        Assert.Equal(8, data.FeatureWidth);
        Assert.Contains(data.Notes, note => note.EndsWith("left out 1 of these: files that are no .wav"));
        Assert.Contains(data.Notes, note => note.EndsWith("cut 4 of these: recordings longer than 0.05 s"));

        // Scaled by the training part: mean 0 and deviation 1 in each band.
        float[] values = [.. ExamplesOf(data.Training)[0].Values!, .. ExamplesOf(data.Training)[1].Values!];
        for (int band = 0; band < 8; band++)
        {
            float[] ofBand = [.. values.Where((_, i) => i % 8 == band)];
            Assert.Equal(0.0, ofBand.Average(), 1e-4);
            Assert.Equal(1.0, ofBand.Average(v => v * v), 1e-2);
        }
    }

    /// <summary>Without its mean, a recording is the same however loud it is.</summary>
    [Fact]
    public void RecordingsAreCentered()
    {
        var config = new SpokenWordsData { Examples = 50, Bands = 12, HopMs = 20, Center = true };
        Dataset data = Open(config);
        Assert.NotEqual(Open(config with { Center = false }).Sha256, data.Sha256);
        float[] first = ExamplesOf(data.Training)[0].Values!;
        for (int band = 0; band < 12; band++)
        {
            Assert.Equal(0, data.Artefact.Scaler!.Offsets[band], 1e-5);
            Assert.Equal(0, first.Where((_, i) => i % 12 == band).Average(), 1e-4);
        }

        string loud = _scratch.Write("x_1.wav", new WavFile(8000, [.. Enumerable.Range(0, 900).Select(i => (((i * 7919) % 101) - 50) / 60f)]).ToBytes());
        string low = _scratch.Write("x_2.wav", new WavFile(8000, [.. Enumerable.Range(0, 900).Select(i => (((i * 7919) % 101) - 50) / 240f)]).ToBytes());
        List<LabelledExample> centered = [.. new[] { loud, low }.SelectMany(path => LabelledInput.Recordings(path, config, data.Artefact))];
        Assert.All(centered[0].Values!.Zip(centered[1].Values!), pair => Assert.Equal(pair.First, pair.Second, 0.05f));
        List<LabelledExample> asTheyAre = [.. new[] { loud, low }.SelectMany(path => LabelledInput.Recordings(path, config with { Center = false }, data.Artefact))];
        Assert.Contains(asTheyAre[0].Values!.Zip(asTheyAre[1].Values!), pair => Math.Abs(pair.First - pair.Second) > 0.5f);
    }

    [Fact]
    public void RecordingsThatDoNotFitAreRefused()
    {
        Tone("yes_a_1.wav", 440, 0.1);
        Assert.Contains("16000 samples a second, found 8000", Refused(new SpokenWordsData { Path = _scratch.Folder, SampleRate = 16000 }));
        Assert.Contains("fits none of 1", Refused(new SpokenWordsData { Path = _scratch.Folder, TestFiles = "*_c_*" }));
        Tone("noword.wav", 440, 0.1);
        Assert.Contains("an underscore", Refused(new SpokenWordsData { Path = _scratch.Folder }));

        string Refused(SpokenWordsData config) => Assert.Throws<DataException>(() => Open(config)).Message;
    }

    [Fact]
    public void SpeechHasItsTextBesideIt()
    {
        foreach (string name in (string[])["a.wav", "b.wav", "c.wav", "d.wav"])
        {
            Tone(name, 440, seconds: 0.1);
        }

        _scratch.Write("transcripts.tsv", "clips/a.wav\tHi  mum\r\nb\tmum\nd\thum!\nz\tnobody\n"u8.ToArray());
        var config = new SpeechData { Path = _scratch.Folder, TestFiles = "d*", Validation = 0, Bands = 8 };
        Dataset data = Open(config);
        Assert.Equal(["<blank>", " ", "h", "i", "m", "u"], data.Artefact.Labels!);
        Assert.Equal(["hi mum", "mum"], Enumerable.Range(0, 2).Select(i => Text(ExamplesOf(data.Training)[i])).OrderByDescending(text => text.Length));
        Assert.Equal("hum", Text(ExamplesOf(data.Test!)[0])); // the exclamation mark was never trained
        Assert.True(data.HasLabels);
        Assert.Contains(data.Notes, note => note.EndsWith("left out 1 of these: recordings of which no line says what is said"));
        Assert.Contains(data.Notes, note => note.EndsWith("transcripts.tsv: left out 1 of these: lines without a recording"));
        Assert.Contains(data.Notes, note => note.Contains("test part: left out 1 characters of texts that the training part doesn't have"));

        using var batch = new SpanBatch(data.Training.MaximumTime, 2, 8, 0);
        data.Training.Fill(data.Training.Plan(0), 0, 2, batch);
        Assert.Equal(9, Enumerable.Range(0, batch.TargetTime * 2).Count(cell => TargetAt(batch, cell) > 0)); // "hi mum" and "mum", at the rows' beginnings

        string before = data.Sha256;
        _scratch.Write("other.tsv", "a\thi mum\nb\tmum\nd\thum\n"u8.ToArray());
        Assert.NotEqual(before, Open(config with { Transcripts = Path.Combine(_scratch.Folder, "other.tsv") }).Sha256);
        Assert.Contains("one line for each recording, found a second one for 'a'", Refused("a\tone\na.wav\ttwo\n"));
        Assert.Contains("what is said", Refused("a\t  \n"));
        Assert.Contains("at least 2 cells", Refused("a\n"));
        File.Delete(Path.Combine(_scratch.Folder, "transcripts.tsv"));
        Assert.Contains("transcripts.tsv", Assert.Throws<DataException>(() => Open(config)).Message);

        string Text(LabelledExample example) => string.Concat(example.Classes.Select(label => data.Artefact.Labels![label]));

        string Refused(string texts)
        {
            _scratch.Write("transcripts.tsv", System.Text.Encoding.UTF8.GetBytes(texts));
            return Assert.Throws<DataException>(() => Open(config)).Message;
        }

        static unsafe int TargetAt(SpanBatch batch, int cell) => batch.TargetTokens[cell];
    }

    /// <summary>A text needs a time step for each of its characters and one between two that are alike; a recording that is too short for it can't be read, and a batch has no room for it.</summary>
    [Fact]
    public void RecordingsThatAreTooShortForTheirTextsAreLeftOut()
    {
        Tone("a.wav", 440, seconds: 0.1);
        Tone("short.wav", 440, seconds: 0.06);
        _scratch.Write("transcripts.tsv", "a\tmum\nshort\tmummmum\n"u8.ToArray());
        Dataset data = Open(new SpeechData { Path = _scratch.Folder, Validation = 0, Test = 0, Bands = 8 });
        Assert.Equal(1, ExamplesOf(data.Training).Count);
        Assert.Contains(data.Notes, note => note.Contains("left out 1 recordings that are too short for their texts, such as ", StringComparison.Ordinal) && note.EndsWith("short.wav", StringComparison.Ordinal));
        Assert.Equal((0, 3, 5), (LabelledExamples.StepsFor<int>([]), LabelledExamples.StepsFor([1, 2, 1]), LabelledExamples.StepsFor([1, 1, 1])));
        Assert.Throws<ArgumentException>(() => new LabelledExamples([new LabelledExample("a", [1, 2], null, [1, 2, 3])], 0, LabelPlaces.Somewhere, ""));
        _scratch.Write("transcripts.tsv", "b\tmum\n"u8.ToArray());
        Assert.Contains("found none; ", Assert.Throws<DataException>(() => Open(new SpeechData { Path = _scratch.Folder, Bands = 8 })).Message);
        Assert.Contains("left out 2 of these: recordings of which no line says what is said", Assert.Throws<DataException>(() => Open(new SpeechData { Path = _scratch.Folder, Bands = 8 })).Message);
    }

    /// <summary>Recordings of the same names in another folder have the table that lies there.</summary>
    [Fact]
    public void EachFolderOfSpeechHasItsOwnTable()
    {
        Tone("a.wav", 440, seconds: 0.1);
        Tone("held/a.wav", 880, seconds: 0.1);
        _scratch.Write("transcripts.tsv", "a\tmum\n"u8.ToArray());
        _scratch.Write("held/transcripts.tsv", "a\thum mum\n"u8.ToArray());
        var config = new SpeechData { Path = Path.Combine(_scratch.Folder, "*.wav"), ValidationPath = Path.Combine(_scratch.Folder, "held"), Test = 0, Bands = 8 };
        Dataset data = Open(config);
        Assert.Equal("mum", Text(data.Training));
        Assert.Equal("ummum", Text(data.Validation!)); // neither h nor the blank was trained
        Assert.DoesNotContain(data.Notes, note => note.Contains("no .wav"));
        Assert.Equal(["mum", "hum mum"], new[] { 0, 1 }.Select(i => Text(Open(config with { Path = Path.Combine(_scratch.Folder, "**", "*.wav"), ValidationPath = null, Validation = 0 }).Training, i)).OrderBy(text => text.Length));

        string Text(IBatchSource source, int example = 0)
        {
            IReadOnlyList<string> labels = source == data.Training || source == data.Validation ? data.Artefact.Labels! : ["<blank>", " ", "h", "m", "u"];
            return string.Concat(ExamplesOf(source)[example].Classes.Select(label => labels[label]));
        }
    }

    [Fact]
    public void GeneratedSpeechIsWordsOfLetters()
    {
        Dataset data = Open(new SpeechData { Examples = 20, Bands = 8, HopMs = 20, Validation = 0.2 });
        Assert.Equal("<blank>", data.Artefact.Labels![0]);
        foreach (LabelledExample example in Enumerable.Range(0, 5).Select(i => ExamplesOf(data.Training)[i]))
        {
            string[] words = string.Concat(example.Classes.Select(label => data.Artefact.Labels[label])).Split(' ');
            Assert.InRange(words.Length, 2, 3);
            Assert.All(words, word => Assert.Contains(word, MadeSpeech.Words));
            Assert.True(example.Classes.Length < example.Values!.Length / 8);
        }
    }

    /// <summary>A pure tone lies in the band around its pitch, and silence in none.</summary>
    [Theory]
    [InlineData(300)]
    [InlineData(1000)]
    [InlineData(3000)]
    public void SpectraShowATonesPitch(double hertz)
    {
        var spectra = new LogMel(8000, 40, 25, 10);
        float[] tone = [.. Enumerable.Range(0, 2000).Select(i => (float)Math.Sin(2 * Math.PI * hertz * i / 8000))];
        float[] values = spectra.Of(tone);
        Assert.Equal(spectra.StepsOf(2000) * 40, values.Length);
        int loudest = Enumerable.Range(0, 40).MaxBy(band => values[(5 * 40) + band]);
        double top = 1127 * Math.Log(1 + (4000 / 700.0)), centre = 700 * (Math.Exp(top * (loudest + 1) / 41 / 1127) - 1);
        Assert.InRange(centre, 0.88 * hertz, 1.12 * hertz);
        Assert.All(spectra.Of(new float[500]), value => Assert.Equal((float)Math.Log(1e-8), value, 1e-4f));
        Assert.Equal(40, spectra.Of([0.5f]).Length);
    }

    [Fact]
    public void ArtefactsKeepTheNamesOfClasses()
    {
        Dataset data = Open(new TaggingData { Examples = 30 });
        DataArtefact again = DataArtefact.FromJson(data.Artefact.ToJson());
        Assert.Equal(data.Artefact.Labels, again.Labels);
        Assert.Equal(data.Artefact.Sha256, again.Sha256);
        Assert.Equal("""{"vocabulary":null,"scaler":null}""", new DataArtefact(null, null).ToJson());
    }

    private static LabelledExamples ExamplesOf(IBatchSource source) => (LabelledExamples)((IExampleSource)source).Examples;

    private Dataset Open(DataConfig config) => Dataset.Open(config, s_batching, _scratch.Folder);

    private void Tone(string name, double hertz, double seconds)
    {
        float[] samples = [.. Enumerable.Range(0, (int)(8000 * seconds)).Select(i => (float)Math.Sin(2 * Math.PI * hertz * i / 8000) * (0.2f + (i / 4000f)))];
        _scratch.Write(name, new WavFile(8000, samples).ToBytes());
    }

    private string Write(string name, string text) => _scratch.Write(name, text);
}
