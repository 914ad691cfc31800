// Four messages are written as plainer ones: a map checks itself when it is made, so what is read must go through its
// constructor; and memory that is read as a whole object could point anywhere.
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Akka.Messages;

/// <summary>Messages as they are written.</summary>
internal static class Parts
{
    /// <summary>The messages that are written as parts.</summary>
    public static IReadOnlyList<Type> WrittenSo { get; } = [typeof(Welcome), typeof(ClaimEpoch), typeof(EpochAccepted), typeof(Verdict)];

    /// <summary>What is written for a message: mostly itself.</summary>
    public static object Of(Message message) => message switch
    {
        Welcome welcome => new WelcomeParts(welcome.Epoch, RangeMapParts.Of(welcome.Map)),
        ClaimEpoch claim => new ClaimEpochParts(claim.Epoch, RangeMapParts.Of(claim.Map)),
        EpochAccepted accepted => new EpochAcceptedParts(accepted.Epoch, accepted.Revision, accepted.Held, accepted.Last is null ? null : VerdictParts.Of(accepted.Last)),
        Verdict verdict => VerdictParts.Of(verdict),
        _ => message,
    };

    /// <summary>The message again.</summary>
    /// <exception cref="ArgumentException">It is none, or its parts don't fit together.</exception>
    public static Message ToMessage(object written) => written switch
    {
        WelcomeParts welcome => new Welcome(welcome.Epoch, welcome.Map.ToMap()),
        ClaimEpochParts claim => new ClaimEpoch(claim.Epoch, claim.Map.ToMap()),
        EpochAcceptedParts accepted => new EpochAccepted(accepted.Epoch, accepted.Revision, accepted.Held, accepted.Last?.ToVerdict()),
        VerdictParts verdict => verdict.ToVerdict(),
        Message message when !WrittenSo.Contains(message.GetType()) => message,
        _ => throw new ArgumentException($"{written?.GetType().Name ?? "nothing"} is no message of the protocol.", nameof(written)),
    };
}

/// <summary>What a <see cref="RangeMap"/> is made of.</summary>
internal sealed record RangeMapParts(RangeOwner[] Ranges, Segment[] Segments, long Revision, long Origin)
{
    /// <summary>The parts of a map.</summary>
    public static RangeMapParts Of(RangeMap map) => new([.. map.Ranges], [.. map.Segments], map.Revision, map.Origin);

    /// <summary>The map.</summary>
    /// <exception cref="ArgumentException">The parts don't fit together.</exception>
    public RangeMap ToMap() => new([.. Ranges], [.. Segments], Revision, Origin);
}

/// <summary>What a <see cref="Verdict"/> is made of.</summary>
internal sealed record VerdictParts(long Epoch, long Step, Decision Decision, byte[] PolicyState)
{
    /// <summary>The parts of a verdict.</summary>
    public static VerdictParts Of(Verdict verdict) => new(verdict.Epoch, verdict.Step, verdict.Decision, verdict.PolicyState.ToArray());

    /// <summary>The verdict.</summary>
    public Verdict ToVerdict() => new(Epoch, Step, Decision, PolicyState);
}

/// <summary>What a <see cref="Welcome"/> is made of.</summary>
internal sealed record WelcomeParts(long Epoch, RangeMapParts Map);

/// <summary>What a <see cref="ClaimEpoch"/> is made of.</summary>
internal sealed record ClaimEpochParts(long Epoch, RangeMapParts Map);

/// <summary>What an <see cref="EpochAccepted"/> is made of.</summary>
internal sealed record EpochAcceptedParts(long Epoch, long Revision, HeldRange[] Held, VerdictParts? Last);
