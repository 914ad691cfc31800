using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

/// <summary>A policy whose every number depends on everything it was ever told.</summary>
internal sealed class FakePolicy(int steps) : IVerdictPolicy
{
    public const int EvaluationShards = 3;
    public const int EvaluateEvery = 4;
    public const int SaveEvery = 3;

    private ulong _memory = 1;
    private long _evaluated = -1;
    private long _saved = -1;

    public string EndReason => "all steps are done";

    public bool Saves { get; init; }

    public Decision Decide(in StepOutcome outcome)
    {
        if (!outcome.Finite)
        {
            return new Decision(VerdictKind.Skip, 0, 1, 0, 0, "not finite");
        }

        long count = 0;
        foreach (ShardReport report in outcome.Shards)
        {
            _memory = Mix(_memory, (ulong)report.Sums[0]);
            count += report.Counts[0];
        }

        _memory = Mix(_memory, (ulong)outcome.SumOfSquares);
        return new Decision(VerdictKind.Apply, count, 1, _memory % 4096, outcome.Version + 1, null);
    }

    public NextAction Next(long version)
        => version > 0 && version % EvaluateEvery == 0 && _evaluated != version ? NextAction.Evaluate
            : Saves && version > 0 && version % SaveEvery == 0 && _saved != version ? NextAction.Save
            : version >= steps ? NextAction.End
            : NextAction.Train;

    public void Evaluated(long version, ShardReport[] shards)
    {
        _evaluated = version;
        foreach (ShardReport report in shards)
        {
            _memory = Mix(_memory, (ulong)report.Sums[0]);
        }
    }

    public void Saved(long version) => _saved = version;

    public ReadOnlyMemory<byte> Capture() => (byte[])[.. BitConverter.GetBytes(_memory), .. BitConverter.GetBytes(_evaluated)];

    public void Restore(ReadOnlyMemory<byte> state)
    {
        _memory = BitConverter.ToUInt64(state.Span);
        _evaluated = BitConverter.ToInt64(state.Span[8..]);
    }

    private static ulong Mix(ulong a, ulong b)
    {
        ulong z = (a * 0x9E3779B97F4A7C15) ^ (b + 0xD1B54A32D192ED03 + (a << 6) + (a >> 2));
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
