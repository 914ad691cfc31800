// The house rules, as tests. A rule that nobody can break without a red test need not be remembered.
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace ClusterRnn.Tests.Tidy;

public partial class HouseRulesTests
{
    // What may stand on no path to a parameter, a loss, a schedule or a sampled token: results differ between
    // processors, systems or library versions.
    private static readonly string[] InexactCalls =
    [
        @"\bMathF?\.(Exp|Exp2|ExpM1|Log|Log2|Log10|LogP1|Pow|Sin|Cos|Tan|Asin|Acos|Atan|Atan2|Sinh|Cosh|Tanh|Asinh|Acosh|Atanh|Cbrt|ReciprocalEstimate|ReciprocalSqrtEstimate|SinCos)\s*\(",
        @"\b(float|double|Single|Double)\.(Exp|Exp2|ExpM1|Log|Log2|Log10|LogP1|Pow|Sin|Cos|Tan|Tanh|Sinh|Cosh|Cbrt|RootN|Hypot|SinCos|SinPi|CosPi|ReciprocalEstimate|ReciprocalSqrtEstimate|MultiplyAddEstimate)\s*\(",
        @"\bTensorPrimitives\b",
        @"\bVector(64|128|256|512)?\.(Sum|Dot|Exp|Log|Log2|Sin|Cos|SinCos|Hypot|MultiplyAddEstimate)\s*[(<]",
        @"\bReciprocal\w*\s*\(",
        @"\b\w+Estimate\s*\(",
    ];

    // Where numbers lead to a parameter, a loss, a schedule or a sampled token.
    private static readonly string[] ExactFolders = ["src/ClusterRnn.Kernels/", "src/ClusterRnn.Models/", "src/ClusterRnn.Data/", "src/ClusterRnn.Training/"];

    [Fact]
    public void Nothing_inexact_is_called_where_numbers_must_be_the_same_everywhere() =>
        Report(ExactFolders.SelectMany(SourceText.CSharp).SelectMany(f => Matches(f, InexactCalls)));

    [Fact]
    public void Numbers_are_summed_in_a_stated_order() =>
        Report(ExactFolders.SelectMany(SourceText.CSharp).SelectMany(f => Matches(f, [@"\.(Average|Aggregate)\s*\(", @"\.Sum\s*\((?!\w+ => [\w.]*(Count|Length)\))"])));

    // Time, chance and threads are given to the protocol as arguments; whatever depends on a hash table's order would
    // differ from run to run.
    [Fact]
    public void The_protocol_reads_no_clock_draws_nothing_and_starts_nothing() =>
        Report(SourceText.CSharp("src/ClusterRnn.Protocol/").SelectMany(f => Matches(f,
        [
            @"\bDateTime(Offset)?\.(UtcNow|Now|Today)\b", @"\bStopwatch\b", @"\bEnvironment\.TickCount", @"\bTimeProvider\b", @"\bTimeSpan\b",
            @"\bRandom\b", @"\bGuid\.NewGuid\b", @"\bTask\.(Run|Delay|Factory)\b", @"\bThread\b", @"\bThreadPool\b", @"\bTimer\b", @"\bParallel\.",
            @"\bGetHashCode\s*\(\s*\)\s*[^{=;\s]", @"\bHashCode\.", @"\bFile\.", @"\bDirectory\.", @"\bFileStream\b", @"\bSocket\b", @"\bConsole\.",
            @"\basync\b", @"\bawait\b", @"\block\s*\(", @"\bdouble\b[^;]*\bTotal(Milli)?[Ss]econds\b",
        ])));

