// The scenario's parser: what it reads, and every complaint that it can make, each with its place.
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Experiments;

public sealed class ScenarioTests
{
    [Fact]
    public void Reads_every_kind_of_fault()
    {
        Scenario scenario = Parse("""
            name: all
            shows: Everything.
            config: ../tiny.yaml
            set: { stop.epochs: 60, optimizer.learningRate: 0.5 }
            workers: 3
            servers: 2
            replicas: 2
            seed: 7
            repetitions: 4
            deadline: 90
            faults:
              - { kind: kill, target: worker-1, step: 40 }
              - { kind: kill, target: random-server, at: 2, restart: false }
              - { kind: pause, target: worker-0, at: 1.5, duration: 2 }
              - { kind: partition, target: worker-2, peers: [server-0, coordinator], direction: in, step: 3, duration: 4 }
              - { kind: latency, target: coordinator, milliseconds: 30, jitter: 10, step: 3, duration: 4 }
              - { kind: loss, target: server-1, percent: 5, step: 3, duration: 4 }
              - { kind: bandwidth, target: server-1, kilobytesPerSecond: 100, step: 3, duration: 4 }
              - { kind: slow, target: random, factor: 5, perMinute: 12, until: 30, duration: 1 }
              - { kind: corrupt, target: worker-1, count: 2, step: 9 }
              - { kind: disk-full, target: coordinator, step: 9, duration: 1 }
              - { kind: nan, target: random-worker, step: 9 }
              - { kind: wrong-bits, target: worker-2, step: 9 }
            """);
        Assert.Equal(["kill", "kill", "pause", "partition", "latency", "loss", "bandwidth", "slow", "corrupt", "disk-full", "nan", "wrong-bits"], scenario.Faults.Select(f => f.Kind));
        Assert.Equal("60", scenario.Set["stop.epochs"]);
        Assert.Equal(FaultDirection.In, Assert.IsType<PartitionFault>(scenario.Faults[3]).Direction);
        Assert.Equal("only what it should get from server-0, coordinator", scenario.Faults[3].Words.Split("s, ")[1]);
        Assert.True(Assert.IsType<KillFault>(scenario.Faults[0]).Restart);
        Assert.Equal(10, Assert.IsType<LatencyFault>(scenario.Faults[4]).Jitter);

        // What a report prints can be run again.
        Assert.Equal(ConfigLoader.ToJson(scenario), ConfigLoader.ToJson(ConfigLoader.Parse<Scenario>(ConfigLoader.ToYaml(scenario), "again").Value));
    }

    [Theory]
    [InlineData("fault: []", "unknown key 'fault'", "Did you mean 'faults'?")]
    [InlineData("repetitons: 2", "unknown key 'repetitons'", "Did you mean 'repetitions'?")]
    [InlineData("workers: 0", "'workers' expects a whole number, at least 1 and at most 64; found '0'", "")]
    [InlineData("workers: many", "'workers' expects a whole number", "")]
    [InlineData("replicas: 2", "'replicas' is 2, but there is 1 server to hold them", "")]
    [InlineData("seed: -1", "'seed' expects a whole number", "")]
    [InlineData("set: [stop.epochs]", "'set' expects keys whose values are each text", "")]
    [InlineData("set: { stop: { epochs: 3 } }", "'set.stop' expects text; found keys", "")]
    [InlineData("deadline: 0", "'deadline' expects a number, at least 1", "")]
    public void Complains_about_the_scenario(string line, string message, string hint)
        => ExpectComplaint($"config: c\nfaults: [{{ kind: kill, target: worker-0, step: 1 }}]\n{line}\n", 3, message, hint);

