using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using ClusterRnn.Training;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Runs;

public sealed class RunFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static StepReport Step(long step, double loss) => new(step, step / 10.0, loss, 1e-3, 0.5, 64, TimeSpan.FromSeconds(step));

    private static EvaluationReport Evaluation(long step, double loss) => new(step, loss, new Dictionary<string, double> { ["accuracy"] = 0.5 }, true, TimeSpan.FromSeconds(step));

    [Fact]
    public void Numbers_run_folders_and_finds_the_newest()
    {
        Assert.Equal("job-1", Path.GetFileName(RunFolder.CreateNumbered(_folder, "job").Path));
        Assert.Equal("job-2", Path.GetFileName(RunFolder.CreateNumbered(_folder, "job").Path));
        for (int i = 3; i <= 11; i++)
        {
            RunFolder.CreateNumbered(_folder, "job");
        }

        Assert.Equal("a-b-1", Path.GetFileName(RunFolder.CreateNumbered(_folder, "a/b").Path));
        Assert.Equal("job-11", Path.GetFileName(RunFolder.Newest(_folder, "job")!.Path));
        Assert.Null(RunFolder.Newest(_folder, "other"));
        Assert.Null(RunFolder.Newest(Path.Combine(_folder, "nowhere"), null));
    }

    [Fact]
    public void Two_runs_started_at_once_get_two_folders()
    {
        string[] paths = new string[16];
        Parallel.For(0, paths.Length, i => paths[i] = RunFolder.CreateNumbered(_folder, "job").Path);
        Assert.Equal(paths.Length, paths.Distinct().Count());
    }

    [Fact]
    public void A_named_folder_that_holds_something_is_refused()
    {
        string path = Path.Combine(_folder, "mine");
        RunFolder.CreateNamed(path);
        RunFolder.CreateNamed(path);
        File.WriteAllText(Path.Combine(path, "x"), "");
        Assert.Contains("--resume", Assert.Throws<TrainingException>(() => RunFolder.CreateNamed(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Metrics_come_back_and_are_cut_back_on_resume()
    {
        string path = Path.Combine(_folder, "metrics.jsonl");
        using (var log = new MetricsLog(path, 0))
        {
            log.OnStep(Step(1, 3.5));
            log.OnStep(Step(2, double.NaN));
            log.OnEvaluation(Evaluation(2, 2.25));
            log.OnStep(Step(3, 1.5));
        }

        File.AppendAllText(path, "{\"step\":4,\"lo");
        RunHistory history = MetricsLog.Read(path);
        Assert.Equal([1L, 2, 3], history.Steps.Select(s => s.Step));
        Assert.Equal(Step(1, 3.5), history.Steps[0]);
        Assert.True(double.IsNaN(history.Steps[1].Loss));
        Assert.Equal(2.25, Assert.Single(history.Evaluations).Loss);
        Assert.Equal(0.5, history.Evaluations[0].Metrics["accuracy"]);

        using (var log = new MetricsLog(path, 2))
        {
            log.OnStep(Step(3, 1.25));
        }

        history = MetricsLog.Read(path);
        Assert.Equal([1L, 2, 3], history.Steps.Select(s => s.Step));
        Assert.Equal(1.25, history.Steps[2].Loss);
        Assert.Equal(4, File.ReadLines(path).Count());
    }

    [Fact]
    public void The_summary_comes_back_and_turns_what_is_not_finite_into_null()
    {
        string path = Path.Combine(_folder, "summary.json");
        var summary = new RunSummary
        {
            Name = "日本",
            Ended = "steps",
            ModelSha256 = "a",
            StateSha256 = "b",
            DataSha256 = "c",
            Steps = 7,
            Epochs = 1.5,
            FinalTrainLoss = double.NaN,
            FinalValidationLoss = 1.25,
            TokensPerSecond = 1000.04,
            WallSeconds = 2,
            Engine = "in-process",
            Workers = 2,
            Servers = 1,
            Shards = 8,
            Parameters = 100,
            Seed = 3,
            RecomputedShards = 0,
            ResumedFromStep = 0,
            Figures = new Dictionary<string, double> { ["sumsRight"] = 0.5, ["bad"] = double.PositiveInfinity },
        };
        summary.Write(path);
        RunSummary again = RunSummary.Read(path);
        Assert.Null(again.FinalTrainLoss);
        Assert.Equal((1.25, 1000.0, 0.5, 1, "日本"), (again.FinalValidationLoss, again.TokensPerSecond, again.Figures["sumsRight"], again.Figures.Count, again.Name));
        string text = File.ReadAllText(path);
        Assert.All(
            ["modelSha256", "stateSha256", "dataSha256", "steps", "epochs", "finalTrainLoss", "finalValidationLoss", "tokensPerSecond", "wallSeconds", "engine", "workers", "servers", "shards", "recomputedShards", "resumedFromStep"],
            key => Assert.Contains($"\"{key}\":", text, StringComparison.Ordinal));
        File.WriteAllText(path, "{");
        Assert.Contains("expected a run's summary", Assert.Throws<TrainingException>(() => RunSummary.Read(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_checksum_is_crc32c_masked()
    {
        // RFC 3720's check value of "123456789" is e3069283.
        uint expected = BitOperations.RotateRight(0xe3069283u, 15) + 0xa282ead8;
        Assert.Equal(expected, TensorBoardLog.MaskedChecksum("123456789"u8));
    }

    [Fact]
    public void The_event_file_holds_sealed_records_with_the_scalars()
    {
        using (var log = new TensorBoardLog(_folder, 0, TimeProvider.System))
        {
            log.OnStep(Step(300, 3.5));
            log.OnEvaluation(Evaluation(300, 2.5));
        }

        string path = Assert.Single(Directory.GetFiles(_folder, "events.out.tfevents.*"));
        byte[] bytes = File.ReadAllBytes(path);
        var payloads = new List<byte[]>();
        for (int at = 0; at < bytes.Length;)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at));
            Assert.Equal(TensorBoardLog.MaskedChecksum(bytes.AsSpan(at, 8)), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 8)));
            byte[] payload = bytes[(at + 12)..(at + 12 + length)];
            Assert.Equal(TensorBoardLog.MaskedChecksum(payload), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 12 + length)));
            payloads.Add(payload);
            at += 16 + length;
        }

        Assert.Contains("brain.Event:2", Encoding.ASCII.GetString(payloads[0]), StringComparison.Ordinal);
        byte[] loss = payloads.Single(p => Encoding.ASCII.GetString(p).Contains("loss/train", StringComparison.Ordinal));
        // step: field 2, varint 300; simple_value: field 2 of the value, fixed32.
        Assert.Equal([0x10, 0xAC, 0x02], loss[9..12]);
        Assert.Equal(3.5f, BinaryPrimitives.ReadSingleLittleEndian(loss.AsSpan(loss.Length - 4)));
        Assert.Contains(payloads, p => Encoding.ASCII.GetString(p).Contains("loss/validation", StringComparison.Ordinal));
    }
}