    [Fact]
    public void The_protocol_never_enumerates_a_hash_table()
    {
        var found = new List<string>();
        foreach (string file in SourceText.CSharp("src/ClusterRnn.Protocol/"))
        {
            string code = SourceText.CodeOf(SourceText.Read(file));
            var names = Regex.Matches(code, @"\b(?:Dictionary|HashSet|ConcurrentDictionary)<[^;=(){}]*>\??\s+(\w+)\s*[;={,)]").Select(m => m.Groups[1].Value).ToHashSet();
            foreach (string name in names)
            {
                found.AddRange(Regex.Matches(code, $@"\bin\s+(this\.)?{name}(\.(Keys|Values))?\s*\)|\b{name}(\.(Keys|Values))?\.(Select|Where|First|FirstOrDefault|Last|Any|All|OrderBy|ToList|ToArray|ToDictionary|Min|Max|MinBy|MaxBy|Sum|Count)\s*\(|\[\s*\.\.\s*{name}\b")
                    .Select(m => $"{file}:{SourceText.LineOf(code, m.Index)}: {m.Value.Trim()}"));
            }
        }

        Report(found);
    }

    // Kernels <- Models <- Training; Data <- Training; Protocol <- Node -> Training; Engines.* -> Node; Cli -> all. Akka's engine hosts the
    // nodes of the tcp engine: blocks, journal and checkpoints are the same.
    [Fact]
    public void Projects_refer_to_each_other_in_one_direction()
    {
        var allowed = new Dictionary<string, string[]>
        {
            ["ClusterRnn.Kernels"] = [],
            ["ClusterRnn.Models"] = ["ClusterRnn.Kernels"],
            ["ClusterRnn.Data"] = ["ClusterRnn.Kernels"],
            ["ClusterRnn.Protocol"] = ["ClusterRnn.Kernels"],
            ["ClusterRnn.Training"] = ["ClusterRnn.Kernels", "ClusterRnn.Models", "ClusterRnn.Data"],
            ["ClusterRnn.Node"] = ["ClusterRnn.Kernels", "ClusterRnn.Protocol", "ClusterRnn.Training"],
        };
        foreach (string file in SourceText.Files.Where(f => f.StartsWith("src/", StringComparison.Ordinal) && f.EndsWith(".csproj", StringComparison.Ordinal)))
        {
            string project = Path.GetFileNameWithoutExtension(file);
            string[] references = [.. XDocument.Load(Path.Combine(Repository.Root, file)).Descendants("ProjectReference").Select(r => Path.GetFileNameWithoutExtension((string)r.Attribute("Include")!))];
            if (allowed.TryGetValue(project, out string[]? direction))
            {
                Assert.Empty(references.Except(direction));
            }
            else if (project.StartsWith("ClusterRnn.Engines.", StringComparison.Ordinal))
            {
                Assert.DoesNotContain(references, r => r == "ClusterRnn.Cli" || (r.StartsWith("ClusterRnn.Engines.", StringComparison.Ordinal) && (project, r) != ("ClusterRnn.Engines.Akka", "ClusterRnn.Engines.Tcp")));
            }
            else
            {
                Assert.Equal("ClusterRnn.Cli", project);
            }
        }

        Assert.Contains("src/ClusterRnn.Kernels/ClusterRnn.Kernels.csproj", SourceText.Files);
    }

    [Theory]
    [InlineData("ClusterRnn.Kernels")]
    [InlineData("ClusterRnn.Protocol")]
    public void Some_projects_need_nothing_but_the_framework(string project) =>
        Assert.Empty(XDocument.Load(Path.Combine(Repository.Root, "src", project, project + ".csproj")).Descendants("PackageReference"));