    [Theory]
    [InlineData("{ kind: kil, target: worker-0, step: 1 }", "expects one of kill, pause, partition, latency, loss, bandwidth, slow, corrupt, disk-full, nan, wrong-bits; found 'kil'", "Did you mean 'kill'?")]
    [InlineData("{ knid: kill, target: worker-0, step: 1 }", "'faults[0]' needs the key 'kind', found 'knid'", "Expected 'kind' to be one of kill,")]
    [InlineData("{ kind: kill, step: 1 }", "'faults[0]' lacks the key 'target'", "Expected text.")]
    [InlineData("{ kind: kill, target: worker1, step: 1 }", "'faults[0].target' expects coordinator, worker-N, server-N (N from 0), random, random-worker or random-server; found 'worker1'", "")]
    [InlineData("{ kind: kill, target: worker-2, step: 1 }", "'faults[0].target' is worker-2, and there are 2 workers, worker-0 to worker-1", "")]
    [InlineData("{ kind: kill, target: server-1, step: 1 }", "'faults[0].target' is server-1, and there is one server, server-0", "")]
    [InlineData("{ kind: kill, target: worker-0 }", "'faults[0]' needs one of 'step' (after so many steps), 'at' (seconds after the first step) and 'perMinute' (at random moments); found none", "")]
    [InlineData("{ kind: kill, target: worker-0, step: 1, at: 2 }", "found more than one", "")]
    [InlineData("{ kind: kill, target: worker-0, perMinute: 3 }", "'faults[0]' has 'perMinute' and needs 'until'", "")]
    [InlineData("{ kind: pause, target: worker-0, at: 3, until: 5, duration: 1 }", "'faults[0].until' says where 'perMinute' ends; there is no 'perMinute' here. How long the fault lasts is 'duration'", "")]
    [InlineData("{ kind: kill, target: worker-0, step: 1, delay: 5 }", "unknown key 'delay' in 'faults[0]'", "Expected one of: restart, duration, target, step, at, perMinute, until, kind.")]
    [InlineData("{ kind: kill, target: worker-0, step: 1, durration: 5 }", "unknown key 'durration' in 'faults[0]'", "Did you mean 'duration'?")]
    [InlineData("{ kind: kill, target: worker-0, step: 1, restart: false, duration: 5 }", "'faults[0].duration' says when the node is started again, and 'restart: false' that it is not; leave one of them out", "")]
    [InlineData("{ kind: kill, target: coordinator, step: 1, restart: false }", "'faults[0].target' is coordinator, which this 'kill' can't hit; expected a worker or a server", "")]
    [InlineData("{ kind: pause, target: worker-0, step: 1 }", "'faults[0]' lacks the key 'duration'", "Expected a number, above 0 and at most 86400.")]
    [InlineData("{ kind: pause, target: worker-0, step: 1, duration: 0 }", "'faults[0].duration' expects a number, above 0", "")]
    [InlineData("{ kind: latency, target: worker-0, step: 1, duration: 1, milliseconds: 5, jitter: 6 }", "'faults[0].jitter' is 6 ms, more than the latency of 5 ms", "")]
    [InlineData("{ kind: loss, target: worker-0, step: 1, duration: 1, percent: 101 }", "'faults[0].percent' expects a number, above 0 and at most 100; found '101'", "")]
    [InlineData("{ kind: slow, target: worker-0, step: 1, duration: 1, factor: 1 }", "'faults[0].factor' expects a number, above 1", "")]
    [InlineData("{ kind: partition, target: worker-0, step: 1, duration: 1, direction: bth }", "'faults[0].direction' expects one of both, in, out; found 'bth'", "Did you mean 'both'?")]
    [InlineData("{ kind: partition, target: worker-0, step: 1, duration: 1, peers: [random] }", "'faults[0].peers[0]' expects coordinator, worker-N or server-N; found 'random'", "")]
    [InlineData("{ kind: partition, target: worker-0, step: 1, duration: 1, peers: [worker-0] }", "'faults[0].peers[0]' is the target itself; expected another node", "")]
    [InlineData("{ kind: corrupt, target: worker-0, step: 1, peers: [server-3] }", "'faults[0].peers[0]' is server-3, and there is one server, server-0", "")]
    [InlineData("{ kind: disk-full, target: worker-0, step: 1, duration: 1 }", "'faults[0].target' is worker-0, which this 'disk-full' can't hit; expected coordinator, which writes the checkpoints", "")]
    [InlineData("{ kind: nan, target: random-server, step: 1 }", "'faults[0].target' is random-server, which this 'nan' can't hit; expected a worker, or random-worker", "")]
    [InlineData("kill", "'faults[0]' lacks the key 'target'", "")]
    public void Complains_about_a_fault(string fault, string message, string hint)
        => ExpectComplaint($"config: c\nfaults:\n  - {fault}\n", 3, message, hint);

    [Theory]
    [InlineData("faults: []", "'faults' has 0 items; expected at least 1")]
    [InlineData("workers: 2", "the configuration lacks the key 'faults'")]
    public void Complains_about_nothing_to_do(string line, string message)
        => Assert.Contains(message, Assert.Throws<ConfigException>(() => Parse($"config: c\n{line}\n")).Message, StringComparison.Ordinal);

    [Fact]
    public void The_files_name_is_the_scenarios()
    {
        string path = Path.Combine(Repository.Root, "configs", "experiments", "kill-worker.yaml");
        Assert.Equal("kill-worker", Scenario.Load(path).Value.Name);
        Assert.Equal(5, Scenario.Load(path, [ConfigAssignment.Parse("faults.0.step=5")]).Value.Faults[0].Step);
        Assert.Contains("did you mean", Assert.Throws<ConfigException>(() => Scenario.Load(path.Replace("kill-worker", "kil-worker", StringComparison.Ordinal))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("coordinator")]
    [InlineData("worker-0")]
    [InlineData("server-12")]
    public void Names_are_read_as_they_are_written(string name) => Assert.Equal(name, NodeName.TryParse(name)!.Value.ToString());

    [Theory]
    [InlineData("worker")]
    [InlineData("worker-")]
    [InlineData("worker--1")]
    [InlineData("Worker-1")]
    [InlineData("random")]
    [InlineData(null)]
    public void Other_texts_are_no_names(string? text) => Assert.Null(NodeName.TryParse(text));

    private static Scenario Parse(string yaml) => ConfigLoader.Parse<Scenario>(yaml, "scenario.yaml").Value;

    private static void ExpectComplaint(string yaml, int line, string message, string hint)
    {
        ConfigException error = Assert.Throws<ConfigException>(() => Parse(yaml));
        Assert.Contains(error.Problems, p => p.Message.Contains(message, StringComparison.Ordinal) && (p.Hint ?? "").Contains(hint, StringComparison.Ordinal));
        Assert.Contains($"scenario.yaml:{line}:", error.Message, StringComparison.Ordinal);
    }
}
