using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance.Jobs;

/// <summary>A config with settings, and the runs of it.</summary>
/// <param name="name">Names its folders.</param>
/// <param name="config">The path of the config.</param>
/// <param name="settings">What is set beside it, as arguments.</param>
internal sealed class Job(string name, string config, params string[] settings)
{
    private Task<FinishedRun>? _undisturbed;

    /// <summary>configs/tiny.yaml: every promise at work in a second.</summary>
    public static Job Tiny { get; } = new("tiny", Repository.Config("tiny.yaml"));

    /// <summary>The same for longer and with many checkpoints, so that it can be hit in the middle.</summary>
    public static Job Enduring { get; } = new("enduring", Repository.Config("tiny.yaml"), "--set", "stop.epochs=30", "--set", "checkpoint.every=15", "--set", "evaluate.every=100");

    /// <summary>Long enough that a cluster of processes can be hit in the middle.</summary>
    public static Job Clustered { get; } = new("clustered", Repository.Config("tiny.yaml"), "--set", "stop.epochs=9", "--set", "checkpoint.every=40", "--set", "evaluate.every=100");

    /// <summary>Longer than a lease.</summary>
    public static Job ClusteredForLong { get; } = new("clustered-long", Repository.Config("tiny.yaml"), "--set", "stop.epochs=45", "--set", "checkpoint.every=200", "--set", "evaluate.every=400");

    /// <summary>So long that a worker which was taken out for its silence is back before the end.</summary>
    public static Job ClusteredForLonger { get; } = new("clustered-longer", Repository.Config("tiny.yaml"), "--set", "stop.epochs=90", "--set", "checkpoint.every=200", "--set", "evaluate.every=400");

    /// <summary>So long that an engine which takes seconds to notice a loss, and to let a new node in, does both before its end.</summary>
    public static Job ClusteredForVeryLong { get; } = new("clustered-very-long", Repository.Config("tiny.yaml"), "--set", "stop.epochs=250", "--set", "checkpoint.every=1000", "--set", "evaluate.every=2000");

    /// <summary>The quickstart's model on less text: an LSTM that reads its embedding through the projected table.</summary>
    public static Job Quickstart { get; } = new("quickstart", Repository.Config("quickstart.yaml"), "--set", "data.characters=40000", "--steps", "6");

    /// <summary>The same with a frozen layer in the middle and a frozen table below.</summary>
    public static Job Frozen { get; } = new("frozen", Repository.Config("tiny.yaml"), "--set", "model.freeze=[embedding, lstm.*_l1]");

    /// <summary>Sequences of different lengths from buckets, read in both directions, with all that a recurrent layer can be asked for.</summary>
    public static Job BothWays { get; } = new(
        "both-ways",
        Repository.Config("copy.yaml"),
        "--set", "data.delay=12", "--set", "data.minimumDelay=2", "--set", "data.length=3", "--set", "data.examples=2000", "--set", "data.validation=0.05", "--set", "batch.size=7", "--set", "batch.shards=4",
        "--set", "model.layers=[{type: embedding, units: 9}, {type: lstm, units: 21, layers: 2, bidirectional: true, peepholes: true, dropout: 0.2, variational: true, recurrentDropout: 0.2, learnedInitialState: true}, {type: gru, units: 42, residual: true, recurrentDropout: 0.1}, dense]",
        "--steps", "12");

    /// <summary>From one sequence to another, with both kinds of attention and scheduled sampling.</summary>
    public static Job Pairs { get; } = new(
        "pairs",
        Repository.Config("translation.yaml"),
        "--set", "data.examples=300", "--set", "batch.size=6", "--set", "batch.shards=4", "--set", "generate.maximumLength=8",
        "--set", "model.encoder=[{type: embedding, units: 9}, {type: lstm, units: 9, bidirectional: true}]",
        "--set", "model.decoder=[{type: embedding, units: 9}, {type: gru, units: 10}, {type: cross-attention, score: additive}, {type: transformer, layers: 1, heads: 2, units: 20, dropout: 0.1}, dense]",
        "--set", "model.teacherForcing={ratio: 0.7}", "--steps", "6");

    /// <summary>The config's path.</summary>
    public string Config => config;

    /// <summary>A run with one worker and one server that nothing happened to; made once, shared by all tests.</summary>
    public Task<FinishedRun> UndisturbedAsync()
    {
        lock (this)
        {
            return _undisturbed ??= TrainAsync("--workers", "1", "--servers", "1");
        }
    }

    /// <summary>The arguments that train it into <paramref name="folder"/>.</summary>
    public string[] Arguments(string folder, params string[] more) => ["train", config, .. settings, "--out", folder, .. more];

    /// <summary>The arguments of a coordinator that trains it into <paramref name="folder"/>, or goes on there.</summary>
    public string[] CoordinatorArguments(string folder, params string[] more) => ["coordinator", config, .. settings, "--out", folder, "--resume", .. more];

    /// <summary>The arguments that go on with the run in <paramref name="folder"/>.</summary>
    public string[] ResumeArguments(string folder, params string[] more) => ["train", config, .. settings, "--resume", folder, .. more];

    /// <summary>Trains it, to its end.</summary>
    public Task<FinishedRun> TrainAsync(params string[] more) => TrainAsync(null, more);

    /// <summary>Trains it, to its end, in an environment.</summary>
    public async Task<FinishedRun> TrainAsync(IReadOnlyDictionary<string, string>? environment, params string[] more)
    {
        string folder = TemporaryFolders.NewRun(name);
        Outcome outcome = (await ProgramUnderTest.RunAsync(Arguments(folder, more), environment)).Expect(0);
        return new FinishedRun(folder, outcome.Elapsed);
    }

    /// <summary>Goes on with a run, to its end.</summary>
    public async Task<(FinishedRun Run, Outcome Outcome)> ResumeAsync(string folder, params string[] more)
    {
        Outcome outcome = (await ProgramUnderTest.RunAsync(ResumeArguments(folder, more))).Expect(0);
        return (new FinishedRun(folder, outcome.Elapsed), outcome);
    }
}
