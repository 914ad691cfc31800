// The strict loader on records of its own, so that a change of a job's keys can't hide a fault of the loader.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using ClusterRnn.Data;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Configuration;

public class ConfigLoaderTests
{
    public enum Weather
    {
        SunnySpells,
        Rain,
    }

    [JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
    [JsonDerivedType(typeof(Circle), "circle")]
    [JsonDerivedType(typeof(Box), "box")]
    public abstract record Figure
    {
        public string? Label { get; init; }
    }

    public sealed record Circle : Figure
    {
        [Range(0.0, 10.0, MinimumIsExclusive = true)]
        public double Radius { get; init; } = 1;
    }

    public sealed record Box : Figure, IValidatableObject
    {
        public required int Width { get; init; }

        public int Height { get; init; } = 1;

        public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
        {
            if (Height > Width)
            {
                yield return new ValidationResult("a box stands no higher than it is wide", [nameof(Height)]);
            }
        }
    }

    public sealed record Part
    {
        [Description("How many.")]
        [Range(1, 8)]
        public int Count { get; init; } = 2;

        public int? LookBack { get; init; }

        public bool CarryState { get; init; }
    }

    public sealed record Whole
    {
        public ulong Seed { get; init; }

        public Part Part { get; init; } = new();

        public Weather Weather { get; init; }

        public string Text { get; init; } = "";

        public float Rate { get; init; } = 0.1f;

        public IReadOnlyList<string> Names { get; init; } = [];

        public IReadOnlyList<Figure> Figures { get; init; } = [];

        public Figure? Favourite { get; init; }

        public Figure Background { get; init; } = new Circle();

        public IReadOnlyDictionary<string, int>? Weights { get; init; }
    }

    private static Whole Load(string yaml, params string[] set) =>
        ConfigLoader.Parse<Whole>(yaml, "a.yaml", set.Select(ConfigAssignment.Parse)).Value;

    private static ConfigException Fails(string yaml, params string[] set) => Assert.Throws<ConfigException>(() => Load(yaml, set));

    [Fact]
    public void Reads_every_kind_of_value()
    {
        Whole whole = Load("""
            seed: 18446744073709551615
            part: { count: 3, lookBack: null, carryState: true }
            weather: sunny-spells
            text: 12
            rate: 1e-3
            names: [a, "null", 日本語]
            figures:
              - kind: circle
                radius: 2
              - { width: 4, kind: box, label: x }
              - circle
            favourite: circle
            weights: { b: 1, a: -2 }
            """);
        Assert.Equal(ulong.MaxValue, whole.Seed);
        Assert.Equal(new Part { Count = 3, CarryState = true }, whole.Part);
        Assert.Equal(Weather.SunnySpells, whole.Weather);
        Assert.Equal("12", whole.Text);
        Assert.Equal(1e-3f, whole.Rate);
        Assert.Equal(["a", "null", "日本語"], whole.Names);
        Assert.Equal([new Circle { Radius = 2 }, new Box { Width = 4, Label = "x" }, new Circle()], whole.Figures);
        Assert.Equal(new Circle(), whole.Favourite);
        Assert.Equal(-2, whole.Weights!["a"]);
    }

    [Theory]
    [InlineData("seed: 1\npart:\n  cuont: 3\n", 3, 3, "unknown key 'cuont' in 'part'", "Did you mean 'count'?")]
    [InlineData("sede: 1\n", 1, 1, "unknown key 'sede'", "Did you mean 'seed'?")]
    [InlineData("part:\n  count: many\n", 2, 10, "'part.count' expects a whole number, at least 1 and at most 8; found 'many'", "")]
    [InlineData("part:\n  count: 9\n", 2, 10, "at most 8; found '9'", "")]
    [InlineData("part:\n  count: 0\n", 2, 10, "at least 1 and at most 8; found '0'", "")]
    [InlineData("part:\n  count: 2.0\n", 2, 10, "a whole number", "")]
    [InlineData("part:\n  count: \"2\"\n", 2, 10, "found the text \"2\"", "Write it without quotes.")]
    [InlineData("part:\n  count: 99999999999\n", 2, 10, "found '99999999999'", "")]
    [InlineData("part: 3\n", 1, 7, "'part' expects keys (count, lookBack, carryState); found '3'", "")]
    [InlineData("part: [1]\n", 1, 7, "found a list", "")]
    [InlineData("part:\n", 1, 6, "found nothing", "")]
    [InlineData("part:\n  carryState: yes\n", 2, 15, "'part.carryState' expects true or false; found 'yes'", "Write true.")]
    [InlineData("weather: ran\n", 1, 10, "'weather' expects one of sunny-spells, rain; found 'ran'", "Did you mean 'rain'?")]
    [InlineData("weather: SunnySpells\n", 1, 10, "found 'SunnySpells'", "Did you mean 'sunny-spells'?")]
    [InlineData("seed: -1\n", 1, 7, "'seed' expects a whole number; found '-1'", "")]
    [InlineData("rate: .nan\n", 1, 7, "'rate' expects a number; found '.nan'", "")]
    [InlineData("rate: 1e999\n", 1, 7, "'rate' expects a number; found '1e999'", "")]
    [InlineData("names: a\n", 1, 8, "'names' expects a list in which each item is text; found 'a'", "Write [a].")]
    [InlineData("figures:\n  - kind: bax\n    width: 1\n", 2, 11, "'figures[0].kind' expects one of circle, box; found 'bax'", "Did you mean 'box'?")]
    [InlineData("figures:\n  - kidn: box\n", 2, 5, "'figures[0]' needs the key 'kind', found 'kidn'", "circle, box")]
    [InlineData("figures:\n  - kind: box\n    radius: 1\n    width: 1\n", 3, 5, "unknown key 'radius' in 'figures[0]'", "Expected one of: width, height, label, kind.")]
    [InlineData("figures:\n  - kind: box\n", 2, 5, "'figures[0]' lacks the key 'width'", "Expected a whole number.")]
    [InlineData("figures:\n  - circle\n  - kind: box\n    width: 1\n    height: 2\n", 5, 5, "a box stands no higher than it is wide", "")]
    [InlineData("favourite: { kind: circle, radius: 0 }\n", 1, 36, "above 0 and at most 10; found '0'", "")]
    [InlineData("weights: { a: x }\n", 1, 15, "'weights.a' expects a whole number; found 'x'", "")]
    [InlineData("seed: 1\nseed: 2\n", 2, 1, "uplicate key", "")]
    [InlineData("part: {count: 1\nseed: 2\n", 0, 0, "not valid YAML", "")]
    [InlineData("text: *x\n", 1, 7, "'*x' refers to another place", "needs quotes")]
    [InlineData("names: &x [*x]\n", 1, 12, "'*x' refers to another place", "")]
    [InlineData("&x a: 1\n*x : 2\n", 2, 1, "'*x' refers to another place", "")]
    [InlineData("", 1, 1, "the configuration is empty", "")]
    [InlineData("# nothing\n", 1, 1, "the configuration is empty", "")]
    [InlineData("- 1\n", 1, 1, "the configuration expects keys", "")]
    [InlineData("seed: 1\n---\nseed: 2\n", 3, 1, "second YAML document", "")]
    public void Says_what_is_wrong_and_where(string yaml, int line, int column, string message, string hint)
    {
        ConfigException error = Fails(yaml);
        ConfigProblem problem = Assert.Single(error.Problems);
        if (line > 0)
        {
            Assert.Equal((line, column), (problem.Mark.Line, problem.Mark.Column));
            Assert.StartsWith($"a.yaml:{line}:{column}: ", error.Message, StringComparison.Ordinal);
        }

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains(hint, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Reports_all_problems_at_once_in_the_order_of_the_file()
    {
        ConfigException error = Fails("sede: 1\npart: { count: x, other: 1 }\nweather: snow\n");
        Assert.Equal(["sede", "part.count", "part.other", "weather"], error.Problems.Select(p => p.Path));
    }

    [Fact]
    public void Points_at_the_place_in_the_line_also_behind_wide_characters()
    {
        string[] lines = Fails("part: { count: x }\n").Message.ReplaceLineEndings("\n").Split('\n');
        Assert.Equal("  1 | part: { count: x }", lines[1]);
        Assert.Equal("    |                ^", lines[2]);
        lines = Fails("{ text: 日本, sede: 1 }\n").Message.ReplaceLineEndings("\n").Split('\n');
        Assert.Equal("  1 | { text: 日本, sede: 1 }", lines[1]);
        Assert.Equal("    |               ^^^^", lines[2]);
    }

    [Fact]
    public void Assignments_are_merged_before_validation()
    {
        const string yaml = "part: { count: 9 }\nfavourite: circle\nfigures: [circle]\n";
        Whole whole = Load(yaml, "part.count=4", "favourite.radius=3", "figures.0.radius=5", "figures[1]={kind: box, width: 2}", "names=[a, b]", "text=", "weights.a=1");
        Assert.Equal(4, whole.Part.Count);
        Assert.Equal(new Circle { Radius = 3 }, whole.Favourite);
        Assert.Equal([new Circle { Radius = 5 }, new Box { Width = 2 }], whole.Figures);
        Assert.Equal(["a", "b"], whole.Names);
        Assert.Equal(1, whole.Weights!["a"]);
    }

    [Theory]
    [InlineData("part.count=x", "--set part.count=x: 'part.count' expects a whole number")]
    [InlineData("part.cuont=1", "--set part.cuont=1: unknown key 'cuont' in 'part'")]
    [InlineData("prat.count=1", "--set prat.count=1: unknown key 'prat'")]
    [InlineData("figures.7.radius=1", "--set figures.7.radius=1: '7' is not a place in the list 'figures', which has 1 items")]
    [InlineData("part..count=1", "is not a key path")]
    [InlineData("part", "expected key.path=value")]
    [InlineData("names=[a", "--set names=[a: not valid YAML")]
    [InlineData("favourite.kind=box", "'favourite' lacks the key 'width'")]
    public void An_error_in_an_assignment_names_the_option(string set, string message) =>
        Assert.Contains(message, Fails("figures: [circle]\nfavourite: circle\n", set).Message, StringComparison.Ordinal);

    [Fact]
    public void A_mistake_in_the_file_keeps_its_place_when_an_assignment_goes_elsewhere()
    {
        ConfigProblem problem = Assert.Single(Fails("part:\n  cuont: 1\n", "part.count=2").Problems);
        Assert.Equal((2, 3), (problem.Mark.Line, problem.Mark.Column));
    }

    [Fact]
    public void A_variant_left_unnamed_is_the_default_one()
    {
        Assert.Equal(new Circle { Radius = 4 }, Load("background: { radius: 4 }\n").Background);
        Assert.Equal(new Circle { Radius = 4 }, Load("seed: 1\n", "background.radius=4").Background);
        Assert.Contains("unknown key 'knid' in 'background'", Fails("background: { knid: box }\n").Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Comes_back_from_yaml_and_json()
    {
        Whole whole = Load("seed: 7\ntext: \"007\"\nrate: 1e-9\nnames: [\"true\", '', \"a: b\", \"- x\", \"line\\nbreak\", 中文]\nfigures: [circle, {kind: box, width: 3}]\nweights: {a: 1}\nfavourite: {kind: circle, radius: 0.1}\n");
        foreach (Whole again in new[] { Load(ConfigLoader.ToYaml(whole)), ConfigLoader.FromJson<Whole>(ConfigLoader.ToJson(whole), "a.json") })
        {
            Assert.Equal(ConfigLoader.ToJson(whole), ConfigLoader.ToJson(again));
            Assert.Equal(whole.Names, again.Names);
            Assert.Equal(whole.Figures, again.Figures);
            Assert.Equal(whole.Text, again.Text);
        }
    }

    [Fact]
    public void A_missing_file_is_named_with_the_nearest_one()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "quickstart.yaml"), "seed: 1\n");
            ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Load<Whole>(Path.Combine(folder, "quikstart.yaml")));
            Assert.Contains("no such file; did you mean", error.Message, StringComparison.Ordinal);
            Assert.Contains("quickstart.yaml?", error.Message, StringComparison.Ordinal);
            Assert.Contains("found a folder", Assert.Throws<ConfigException>(() => ConfigLoader.Load<Whole>(folder)).Message, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("span", "spann", 1)]
    [InlineData("ab", "ba", 1)]
    [InlineData("kitten", "sitting", 3)]
    [InlineData("", "abc", 3)]
    public void Counts_edits(string a, string b, int distance) => Assert.Equal(distance, NearestName.Distance(a, b));

    [Fact]
    public void Suggests_nothing_when_nothing_is_near() => Assert.Null(NearestName.Of("xyzzyx", ["count", "lookBack"]));

    [Theory]
    [InlineData("abc", 3)]
    [InlineData("日本語", 6)]
    [InlineData("한국어 x", 8)]
    [InlineData("e\u0301", 1)]
    [InlineData("Ａ", 2)]
    [InlineData("😀", 2)]
    [InlineData("𠮷野", 4)]
    [InlineData("", 0)]
    public void Measures_text_in_cells(string text, int cells) => Assert.Equal(cells, TextWidth.Of(text));
}
