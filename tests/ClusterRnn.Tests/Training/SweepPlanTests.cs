// What a sweep tries and who goes on: decided by the file alone.
using System.Globalization;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Sweeps;

namespace ClusterRnn.Tests.Training;

public sealed class SweepPlanTests
{
    private static SweepConfig Read(string search, string keys, string more = "")
        => ConfigLoader.Parse<SweepConfig>($"config: job.yaml\nkeys: {keys}\nsearch: {search}\n{more}", "sweep.yaml").Value;

    [Fact]
    public void A_grid_is_every_combination_the_last_key_fastest()
    {
        SweepPlan plan = SweepPlan.Of(Read("grid", "{ b.x: { values: [1, 2] }, a.y: { values: [p, q, r] } }"));
        Assert.Equal(
            ["a.y=p  b.x=1", "a.y=p  b.x=2", "a.y=q  b.x=1", "a.y=q  b.x=2", "a.y=r  b.x=1", "a.y=r  b.x=2"],
            plan.Trials.Select(t => t.ToString()));
        Assert.Equal(Enumerable.Range(1, 6), plan.Trials.Select(t => t.Number));
        Assert.Equal([new Rung(1, 6, 1)], plan.Rungs);
    }

    [Fact]
    public void Draws_lie_within_their_bounds_and_spread_as_their_scale_says()
    {
        const int Trials = 4000;
        SweepPlan plan = SweepPlan.Of(Read(
            $"{{ method: random, trials: {Trials} }}",
            "{ rate: { minimum: 0.001, maximum: 0.1, scale: logarithmic }, share: { minimum: 0.2, maximum: 0.6 }, units: { minimum: 3, maximum: 6, whole: true }, kind: { values: [a, b] } }"));
        double[] rates = Numbers("rate"), shares = Numbers("share"), units = Numbers("units");
        Assert.All(rates, rate => Assert.InRange(rate, 0.001, 0.1));
        Assert.All(shares, share => Assert.InRange(share, 0.2, 0.6));
        Assert.InRange(rates.Count(rate => rate < 0.01) / (double)Trials, 0.47, 0.53); // half of the logarithm
        Assert.InRange(shares.Count(share => share < 0.3) / (double)Trials, 0.22, 0.28);
        foreach (double unit in new double[] { 3, 4, 5, 6 })
        {
            Assert.InRange(units.Count(u => u == unit) / (double)Trials, 0.22, 0.28);
        }

        Assert.InRange(plan.Trials.Count(t => t.Values.Contains(("kind", "a"))) / (double)Trials, 0.47, 0.53);

        double[] Numbers(string key) => [.. plan.Trials.Select(t => double.Parse(t.Values.Single(v => v.Key == key).Value, CultureInfo.InvariantCulture))];
    }

    [Fact]
    public void A_trial_is_the_same_however_many_there_are_and_another_with_another_seed()
    {
        const string Keys = "{ rate: { minimum: 0.001, maximum: 0.1, scale: logarithmic } }";
        SweepPlan few = SweepPlan.Of(Read("{ method: random, trials: 3 }", Keys)), many = SweepPlan.Of(Read("{ method: halving, trials: 30 }", Keys));
        Assert.Equal(few.Trials.Select(t => t.ToString()), many.Trials.Take(3).Select(t => t.ToString()));
        Assert.NotEqual(few.Trials[0].ToString(), SweepPlan.Of(Read("{ method: random, trials: 3 }", Keys, "seed: 2")).Trials[0].ToString());
    }

    [Theory]
    [InlineData(9, 3, new[] { 9, 3, 1 }, new long[] { 12, 34, 100 })]
    [InlineData(10, 3, new[] { 10, 4, 2, 1 }, new long[] { 4, 12, 34, 100 })]
    [InlineData(2, 2, new[] { 2, 1 }, new long[] { 50, 100 })]
    [InlineData(2, 100, new[] { 2, 1 }, new long[] { 1, 100 })]
    public void Halving_drops_all_but_one_of_so_many_and_trains_so_many_times_longer(int trials, int factor, int[] left, long[] steps)
    {
        SweepPlan plan = SweepPlan.Of(Read($"{{ method: halving, trials: {trials}, factor: {factor} }}", "{ a: { values: [1] } }"));
        Assert.Equal(left, plan.Rungs.Select(r => r.Trials));
        Assert.Equal(steps, plan.Rungs.Select(r => r.StepsOf(100)));
    }

    [Fact]
    public void The_best_go_on_ties_by_trial_number_and_failures_last()
    {
        (int, double)[] scores = [(5, 1.0), (2, double.NaN), (4, 0.5), (3, 1.0), (1, double.PositiveInfinity)];
        Assert.Equal([4, 3, 5, 1, 2], SweepPlan.Best(scores, SweepGoal.Minimum, 9));
        Assert.Equal([3, 5], SweepPlan.Best(scores, SweepGoal.Maximum, 2));
        Assert.Equal([4, 3], SweepPlan.Best(scores.Reverse(), SweepGoal.Minimum, 2)); // whoever reports first
    }

    [Theory]
    [InlineData("{ a: {} }", "expected one of the two")]
    [InlineData("{ a: { values: [1], minimum: 2 } }", "expected one of the two")]
    [InlineData("{ a: { minimum: 2, maximum: 1 } }", "expected a 'minimum' below the 'maximum'")]
    [InlineData("{ a: { minimum: 2 } }", "expected a 'minimum' below the 'maximum'")]
    [InlineData("{ a: { minimum: 0, maximum: 1, scale: logarithmic } }", "needs bounds above 0")]
    [InlineData("{ a: { value: [1] } }", "values")]
    public void What_a_key_varies_over_is_checked(string keys, string complaint)
    {
        ConfigException error = Assert.Throws<ConfigException>(() => Read("{ method: random }", keys));
        Assert.Contains(complaint, error.Message, StringComparison.Ordinal);
    }
}
