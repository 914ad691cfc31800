// Thousands of seeded runs of the state machines; a failure prints the seed that replays it.
namespace ClusterRnn.Tests.Protocol;

public class RandomScheduleTests
{
    private static readonly int Seeds = Environment.GetEnvironmentVariable("CLUSTERRNN_LONG_TESTS") == "1" ? 100_000 : 2_500;

    [Fact]
    public void Every_seed_ends_with_the_reference()
    {
        var failures = new string?[Seeds];
        var runs = new SortedDictionary<string, long>[Seeds];
        Parallel.For(0, Seeds, new ParallelOptions { MaxDegreeOfParallelism = 2 }, seed =>
        {
            var run = new ProtocolSimulation(SimulationPlan.FromSeed(seed));
            runs[seed] = run.Seen;
            try
            {
                run.Run();
            }
            catch (Exception e)
            {
                failures[seed] = $"seed {seed}: {e}";
            }
        });
        string[] failed = [.. failures.OfType<string>()];
        Assert.True(failed.Length == 0, $"{failed.Length} of {Seeds} seeds fail, among them:\n{string.Join('\n', failed.OrderBy(f => f.Length).Take(3))}");

        var seen = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach ((string what, long times) in runs.SelectMany(run => run))
        {
            seen[what] = seen.GetValueOrDefault(what) + times;
        }

        // A schedule that never does what it is there for proves nothing.
        foreach (string what in (string[])["crashes", "coordinator crashes", "drains", "checkpoints", "Lost", "Speculated", "Faulty", "Quarantined", "Joined", "Left",
            "server crashes", "promotions", "refills", "rollbacks", "rollbackShards", "reproducedSteps", "server left", "dropped ranges", "torn records",
            "failedCheckpoints", "lostServers", "evictions", "refusedMessages", "Waiting",
            "frozen Coordinator", "frozen Worker", "frozen Server"])
        {
            Assert.True(seen.GetValueOrDefault(what) > 5, $"only {seen.GetValueOrDefault(what)} x {what}: {string.Join(", ", seen)}");
        }

        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", seen));
    }
}
