using ClusterRnn.Protocol;

namespace ClusterRnn.Tests.Protocol;

public class MembershipTests
{
    private const long Millisecond = Instant.TicksPerMillisecond;

    [Fact]
    public void AKillIsNoticedWithinOneAndAHalfSecondsAndEvictedAfterTheLease()
    {
        var membership = new Membership(new ProtocolTimes());
        ActorId worker = ActorId.Worker(1);
        membership.Add(worker, default);
        Instant now = default;
        var random = new Random(1);
        for (int i = 0; i < 200; i++)
        {
            now += (250 + random.Next(-20, 120)) * Millisecond;
            membership.Heard(worker, now);
        }

        Assert.False(membership.IsSuspect(worker, now + (450 * Millisecond)));
        Assert.True(membership.IsSuspect(worker, now + (1_500 * Millisecond)));
        Assert.False(membership.IsExpired(worker, now + (4_900 * Millisecond)));
        Assert.True(membership.IsExpired(worker, now + (5_100 * Millisecond)));
        Assert.InRange(membership.NextTick(now) - now, 450 * Millisecond, 1_500 * Millisecond);
    }

    [Theory]
    [InlineData(400, 3)] // a loaded machine
    [InlineData(1500, 3)] // one that hardly runs
    public void SixtyFourWorkersOnALoadedMachineAreNotEvicted(int jitter, int gapsPerMille)
    {
        var membership = new Membership(new ProtocolTimes());
        var random = new Random(2);
        var next = new Instant[64];
        for (int i = 0; i < next.Length; i++)
        {
            membership.Add(ActorId.Worker(i), default);
        }

        int evicted = 0, suspected = 0, looks = 0;
        for (Instant now = default; now < new Instant(120 * Instant.TicksPerSecond); now += 50 * Millisecond)
        {
            for (int i = 0; i < next.Length; i++)
            {
                ActorId worker = ActorId.Worker(i);
                if (now >= next[i])
                {
                    membership.Heard(worker, now);
                    long gap = 250 + random.Next(jitter) + (random.Next(1000) < gapsPerMille ? 2_500 : 0); // now and then it is not run for long
                    next[i] = now + (gap * Millisecond);
                }

                looks++;
                suspected += membership.IsSuspect(worker, now) ? 1 : 0;
                evicted += membership.IsExpired(worker, now) ? 1 : 0;
            }
        }

        Assert.Equal(0, evicted);
        Assert.InRange(suspected, 0, looks / 50);
    }

    [Fact]
    public void WhoWasStoppedItselfBlamesNobody()
    {
        var membership = new Membership(new ProtocolTimes());
        ActorId worker = ActorId.Worker(1);
        membership.Add(worker, default);
        Instant asked = membership.NextTick(default);
        Instant late = asked + (60 * Instant.TicksPerSecond);
        membership.Wake(late);
        Assert.False(membership.IsExpired(worker, late));
        membership.NextTick(late);
        Instant onTime = late + (10 * Instant.TicksPerSecond);
        Assert.True(membership.IsExpired(worker, onTime)); // it had its time to answer
    }
}
