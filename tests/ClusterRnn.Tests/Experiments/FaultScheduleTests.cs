// Random targets and moments: drawn from the seed, the same every time, other ones in each repetition.
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Experiments;

public sealed class FaultScheduleTests
{
    private static readonly Scenario s_random = new()
    {
        Config = "tiny.yaml",
        Workers = 4,
        Servers = 2,
        Faults =
        [
            new KillFault { Target = "random", PerMinute = 60, Until = 30 },
            new PauseFault { Target = "random-worker", Step = 7, Duration = 1 },
            new NanFault { Target = "random-worker", Step = 3 },
            new KillFault { Target = "random", Step = 3, Restart = false },
        ],
    };

    [Fact]
    public void The_same_seed_draws_the_same() => Prop.ForAll<ulong, byte>(Check).QuickCheckThrowOnFailure();

    private static void Check(ulong seed, byte repetition)
    {
        Scenario scenario = s_random with { Seed = seed };
        IReadOnlyList<FaultAction> actions = FaultSchedule.Resolve(scenario, repetition);
        Assert.Equal(actions, FaultSchedule.Resolve(scenario, repetition));
        Assert.Equal(33, actions.Count);
        Assert.Equal(Enumerable.Range(1, actions.Count), actions.Select(a => a.Number));
        Assert.All(actions, a => Assert.True(a.Step is null != a.Seconds is null));
        Assert.Equal([3L, 3L, 7L], actions.Take(3).Select(a => a.Step!.Value));
        double[] moments = [.. actions.Skip(3).Select(a => a.Seconds!.Value)];
        Assert.Equal(moments.Order(), moments);
        Assert.All(moments, m => Assert.InRange(m, 0, 30));
        Assert.All(actions, a => Assert.Contains(a.Target, FaultSchedule.Candidates(scenario, a.Fault)));
        Assert.DoesNotContain(actions, a => a.Target == NodeName.Coordinator && a.Fault is KillFault { Restart: false });
        Assert.All(actions.Where(a => a.Fault is NanFault or PauseFault), a => Assert.Equal(ActorRole.Worker, a.Target.Role));
    }

    [Fact]
    public void Seeds_repetitions_and_faults_draw_their_own()
    {
        IReadOnlyList<FaultAction> first = FaultSchedule.Resolve(s_random, 0);
        Assert.NotEqual(first, FaultSchedule.Resolve(s_random, 1));
        Assert.NotEqual(first, FaultSchedule.Resolve(s_random with { Seed = 2 }, 0));
        Assert.True(first.Select(a => a.Target).Distinct().Count() >= 5, "the targets are not spread");
    }

    [Fact]
    public void A_plan_reads_as_a_sentence()
    {
        FaultAction Action(FaultConfig fault, string target) => new(1, fault, NodeName.TryParse(target)!.Value, fault.Step, fault.At);
        FaultAction kill = Action(new KillFault { Target = "worker-1", Step = 40, Duration = 2 }, "worker-1");
        Assert.Equal("at step 40", kill.When);
        Assert.Equal("worker-1 killed and started again after 2 s", kill.What);
        FaultAction cut = Action(new PartitionFault { Target = "server-0", At = 1.5, Duration = 4, Peers = ["worker-0"], Direction = FaultDirection.Out }, "server-0");
        Assert.Equal("after 1.5 s", cut.When);
        Assert.Equal("server-0 cut off for 4 s, only what it sends to worker-0", cut.What);
        Assert.Equal([NodeName.Worker(0)], cut.Peers());
    }
}
