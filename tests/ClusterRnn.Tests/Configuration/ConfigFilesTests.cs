// Every file under configs/ loads, fits its data, and trains a few steps, without network and without files of the user's.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Tests.Tidy;
using ClusterRnn.Tests.Training;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Configuration;

public class ConfigFilesTests
{
    // Scenarios and sweeps are no jobs; their own tests have them.
    public static TheoryData<string> Files { get; } =
    [
        .. SourceText.Files.Where(f => f.StartsWith("configs/", StringComparison.Ordinal) && f.EndsWith(".yaml", StringComparison.Ordinal)
            && !f.StartsWith("configs/experiments/", StringComparison.Ordinal) && !f.StartsWith("configs/sweeps/", StringComparison.Ordinal)),
    ];

    private static ResolvedJob Open(string file, params string[] set) =>
        ResolvedJob.Open(JobConfig.Load(Path.Combine(Repository.Root, file), set.Select(ConfigAssignment.Parse)).Value, Repository.Root);

    [Theory]
    [MemberData(nameof(Files))]
    public void Trains(string file)
    {
        ResolvedJob job = Open(file);
        Assert.True(job.Job.Settings.MaximumSteps < long.MaxValue, "a ready config ends by itself");
        using var trainer = new SmallTrainer(job.Job);
        trainer.Run(2);
        Assert.Equal(2, trainer.Policy.Version);
        Assert.True(double.IsFinite(trainer.Policy.TrainLoss));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Comes_back_from_what_it_prints_resolved(string file)
    {
        JobConfig job = JobConfig.Load(Path.Combine(Repository.Root, file)).Value;
        Assert.Equal(ConfigLoader.ToJson(job), ConfigLoader.ToJson(ConfigLoader.Parse<JobConfig>(ConfigLoader.ToYaml(job), "resolved").Value));
        Assert.Equal(ConfigLoader.ToJson(job), ConfigLoader.ToJson(ConfigLoader.FromJson<JobConfig>(ConfigLoader.ToJson(job), "json")));
    }

    // tiny.yaml is what hashes are compared on, so everything that could break one answer must be at work in it.
    [Fact]
    public void Tiny_has_every_promise_at_work()
    {
        ResolvedJob resolved = Open("configs/tiny.yaml");
        TrainingJob job = resolved.Job;
        Assert.True(job.CarriesState);
        Assert.True(resolved.Config.Batch.LookBack > resolved.Config.Batch.Span);
        Assert.Contains(0, Enumerable.Range(0, job.Shards).Select(job.RowsOf));

        // Rows of unequal length, so that in the last span some shards have no target left while others have.
        var source = (TokenStreamSource)job.Train;
        StepPlan last = source.Plan(source.StepsPerPass - 1);
        using var batch = new SpanBatch(source.MaximumTime, source.BatchRows, source.FeatureWidth, source.TargetWidth);
        source.Fill(last, 0, source.BatchRows, batch);
        long[] targets = new long[job.Shards];
        for (int shard = 0; shard < job.Shards; shard++)
        {
            (int first, int count) = Dealing.RowsOf(shard, job.Shards, source.BatchRows);
            for (int row = first; row < first + count; row++)
            {
                for (int time = 0; time < last.TargetTime; time++)
                {
                    unsafe
                    {
                        targets[shard] += batch.TargetTokens[(time * source.BatchRows) + row] >= 0 ? 1 : 0;
                    }
                }
            }
        }

        Assert.True(Enumerable.Range(0, job.Shards).Count(s => job.RowsOf(s) > 0 && targets[s] == 0) > 0);
        Assert.True(targets.Count(t => t > 0) > 0);
    }

    // A promise that is not at work could be broken unseen: each of these, switched off, must change the model.
    [Theory]
    [InlineData("seed=2")]
    [InlineData("clip.norm=1000")]
    [InlineData("model.layers.1.dropout=0")]
    [InlineData("model.layers.2.rate=0")]
    [InlineData("model.layers.1.layers=1")]
    [InlineData("batch.lookBack=8")]
    [InlineData("batch.carryState=false")]
    [InlineData("batch.shards=2")]
    [InlineData("regularization.l1=0")]
    [InlineData("regularization.l2=0")]
    [InlineData("accumulate=1")]
    [InlineData("schedule.factor=1")]
    [InlineData("schedule.warmup.steps=0")]
    public void In_tiny_each_switch_changes_the_model(string set)
    {
        Assert.NotEqual(Tiny.Value, HashOfTiny(set));
    }

    [Fact]
    public void Tiny_gives_the_same_model_again() => Assert.Equal(Tiny.Value, HashOfTiny());

    // Where and in what memory it runs is not part of the answer.
    [Theory]
    [InlineData(0, "cluster.recompute=true")]
    [InlineData(7, "cluster.recompute=true", "cluster.recomputeEvery=7")]
    public void Recomputing_does_not_change_tiny(int every, params string[] set)
    {
        TrainingJob job = Open("configs/tiny.yaml", set).Job;
        Assert.Equal(every == 0 ? 5 : every, job.RecomputeEvery); // of windows of 20: the square root, rounded up
        Assert.Equal(Tiny.Value, HashOfTiny(set));
    }

    [Fact]
    public void How_often_without_recomputing_is_an_error() =>
        Assert.Contains("recompute is off", Assert.Throws<ConfigException>(() => Open("configs/tiny.yaml", "cluster.recomputeEvery=7")).Message, StringComparison.Ordinal);

    private static readonly Lazy<string> Tiny = new(() => HashOfTiny());

    private static string HashOfTiny(params string[] set)
    {
        using var trainer = new SmallTrainer(Open("configs/tiny.yaml", set).Job);
        while (trainer.Policy.StopReason == ClusterRnn.Training.Policy.StopReason.None)
        {
            trainer.Step();
        }

        Assert.InRange(trainer.Policy.Version, 30, 1000);
        using var state = trainer.State();
        return state.ModelSha256();
    }

    // Whatever is done to a file, the loader answers with its one exception or a record.
    [Fact]
    public void No_edit_of_a_config_escapes_as_another_error()
    {
        string text = SourceText.Read("configs/tiny.yaml");
        string[] pieces = ["", " ", "\n", ":", "- ", "[", "]", "{", "}", "\"", "'", "&a ", "*a", "!!int ", "|", ">", "#", "\t", "null", "~", "-1", "1e400", "true", "日本", "\0", "%", "? ", "<<: ", "---\n", "...\n", ","];
        Gen<(int At, int Length, string Piece)> edit =
            from at in Gen.Choose(0, text.Length - 1)
            from length in Gen.Choose(0, 12)
            from piece in Gen.Elements(pieces)
            select (at, length, piece);
        Prop.ForAll(
            Gen.ArrayOf(edit, 2).ToArbitrary(),
            edits =>
            {
                string edited = text;
                foreach ((int at, int length, string piece) in edits)
                {
                    int from = Math.Min(at, edited.Length), to = Math.Min(from + length, edited.Length);
                    edited = edited[..from] + piece + edited[to..];
                }

                try
                {
                    ConfigLoader.Parse<JobConfig>(edited, "edited.yaml");
                }
                catch (ConfigException error)
                {
                    return error.Message.Length > 0;
                }

                return true;
            }).Check(Config.QuickThrowOnFailure.WithMaxTest(2000));
    }
}
