// The first promise: one answer. The model and everything that moves with it are the same bits for any number of workers
// and servers and on any instruction set; another seed gives others.
using System.Runtime.Intrinsics.X86;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;
using ClusterRnn.Tests.Node;

namespace ClusterRnn.Conformance;

public sealed class OneAnswerTests
{
    /// <summary>
    /// The modelSha256 of configs/tiny.yaml on every machine. A change that is meant to change the arithmetic changes it
    /// here; the new one is what this prints:
    ///     ./clusterrnn train configs/tiny.yaml --quiet --out "$(mktemp -d)" | grep modelSha256
    /// </summary>
    public const string GoldenTiny = "501ae267e4a941d32f6d4176b79949401b342eb18aaade6e2b7ce7f668ce4014";

    [Fact]
    public async Task TinyIsTheGoldenOne()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        Assert.Equal(GoldenTiny, run.ModelSha256);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 3)]
    [InlineData(8, 1)] // more workers than shards
    [InlineData(1, 40)] // more servers than blocks
    public async Task WorkersAndServersChangeNoBit(int workers, int servers)
    {
        Task<FinishedRun> training = Job.Tiny.TrainAsync("--workers", $"{workers}", "--servers", $"{servers}");
        await ExpectTheSame(Job.Tiny, training);
        Assert.Equal(workers, (await training).Number("workers"));
        Assert.Equal(servers, (await training).Number("servers"));
    }

    [Fact]
    public async Task TheWholeMatrixOfWorkersAndServers()
    {
        LongTests.SkipUnlessOn();
        await Task.WhenAll(
            from workers in new[] { 1, 2, 3, 5, 8 }
            from servers in new[] { 1, 2, 3 }
            select ExpectTheSame(Job.Tiny, "--workers", $"{workers}", "--servers", $"{servers}"));
    }

    /// <summary>Activations computed again from a few states, by workers with little memory.</summary>
    [Theory]
    [InlineData("1", "4")]
    [InlineData("3", "7")]
    public Task RecomputingChangesNoBit(string workers, string every) =>
        ExpectTheSame(Job.Tiny, "--workers", workers, "--memory", "8MB", "--set", "cluster.recompute=true", "--set", $"cluster.recomputeEvery={every}");

    /// <summary>What is frozen is neither exchanged nor changed, wherever its blocks lie.</summary>
    [Theory]
    [InlineData("in-process", 3, 2)]
    [InlineData("tcp", 2, 2)]
    public async Task FrozenLayersChangeNoBit(string engine, int workers, int servers)
    {
        await ExpectTheSame(Job.Frozen, "--engine", engine, "--workers", $"{workers}", "--servers", $"{servers}");
        Assert.NotEqual((await Job.Tiny.UndisturbedAsync()).ModelSha256, (await Job.Frozen.UndisturbedAsync()).ModelSha256);
    }

    /// <summary>Two thousand rows computed one group of shards after the other.</summary>
    [Fact]
    public async Task AWorkersMemoryLimitChangesNoBit()
    {
        LongTests.SkipUnlessOn();
        var large = new Job(
            "large", Repository.Config("char-lm.yaml"), "--set", "batch.size=2048", "--set", "data.characters=3000000", "--set", "evaluate.every=2", "--steps", "2", "--workers", "1");
        string[] unlimited = ["--set", "cluster.workerMemory=8GB"], limited = ["--memory", "1GB"];
        FinishedRun reference = await large.TrainAsync(unlimited), run = await large.TrainAsync(limited);
        Assert.Equal(reference.Answer, run.Answer);
        Assert.Equal(reference.Metrics(), run.Metrics());
    }

    [Theory]
    [InlineData("avx2")]
    [InlineData("vector128")]
    [InlineData("scalar")]
    public async Task InstructionSetsChangeNoBitOfSequencesReadBothWays(string set)
    {
        Assert.SkipUnless(set != "avx2" || (Avx2.IsSupported && Fma.IsSupported), "needs AVX2 and FMA");
        await ExpectTheSame(Job.BothWays, Job.BothWays.TrainAsync(new Dictionary<string, string> { ["CLUSTERRNN_INSTRUCTION_SET"] = set }, "--workers", "3"));
    }

    public static TheoryData<string> LayerJobNames => [.. LayerJobs.All.Keys];

    /// <summary>Every kind of layer, of units that fill no vector.</summary>
    [Theory]
    [MemberData(nameof(LayerJobNames))]
    public async Task InstructionSetsChangeNoBitOfAnyLayer(string name)
    {
        string config = Path.Combine(TemporaryFolders.New($"layers-{name}"), "job.yaml");
        await File.WriteAllTextAsync(config, LayerJobs.All[name], TestContext.Current.CancellationToken);
        var job = new Job($"layers-{name}", config);
        await ExpectTheSame(job, job.TrainAsync(new Dictionary<string, string> { ["CLUSTERRNN_INSTRUCTION_SET"] = "scalar" }, "--workers", "2"));
    }

    [Theory]
    [InlineData("DOTNET_EnableAVX512", "0")]
    [InlineData("DOTNET_EnableAVX2", "0")]
    [InlineData("DOTNET_EnableHWIntrinsic", "0")]
    [InlineData("CLUSTERRNN_INSTRUCTION_SET", "avx2")]
    [InlineData("CLUSTERRNN_INSTRUCTION_SET", "vector128")]
    [InlineData("CLUSTERRNN_INSTRUCTION_SET", "scalar")]
    public async Task InstructionSetsChangeNoBit(string variable, string value)
    {
        Assert.SkipUnless(value != "avx2" || (Avx2.IsSupported && Fma.IsSupported), "needs AVX2 and FMA");
        await ExpectTheSame(Job.Tiny, Job.Tiny.TrainAsync(new Dictionary<string, string> { [variable] = value }, "--workers", "2"));
    }

    [Fact]
    public async Task InstructionSetsChangeNoBitOfATransformer()
    {
        var job = new Job(
            "transformer", Repository.Config("char-transformer.yaml"), "--steps", "3", "--set", "data.characters=1500", "--set", "batch.size=3", "--set", "generate.length=20",
            "--set", "model.layers[0].units=20", "--set", "model.layers[2].dropout=0.1", "--set", "model.layers[2].units=40");
        await ExpectTheSame(job, job.TrainAsync(new Dictionary<string, string> { ["CLUSTERRNN_INSTRUCTION_SET"] = "scalar" }, "--workers", "2"));
    }

    /// <summary>An encoder and a decoder that partly reads what it wrote: on other instruction sets, in processes of their own.</summary>
    [Theory]
    [InlineData("scalar", "in-process")]
    [InlineData("avx2", "in-process")]
    [InlineData("vector128", "tcp")]
    public async Task InstructionSetsChangeNoBitOfAnEncoderAndADecoder(string set, string engine)
    {
        Assert.SkipUnless(set != "avx2" || (Avx2.IsSupported && Fma.IsSupported), "needs AVX2 and FMA");
        await ExpectTheSame(Job.Pairs, Job.Pairs.TrainAsync(new Dictionary<string, string> { ["CLUSTERRNN_INSTRUCTION_SET"] = set }, "--workers", "2", "--engine", engine));
    }

    [Fact]
    public async Task InstructionSetsChangeNoBitOfAConvolution()
    {
        var job = new Job("convolution", Repository.Config("digits-convolution.yaml"), "--steps", "3", "--set", "data.examples=200", "--set", "batch.size=6");
        await ExpectTheSame(job, job.TrainAsync(new Dictionary<string, string> { ["CLUSTERRNN_INSTRUCTION_SET"] = "scalar" }, "--workers", "3"));
    }

    [Fact]
    public async Task AnotherSeedGivesAnotherModel()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        FinishedRun other = await Job.Tiny.TrainAsync("--seed", "2");
        Assert.Equal(run.Number("steps"), other.Number("steps"));
        Assert.Equal(run.Text("dataSha256"), other.Text("dataSha256"));
        Assert.NotEqual(run.ModelSha256, other.ModelSha256);
        Assert.NotEqual(run.StateSha256, other.StateSha256);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public Task TheQuickstartsModelIsTheSameForAnyCluster(int workers, int servers) =>
        ExpectTheSame(Job.Quickstart, "--workers", $"{workers}", "--servers", $"{servers}");

    [Fact]
    public Task TheQuickstartsModelIsTheSameWithoutAvx512() =>
        ExpectTheSame(Job.Quickstart, Job.Quickstart.TrainAsync(new Dictionary<string, string> { ["DOTNET_EnableAVX512"] = "0" }, "--workers", "2"));

    private static Task ExpectTheSame(Job job, params string[] arguments) => ExpectTheSame(job, job.TrainAsync(arguments));

    private static async Task ExpectTheSame(Job job, Task<FinishedRun> training)
    {
        FinishedRun reference = await job.UndisturbedAsync();
        FinishedRun run = await training;
        Assert.Equal(reference.Answer, run.Answer);
        Assert.Equal(reference.Metrics(), run.Metrics());
    }
}