    [Fact]
    public void Packages_have_exact_versions_in_one_place()
    {
        XDocument central = XDocument.Load(Path.Combine(Repository.Root, "Directory.Packages.props"));
        Dictionary<string, string> named = central.Descendants("PropertyGroup").Elements().ToDictionary(e => $"$({e.Name})", e => e.Value);
        Assert.All(
            central.Descendants("PackageVersion").Select(p => (string)p.Attribute("Version")!), version => Assert.Matches(@"^\d+(\.\d+)+$", named.GetValueOrDefault(version, version)));
        foreach (string file in SourceText.Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal)))
        {
            Assert.All(XDocument.Load(Path.Combine(Repository.Root, file)).Descendants("PackageReference"), p => Assert.Null(p.Attribute("Version")));
        }
    }

    [Fact]
    public void Nothing_names_a_place_on_the_machine_it_was_written_on() =>
        Report(SourceText.TextFiles.Where(f => !f.Contains("/Tidy/", StringComparison.Ordinal)).SelectMany(f => TextMatches(f, [@"(?<![\w.~])/(work|root|home|Users)/\w", @"\b[A-Z]:\\(Users|work)\\"])));

    [Fact]
    public void Nothing_is_left_over() =>
        Report(SourceText.TextFiles.Where(f => !f.Contains("/Tidy/", StringComparison.Ordinal) && f != "LICENSE")
            .SelectMany(f => TextMatches(f, [@"\b(TODO|FIXME|HACK|XXX)\b", @"\bNotImplementedException\b", @"^(<{7}|>{7}) "])));

    [Fact]
    public void Lines_end_with_a_line_feed_and_files_with_a_line()
    {
        var found = new List<string>();
        foreach (string file in SourceText.TextFiles.Where(f => !f.EndsWith(".cmd", StringComparison.Ordinal)))
        {
            string text = SourceText.Read(file);
            if (text.Contains('\r', StringComparison.Ordinal))
            {
                found.Add($"{file}: has carriage returns");
            }

            if (text.Length > 0 && text[^1] != '\n')
            {
                found.Add($"{file}: the last line doesn't end");
            }

            if (text.StartsWith('\uFEFF') && !file.EndsWith(".sln", StringComparison.Ordinal))
            {
                found.Add($"{file}: begins with a byte order mark");
            }
        }

        Report(found);
    }

    // A reader of a file's first lines should know what lives there: a comment above the namespace, or the summary of
    // the first type.
    [Fact]
    public void Every_file_begins_with_what_lives_in_it()
    {
        var found = new List<string>();
        foreach (string file in SourceText.CSharp("src/"))
        {
            string[] lines = SourceText.Read(file).Split('\n');
            int type = Array.FindIndex(lines, l => TypeDeclaration().IsMatch(l));
            if (!lines[..Math.Max(0, type)].Any(l => l.TrimStart().StartsWith("//", StringComparison.Ordinal)) && type >= 0)
            {
                found.Add(file);
            }
        }

        Report(found);
    }

    [Fact]
    public void Names_say_what_a_thing_is() =>
        Report(SourceText.CSharp("src/").SelectMany(f => Matches(f, [@"\b(class|struct|record|interface|enum)\s+\w*(Manager|Helper|Helpers|Util|Utils|Utility|Base|Misc)\b"])));

    [Fact]
    public void Namespaces_are_file_scoped_and_follow_the_project()
    {
        var found = new List<string>();
        foreach (string file in SourceText.CSharp("src/"))
        {
            string project = file.Split('/')[1];
            string code = SourceText.CodeOf(SourceText.Read(file));
            foreach (Match match in Regex.Matches(code, @"^\s*namespace\s+([\w.]+)\s*(;|\{|$)", RegexOptions.Multiline))
            {
                if (match.Groups[2].Value != ";" || !(match.Groups[1].Value + ".").StartsWith(project + ".", StringComparison.Ordinal))
                {
                    found.Add($"{file}: {match.Value.Trim()}");
                }
            }
        }

        Report(found);
    }

    [Fact]
    public void Tests_wait_for_something_and_never_for_a_while() =>
        Report(SourceText.CSharp("tests/").Where(f => !f.Contains("/Tidy/", StringComparison.Ordinal)).SelectMany(f => Matches(f, [@"\bThread\.Sleep\s*\("])));

    [Fact]
    public void The_readme_names_the_test_command_and_the_first_command()
    {
        string readme = SourceText.Read("README.md");
        Assert.Contains("dotnet test ClusterRnn.sln -c Release", readme, StringComparison.Ordinal);
        Assert.Contains("./clusterrnn train configs/quickstart.yaml", readme, StringComparison.Ordinal);
    }

    [Fact]
    public void Scripts_can_be_run()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        foreach (string script in new[] { "clusterrnn", ".ci/run" })
        {
            Assert.True(File.GetUnixFileMode(Path.Combine(Repository.Root, script)).HasFlag(UnixFileMode.UserExecute), $"{script} lacks the executable bit");
            Assert.StartsWith("#!", SourceText.Read(script), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_config_points_to_the_schema_and_the_quickstart_is_short()
    {
        string[] configs = [.. SourceText.Files.Where(f => f.StartsWith("configs/", StringComparison.Ordinal) && f.EndsWith(".yaml", StringComparison.Ordinal))];
        Assert.NotEmpty(configs);
        foreach (string config in configs)
        {
            // The schema of its own folder, or the next one above: jobs, sweeps and experiments have one each.
            string up = "", folder = Path.GetDirectoryName(Path.Combine(Repository.Root, config))!;
            while (!File.Exists(Path.Combine(folder, up, "schema.json")))
            {
                up += "../";
            }

            Assert.StartsWith($"# yaml-language-server: $schema={up}schema.json\n", SourceText.Read(config), StringComparison.Ordinal);
        }

        Assert.True(SourceText.Read("configs/quickstart.yaml").TrimEnd().Split('\n').Length < 25);
    }

    // The rules above read code through this; a fault in it would turn them all green.
    [Theory]
    [InlineData("a(); // b();\nc();", "a();        \nc();")]
    [InlineData("x = \"a\\\"b\"; y", "x =       ; y")]
    [InlineData("x = @\"a\\\"; y", "x = @    ; y")]
    [InlineData("x = @\"a\"\"b\"; y", "x = @      ; y")]
    [InlineData("x = \"\"\"a \" b\"\"\"; y", "x =            ; y")]
    [InlineData("x = \"\"; y", "x =   ; y")]
    [InlineData("c = '\"'; d = '\\''; e", "c =    ; d =     ; e")]
    [InlineData("a /* b\n c */ d", "a     \n      d")]
    public void Code_is_told_from_comments_and_texts(string text, string code) => Assert.Equal(code, SourceText.CodeOf(text));

    [Fact]
    public void The_rules_bite()
    {
        Assert.All(
            ["MathF.Exp(x)", "Math.Pow(x, 2)", "float.Tanh(x)", "Vector256.Sum(v)", "Vector.Dot(a, b)", "TensorPrimitives.Add", "Avx512F.Reciprocal14(x)", "Vector128.MultiplyAddEstimate(a, b, c)"],
            bad => Assert.Contains(InexactCalls, rule => Regex.IsMatch(bad, rule)));
        Assert.All(
            ["Math.Sqrt(x)", "MathF.FusedMultiplyAdd(a, b, c)", "ScalarMath.Exp(x)", "Math.Max(a, b)", "Vector256.Add(a, b)", "values.Exp(x)"],
            good => Assert.DoesNotContain(InexactCalls, rule => Regex.IsMatch(good, rule)));
    }

    private static IEnumerable<string> Matches(string file, string[] rules)
    {
        string code = SourceText.CodeOf(SourceText.Read(file));
        return rules.SelectMany(rule => Regex.Matches(code, rule).Select(m => $"{file}:{SourceText.LineOf(code, m.Index)}: {m.Value.Trim()}"));
    }

    private static IEnumerable<string> TextMatches(string file, string[] rules)
    {
        string text = SourceText.Read(file);
        return rules.SelectMany(rule => Regex.Matches(text, rule, RegexOptions.Multiline).Select(m => $"{file}:{SourceText.LineOf(text, m.Index)}: {m.Value.Trim()}"));
    }

    private static void Report(IEnumerable<string> found)
    {
        string[] all = [.. found];
        Assert.True(all.Length == 0, string.Join("\n", all));
    }

    [GeneratedRegex(@"^\s*(public|internal|file)?\s*(static |sealed |abstract |readonly |unsafe |partial |ref )*(class|struct|record|interface|enum|delegate)\s")]
    private static partial Regex TypeDeclaration();
}
