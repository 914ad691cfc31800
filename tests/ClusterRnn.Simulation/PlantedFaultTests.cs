// Checkers that could not fail are none: each test takes a piece of the real state machines or hosts away, and a checker must
// notice it within a stated number of seeds.
using ClusterRnn.Engines.Simulator;
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Protocol;

namespace ClusterRnn.Simulation;

public class PlantedFaultTests
{
    private const int AtOnce = 24;

    [Theory]
    [InlineData(nameof(PlantedFault.NoEpochFence), 600)]
    [InlineData(nameof(PlantedFault.TwoCoordinatorsAccepted), 600)]
    [InlineData(nameof(PlantedFault.ContainedSubtreeSummed), 600)]
    [InlineData(nameof(PlantedFault.LeaseTrusted), 600)]
    [InlineData(nameof(PlantedFault.JournalNotFlushedAtClaim), 24)]
    [InlineData(nameof(PlantedFault.PredecessorNotFlushed), 600)]
    [InlineData(nameof(PlantedFault.StateNotCommitted), 24)]
    [InlineData(nameof(PlantedFault.VerdictSentBeforeWritten), 24)]
    [InlineData(nameof(PlantedFault.ReplicaNotWaitedFor), 24)]
    [InlineData(nameof(PlantedFault.LateGradientAccepted), 600)]
    [InlineData(nameof(PlantedFault.VerdictAppliedTwice), 96)]
    [InlineData(nameof(PlantedFault.PromotionKeepsFence), 600)]
    [InlineData(nameof(PlantedFault.RollbackKeepsEpoch), 96)]
    [InlineData(nameof(PlantedFault.CheckpointAcknowledgedBeforeWritten), 24)]
    [InlineData(nameof(PlantedFault.FirstAnswerWins), 600)]
    [InlineData(nameof(PlantedFault.PoisonCountedAsFinite), 96)]
    [InlineData(nameof(PlantedFault.UnvouchedPieceCounted), 600)]
    [InlineData(nameof(PlantedFault.OvertakenGoesOn), 600)]
    [InlineData(nameof(PlantedFault.OvertakenEndsTheJob), 600)]
    public void A_missing_piece_is_found(string name, int withinSeeds)
    {
        PlantedFault planted = Enum.Parse<PlantedFault>(name);
        for (int first = 0; first < withinSeeds; first += AtOnce)
        {
            SeedReport report = SeedRuns.RunMany(first, Math.Min(withinSeeds, first + AtOnce), 2, planted, null, TestContext.Current.CancellationToken);
            if (report.Failures.Count > 0)
            {
                SeedVerdict found = report.Failures[0];
                TestContext.Current.TestOutputHelper?.WriteLine($"{name}: seed {found.Seed}, {found.Checker}: {found.Text.Split('\n')[0]}");
                return;
            }
        }

        Assert.Fail($"{name} was not found in {withinSeeds} seeds.");
    }

    [Fact]
    public void Every_planted_fault_has_its_test()
    {
        string[] tested = [.. typeof(PlantedFaultTests).GetMethod(nameof(A_missing_piece_is_found))!.GetCustomAttributes(typeof(InlineDataAttribute), false)
            .Select(data => (string)((InlineDataAttribute)data).Data[0]!)];
        Assert.Equal(Enum.GetNames<PlantedFault>().Where(name => name != nameof(PlantedFault.None)).Order(), tested.Order());
    }

    [Fact]
    public void A_schedule_is_cut_down_to_what_is_needed()
    {
        const PlantedFault Planted = PlantedFault.PromotionKeepsFence;
        SeedVerdict failed = SeedRuns.RunMany(0, 300, 2, Planted, null, TestContext.Current.CancellationToken).Failures.First(failure => failure.Faults.Count > 4);
        SeedVerdict smallest = SeedRuns.Shrink(SeededPlans.Of(failed.Seed) with { Planted = Planted }, failed, 100);
        Assert.Equal(failed.Checker, smallest.Checker);
        Assert.True(smallest.Faults.Count < failed.Faults.Count, SeedRuns.Describe(smallest));
        Assert.Contains($"simulate --seed {failed.Seed} --only ", smallest.Command, StringComparison.Ordinal);
        Assert.Contains($"seed {failed.Seed} fails at commit", SeedRuns.Describe(smallest), StringComparison.Ordinal);
    }
}
