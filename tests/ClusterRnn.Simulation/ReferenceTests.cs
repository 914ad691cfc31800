// The oracle itself: a run without a cluster comes to what the product's own engine comes to.
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;

namespace ClusterRnn.Simulation;

public class ReferenceTests
{
    [Fact]
    public async Task The_reference_is_what_one_process_computes()
    {
        foreach (SimulatedJob job in TinyJobs.All.Where(job => job.Calculations.Poison is null))
        {
            using RunResult result = await InProcessEngine.RunAsync(
                job.Job, new EngineOptions { Workers = 2, Servers = 2 }, cancellation: TestContext.Current.CancellationToken);
            Assert.Equal(result.StateSha256, job.Reference.StateSha256);
            Assert.Equal(result.Version, job.Reference.Steps);
        }

        Assert.Equal(TinyJobs.All.Count, TinyJobs.All.Select(job => job.Reference.StateSha256).Distinct().Count());
    }

    [Fact]
    public void Every_promise_is_at_work_in_the_job_that_most_seeds_train()
    {
        TrainingJob job = TinyJobs.Whole.Job;
        Assert.True(job.CarriesState && job.Settings.Accumulate > 1 && job.Settings.Clip.Norm is not null);
        Assert.True(job.Train.MaximumTime > job.Train.MaximumTargetTime); // the gradient reaches further back than an update
        Assert.Contains(0, Enumerable.Range(0, job.Shards).Select(job.RowsOf)); // a shard without rows
        Assert.Equal(3, TinyJobs.Whole.Cut.Ranges.Length);
        Assert.True(TinyJobs.Whole.Reference.Steps > job.Train.StepsPerPass); // a pass ends within
        Assert.Equal(1, TinyJobs.Skipping.Reference.SkippedSteps);
        Assert.Equal(1, TinyJobs.Returning.Reference.PolicyRollbacks);
        Assert.Contains("not finite", TinyJobs.Stopping.Reference.Failure, StringComparison.Ordinal);
        Assert.Contains(TinyJobs.WithoutState.Cut.Ranges, range => range.BlockCount == 0);
    }

    [Fact]
    public void Other_inputs_give_another_answer()
    {
        SimulatedJob job = TinyJobs.Whole;
        var calculations = new Calculations(job.Job);
        ParameterSet right = Parameters(job, 0), wrong = Parameters(job, 1);
        var state = new Block(job.Job.StateFloats(2));
        Array.Clear(state.Values);
        ShardAnswer answer = calculations.Train(right, 0, 2, state), again = calculations.Train(right, 0, 2, state);
        Assert.Same(answer, again);
        ShardAnswer other = calculations.Train(wrong, 0, 2, state);
        Assert.NotEqual(answer.Gradient.Digest, other.Gradient.Digest);
        ShardAnswer[] both = [calculations.Train(right, 0, 1, state), answer];
        SubtreeAnswer sum = calculations.Sum(new ShardRange(1, 3), both);
        Assert.NotEqual(sum.Gradient.Digest, answer.Gradient.Digest);
    }

    [Fact]
    public void What_was_computed_before_changes_nothing()
    {
        SimulatedJob job = TinyJobs.Whole;
        Calculations fresh = new(job.Job), used = new(job.Job);
        ParameterSet right = Parameters(job, 0), wrong = Parameters(job, 1);
        var state = new Block(job.Job.StateFloats(0));
        Array.Clear(state.Values);
        for (int shard = job.Job.Shards - 1; shard >= 0; shard--)
        {
            used.Train(wrong, 0, shard, state);
        }

        for (int shard = 0; shard < job.Job.Shards; shard++)
        {
            ShardAnswer first = fresh.Train(right, 0, shard, state), later = used.Train(right, 0, shard, state);
            Assert.Equal(first.Gradient.Digest, later.Gradient.Digest);
            Assert.Equal(first.NextState.Digest, later.NextState.Digest);
            Assert.Equal(first.Report.Sums, later.Report.Sums);
        }
    }

    private static ParameterSet Parameters(SimulatedJob job, int change)
    {
        var ranges = new Block[job.Cut.Ranges.Length];
        for (int range = 0; range < ranges.Length; range++)
        {
            ranges[range] = new Block(job.BlocksOf(range).Floats);
            job.StartContent(range).Values.AsSpan(0, ranges[range].Values.Length).CopyTo(ranges[range].Values);
        }

        foreach (Block range in ranges)
        {
            for (int i = 0; i < range.Values.Length; i++)
            {
                range.Values[i] *= 1 + change;
            }
        }

        return new ParameterSet(ranges);
    }
}
