// What docker-compose.yml, deploy/Dockerfile and deploy/entrypoint.sh promise, as far as it shows in the files. That the
// containers keep it takes a Docker engine: deploy/check.
using System.Diagnostics;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace ClusterRnn.Tests.Deploy;

public sealed partial class ComposeFileTests
{
    private static readonly string[] Nodes = ["coordinator", "server", "worker"];

    private static YamlMappingNode Services { get; } = (YamlMappingNode)Read()["services"];

    public static TheoryData<string> AllServices => new(Services.Children.Keys.Select(k => ((YamlScalarNode)k).Value!));

    public static TheoryData<string> NodeServices => new(Nodes);

    [Fact]
    public void It_has_init_and_the_nodes_and_nothing_else() =>
        Assert.Equal(["coordinator", "init", "server", "worker"], Services.Children.Keys.Select(k => ((YamlScalarNode)k).Value!).Order(StringComparer.Ordinal));

    [Fact]
    public void Two_servers_and_three_workers_are_started()
    {
        Assert.Equal("2", Text("server", "scale"));
        Assert.Equal("3", Text("worker", "scale"));
        Assert.Contains("--servers 2 --replicas 2", Text("coordinator", "command"));
    }

    [Fact]
    public void The_job_is_chosen_by_CONFIG_and_exists_where_it_is_not()
    {
        Match chosen = DefaultConfig().Match(Text("coordinator", "command")!);
        Assert.True(chosen.Success);
        Assert.True(File.Exists(Path.Combine(Repository.Root, chosen.Groups[1].Value)));
        // What init checks is what the coordinator trains.
        Assert.Contains(chosen.Value, Text("init", "command"));
        Assert.Contains("${ARGUMENTS:-}", Text("init", "command"));
        Assert.Contains("${ARGUMENTS:-}", Text("coordinator", "command"));
    }

    [Theory]
    [MemberData(nameof(NodeServices))]
    public void A_node_waits_for_init_and_is_started_again_when_it_fails(string service)
    {
        Assert.Equal("service_completed_successfully", (string?)Get(service, "depends_on")!["init"]["condition"]);
        Assert.Equal("on-failure", Text(service, "restart"));
        Assert.Contains("--engine ${ENGINE:-tcp}", Text(service, "command"));
        Assert.Contains("--certs /certs", Text(service, "command"));
        Assert.Contains("certs:/certs:ro", Volumes(service));
    }

    [Fact]
    public void Init_runs_once() => Assert.Null(Get("init", "restart"));

    [Theory]
    [MemberData(nameof(NodeServices))]
    public void A_node_says_that_it_is_well_where_its_health_check_looks(string service)
    {
        var test = (YamlSequenceNode)Get(service, "healthcheck")!["test"];
        Match looked = AliveFile().Match((string)test.Children[^1]!);
        Assert.True(looked.Success);
        Assert.Contains($"--alive {looked.Value}", Text(service, "command"));
        Assert.StartsWith("/tmp/", looked.Value); // the only place that can be written
    }

