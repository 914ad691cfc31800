using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class DatasetTests
{
    private static readonly Batching Batching = new(4, 16, 24, true, 1);

    [Fact]
    public void The_quickstarts_text_opens_with_its_floor_and_unigram_entropy()
    {
        Dataset dataset = Dataset.Open(new SumsAndDatesData { Characters = 50_000, Validation = 0.1 }, Batching, ".");
        Assert.Equal(dataset.Text!.Vocabulary.Size, dataset.InputVocabulary);
        Assert.Equal(dataset.InputVocabulary, dataset.OutputWidth);
        Assert.Equal(0, dataset.FeatureWidth);
        Assert.Equal(dataset.TrueEntropy, dataset.Grammar!.Entropy());
        Assert.InRange(dataset.UnigramEntropy!.Value, 2.5, 3.2);
        Assert.InRange(dataset.Training.TargetsPerPass + dataset.Validation!.TargetsPerPass + 2, 50_000, 50_100);
        Assert.Equal((16, 24), (dataset.Training.MaximumTargetTime, dataset.Training.MaximumTime));
        Assert.Equal(16, dataset.Validation.MaximumTime);
        Assert.Null(dataset.Test);
        Assert.Contains("tokens to train", dataset.Notes[0]);
        using var batch = new SpanBatch(24, 4, 0, 0);
        dataset.Training.Fill(dataset.Training.Plan(0), 0, 1, batch);
        int[] ids = new Span<int>(batch.Tokens, 16).ToArray();
        Assert.Equal(dataset.Grammar.Text(1, 50_000)[..16], dataset.Text.Vocabulary.Decode(ids));
    }

    [Fact]
    public void A_path_takes_the_place_of_generated_text()
    {
        using var scratch = new Scratch();
        scratch.Write("text.txt", string.Concat(Enumerable.Repeat("春眠暁を覚えず。\n", 100)));
        Dataset dataset = Dataset.Open(new SumsAndDatesData { Path = "*.txt" }, Batching, scratch.Folder);
        Assert.Null(dataset.Grammar);
        Assert.Null(dataset.TrueEntropy);
        Assert.Equal(9, dataset.InputVocabulary);
    }

    [Theory]
    [InlineData(65, true)]
    [InlineData(64, false)]
    public void Text_shorter_than_one_span_per_stream_is_refused(int length, bool opens)
    {
        using var scratch = new Scratch();
        scratch.Write("short.txt", new string('x', length));
        var config = new TextFileData { Path = "short.txt", Validation = 0 };
        if (opens)
        {
            Dataset dataset = Dataset.Open(config, Batching, scratch.Folder);
            Assert.Equal(1, dataset.Training.StepsPerPass);
            Assert.Null(dataset.Validation);
            return;
        }

        string message = Assert.Throws<DataException>(() => Dataset.Open(config, Batching, scratch.Folder)).Message;
        Assert.Contains("at least 65", message);
        Assert.Contains("found 64", message);
        Assert.Contains("batch.span", message);
    }

    [Fact]
    public void A_validation_part_too_short_to_predict_anything_is_refused()
    {
        using var scratch = new Scratch();
        scratch.Write("short.txt", new string('x', 100));
        Assert.Contains("validation part", Assert.Throws<DataException>(
            () => Dataset.Open(new TextFileData { Path = "short.txt", Validation = 0.01 }, Batching, scratch.Folder)).Message);
    }

    [Fact]
    public void Missing_paths_many_tables_and_bad_separators_are_refused()
    {
        using var scratch = new Scratch();
        scratch.Write("a.csv", "x\n1\n");
        scratch.Write("b.csv", "x\n1\n");
        Assert.Contains("data.path", Refused(new TextFileData()));
        Assert.Contains("data.path", Refused(new TableData()));
        Assert.Contains("2 files", Refused(new TableData { Path = "*.csv" }));
        Assert.Contains("data.separator", Refused(new TableData { Path = "a.csv", Separator = "" }));
        Assert.Contains("training part", Refused(new TableData { Path = "a.csv" }));

        string Refused(DataConfig config) => Assert.Throws<DataException>(() => Dataset.Open(config, Batching, scratch.Folder)).Message;
    }

    [Fact]
    public void An_artefact_brings_the_vocabulary_back()
    {
        using var scratch = new Scratch();
        scratch.Write("a.txt", string.Concat(Enumerable.Repeat("abc ", 100)));
        scratch.Write("b.txt", string.Concat(Enumerable.Repeat("cba ", 100)));
        var config = new TextFileData { Path = "a.txt", Level = TokenLevel.Word };
        DataArtefact artefact = Dataset.Open(config, Batching, scratch.Folder).Artefact;
        Dataset other = Dataset.Open(config with { Path = "b.txt" }, Batching, scratch.Folder, DataArtefact.FromJson(artefact.ToJson()));
        Assert.Equal(artefact.Sha256, other.Artefact.Sha256);
        Assert.Throws<DataException>(() => Dataset.Open(config with { Level = TokenLevel.Byte }, Batching, scratch.Folder, artefact));
    }

    [Fact]
    public void Every_kind_of_source_survives_JSON()
    {
        var options = new JsonSerializerOptions(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) } };
        DataConfig[] configs =
        [
            new TextFileData { Path = "x", Level = TokenLevel.Word, MinimumCount = 3 }, new SumsData { LargestAddend = 5 }, new DatesData { FirstYear = 1900 },
            new SumsAndDatesData { Sums = 3 }, new TableData { Path = "y" }, new NoisySineData { Noise = 0.2 }, new MackeyGlassData { Delay = 30 },
            new SeasonalData { Period = 7 }, new RandomWalkData { Price = 5, TrainRows = 800, Scale = Scaling.MinMax, Missing = MissingValues.Previous },
        ];
        foreach (DataConfig config in configs)
        {
            Assert.Equal(config, JsonSerializer.Deserialize<DataConfig>(JsonSerializer.Serialize(config, options), options));
        }
    }

    /// <summary>Other data is read in the same way, and whatever names or keeps parts of the first is gone.</summary>
    [Fact]
    public void All_of_other_data_is_one_part()
    {
        Dictionary<string, object> ofParts = new()
        {
            ["Path"] = "old",
            ["Validation"] = 0.3,
            ["Test"] = 0.2,
            ["TrainRows"] = 7,
            ["Fold"] = new FoldConfig { Number = 1, Of = 2 },
            ["Labels"] = "old",
            ["Transcripts"] = "old",
            ["TestFiles"] = "old",
            ["ValidationPath"] = "old",
            ["TestPath"] = "old",
            ["ValidationTarget"] = "old",
            ["TestTarget"] = "old",
            ["TestLabels"] = "old",
        };
        foreach (Type kind in typeof(DataConfig).GetCustomAttributes<JsonDerivedTypeAttribute>().Select(attribute => attribute.DerivedType))
        {
            var config = (DataConfig)Activator.CreateInstance(kind)!;
            if (config is ExamplesData and not DigitsData)
            {
                continue; // it is generated, and takes no path
            }

            PropertyInfo[] properties = [.. kind.GetProperties().Where(property => property.CanWrite)];
            foreach (PropertyInfo property in properties)
            {
                property.SetValue(config, IsOfParts(property) ? ofParts.GetValueOrDefault(property.Name, "old") : property.GetValue(config));
            }

            DataConfig all = config.AllOf("new");
            Assert.Equal(kind, all.GetType());
            Assert.All(properties, property => Assert.Equal(
                !IsOfParts(property) ? property.GetValue(config) : property.Name == "Path" ? "new" : property.PropertyType == typeof(double) ? 0.0 : null, property.GetValue(all)));
        }

        // The targets of a translation are a file, those of a series columns.
        bool IsOfParts(PropertyInfo property) => ofParts.ContainsKey(property.Name) || (property.Name == "Target" && property.PropertyType == typeof(string));
    }
}