    [Theory]
    [MemberData(nameof(AllServices))]
    public void No_container_can_do_more_than_it_must(string service)
    {
        Assert.Equal("true", Text(service, "read_only"));
        Assert.Contains(Sequence(service, "tmpfs"), t => t.StartsWith("/tmp", StringComparison.Ordinal));
        Assert.Equal(["ALL"], Sequence(service, "cap_drop"));
        Assert.Contains("no-new-privileges:true", Sequence(service, "security_opt"));
        Assert.Null(Get(service, "privileged"));
        Assert.DoesNotContain(Volumes(service), v => v.Contains("docker.sock", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(AllServices))]
    public void Two_clusters_fit_on_one_machine_and_any_service_can_be_scaled(string service)
    {
        Assert.Null(Get(service, "container_name"));
        Assert.Null(Get(service, "ports"));
        Assert.Null(Get(service, "network_mode"));
        Assert.Null(Get(service, "hostname"));
    }

    [Fact]
    public void Workers_and_servers_are_users_of_their_own_with_a_memory_limit()
    {
        string[] users = [Text("worker", "user")!, Text("server", "user")!];
        Assert.Equal(2, users.Distinct().Count());
        Assert.All(users, u => Assert.NotEqual("0", u.Split(':')[0]));
        Assert.NotNull(Text("worker", "mem_limit"));
        Assert.NotNull(Text("server", "mem_limit"));
        Assert.Contains("--memory ", Text("worker", "command"));
        Assert.Contains("--threads 1", Text("coordinator", "command"));
        Assert.Contains("--threads 1", Text("worker", "command"));
        // The start script hands the keys to the same users.
        string script = File.ReadAllText(Path.Combine(Repository.Root, "deploy/entrypoint.sh"));
        Assert.Contains($"worker={users[0].Split(':')[0]}\n", script);
        Assert.Contains($"server={users[1].Split(':')[0]}\n", script);
        Assert.Contains($"nodes={users[0].Split(':')[1]}\n", script);
    }

    [Fact]
    public void The_bases_are_arguments_with_the_Dockerfiles_own_defaults_and_both_targets_exist()
    {
        string dockerfile = File.ReadAllText(Path.Combine(Repository.Root, "deploy/Dockerfile"));
        YamlNode build = Get("init", "build")!;
        foreach (string argument in new[] { "SDK_IMAGE", "RUNTIME_IMAGE" })
        {
            string image = ((string)build["args"][argument]!).Replace($"${{{argument}:-", "", StringComparison.Ordinal).TrimEnd('}');
            Assert.Contains($"ARG {argument}={image}\n", dockerfile);
        }

        string[] stages = [.. Stage().Matches(dockerfile).Select(m => m.Groups[1].Value)];
        Assert.Equal("${TARGET:-cluster}", (string?)build["target"]);
        Assert.Equal("cluster", stages[^1]);
        Assert.True(Array.IndexOf(stages, "published") is >= 0 and var published && published < Array.IndexOf(stages, "build"));
    }

    [Fact]
    public void What_the_Dockerfile_copies_is_in_the_repository_and_not_kept_from_the_build()
    {
        string[] ignored = File.ReadAllLines(Path.Combine(Repository.Root, ".dockerignore"));
        string[] sources = [.. Copied().Matches(File.ReadAllText(Path.Combine(Repository.Root, "deploy/Dockerfile"))).Select(m => m.Groups[1].Value)];
        Assert.Contains("deploy/publish", sources);
        foreach (string source in sources)
        {
            Assert.True(Path.Exists(Path.Combine(Repository.Root, source)), source);
            Assert.DoesNotContain(source, ignored);
            Assert.DoesNotContain(source.Split('/')[0], ignored);
        }

        Assert.Contains("runs", ignored);
        Assert.DoesNotContain("src", ignored);
    }

    [Theory]
    [InlineData("sh", "deploy/entrypoint.sh")]
    [InlineData("bash", "deploy/check")]
    public async Task A_script_can_be_read_by_its_shell(string shell, string script)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a POSIX shell");
        string path = Path.Combine(Repository.Root, script);
        Assert.DoesNotContain('\r', await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken));
        using var process = Process.Start(new ProcessStartInfo(shell, ["-n", path]) { RedirectStandardError = true })!;
        string said = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal("", said);
        Assert.Equal(0, process.ExitCode);
    }

    private static YamlMappingNode Read()
    {
        using var text = new StreamReader(Path.Combine(Repository.Root, "docker-compose.yml"));
        var stream = new YamlStream();
        stream.Load(new MergingParser(new Parser(text)));
        return (YamlMappingNode)stream.Documents[0].RootNode;
    }

    private static YamlNode? Get(string service, string key) =>
        ((YamlMappingNode)Services[service]).Children.TryGetValue(new YamlScalarNode(key), out YamlNode? value) ? value : null;

    private static string? Text(string service, string key) => Get(service, key) is { } node ? (string?)node : null;

    private static string[] Sequence(string service, string key) => [.. ((YamlSequenceNode)Get(service, key)!).Children.Select(c => (string)c!)];

    private static string[] Volumes(string service) => Sequence(service, "volumes");

    [GeneratedRegex(@"\$\{CONFIG:-([^}]+)\}")]
    private static partial Regex DefaultConfig();

    [GeneratedRegex(@"/[\w/]*/alive")]
    private static partial Regex AliveFile();

    [GeneratedRegex(@"^FROM \S+ AS (\S+)", RegexOptions.Multiline)]
    private static partial Regex Stage();

    [GeneratedRegex(@"^COPY (?!--)(\S+) ", RegexOptions.Multiline)]
    private static partial Regex Copied();
}
