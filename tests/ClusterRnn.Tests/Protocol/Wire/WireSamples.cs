// Messages and journal records of any kind, made from their constructors: a message that is added to the protocol is
// sampled, round-tripped and fuzzed without a line here.
using System.Buffers;
using System.Collections;
using System.Collections.Immutable;
using System.Reflection;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.Protocol.Wire;

/// <param name="next">A number from 0 to below its argument; decides every value.</param>
internal sealed class WireSamples(Func<int, int> next)
{
    private const string Letters = "abcz 0-9é→日";

    public static Type[] Messages { get; } = Concrete(typeof(Message));

    public static Type[] Records { get; } = [.. Concrete(typeof(JournalRecord)).Where(record => record != typeof(DamagedRecord))]; // which is never written

    /// <summary>The same values each time.</summary>
    public static WireSamples Plain()
    {
        int count = 0;
        return new WireSamples(bound => ++count % bound);
    }

    public static WireSamples Of(Random random) => new(random.Next);

    public Message Message(Type type) => (Message)Make(type, "");

    public JournalRecord Record(Type type) => (JournalRecord)Make(type, "");

    public ActorId Actor() => (ActorId)Make(typeof(ActorId), "");

    public static byte[] Encode(ActorId from, ActorId to, Message message)
    {
        var bytes = new ArrayBufferWriter<byte>();
        MessageCodec.Write(from, to, message, bytes);
        return bytes.WrittenSpan.ToArray();
    }

    public static byte[] Encode(JournalRecord record)
    {
        var bytes = new ArrayBufferWriter<byte>();
        JournalCodec.Write(record, bytes);
        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>Whether two messages say the same, lists by their elements and doubles by their bits.</summary>
    public static bool Same(object? left, object? right)
    {
        if (left is null || right is null)
        {
            return left is null && right is null;
        }

        if (left.GetType() != right.GetType())
        {
            return false;
        }

        return left switch
        {
            double number => BitConverter.DoubleToInt64Bits(number) == BitConverter.DoubleToInt64Bits((double)right),
            string or ValueType and IComparable => left.Equals(right),
            ReadOnlyMemory<byte> memory => memory.Span.SequenceEqual(((ReadOnlyMemory<byte>)right).Span),
            IEnumerable list => list.Cast<object?>().ToArray() is var l && ((IEnumerable)right).Cast<object?>().ToArray() is var r
                && l.Length == r.Length && l.Zip(r).All(p => Same(p.First, p.Second)),
            _ => Readable(left.GetType()).All(p => Same(p.GetValue(left), p.GetValue(right))),
        };
    }

    private static IEnumerable<PropertyInfo> Readable(Type type)
        => type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.GetIndexParameters().Length == 0 && p.Name != "EqualityContract");

    private object Make(Type type, string name)
    {
        if (type == typeof(string))
        {
            return new string([.. Enumerable.Range(0, next(9)).Select(_ => Letters[next(Letters.Length)])]);
        }

        if (type == typeof(RangeMap))
        {
            return Map();
        }

        if (type == typeof(ShardRange))
        {
            int start = next(Limits.MaximumShards);
            return new ShardRange(start, start + next(Limits.MaximumShards - start + 1));
        }

        if (type == typeof(ActorId))
        {
            return new ActorId((ActorRole)next(3), next(1000));
        }

        if (type == typeof(ReadOnlyMemory<byte>))
        {
            return (ReadOnlyMemory<byte>)Enumerable.Range(0, next(40)).Select(_ => (byte)next(256)).ToArray();
        }

        if (type.IsEnum)
        {
            Array values = Enum.GetValues(type);
            return values.GetValue(next(values.Length))!;
        }

        if (type.IsArray)
        {
            Type element = type.GetElementType()!;
            var list = Array.CreateInstance(element, next(5));
            for (int i = 0; i < list.Length; i++)
            {
                list.SetValue(Make(element, name), i);
            }

            return list;
        }

        return Type.GetTypeCode(type) switch
        {
            TypeCode.Boolean => next(2) == 1,
            TypeCode.Int32 => next(name is "Range" ? Limits.MaximumRanges : name is "Shard" or "Shards" ? Limits.MaximumShards : name is "Segment" ? Limits.MaximumSegments : name is "Part" ? 3 : int.MaxValue),
            // A host's own number stays at home.
            TypeCode.Int64 => name == "Payload" ? 0L : ((long)next(int.MaxValue) << next(33)) - next(3),
            TypeCode.UInt64 => ((ulong)next(int.MaxValue) << 33) + (ulong)next(int.MaxValue),
            TypeCode.Double => next(8) switch { 0 => double.NaN, 1 => -0.0, 2 => double.NegativeInfinity, 3 => double.Epsilon, _ => (next(int.MaxValue) - (1 << 30)) / 4096.0 },
            _ => type.GetConstructors().MaxBy(c => c.GetParameters().Length)!.Invoke([.. type.GetConstructors().MaxBy(c => c.GetParameters().Length)!.GetParameters().Select(Argument)]),
        };
    }

    private object? Argument(ParameterInfo parameter)
    {
        bool isOptional = Nullable.GetUnderlyingType(parameter.ParameterType) is not null || new NullabilityInfoContext().Create(parameter).WriteState == NullabilityState.Nullable;
        return isOptional && next(3) == 0 ? null : Make(Nullable.GetUnderlyingType(parameter.ParameterType) ?? parameter.ParameterType, parameter.Name!);
    }

    private RangeMap Map()
    {
        RangeMap spread = RangeMap.Spread(next(5000), 1 + next(6), []);
        ImmutableArray<RangeOwner> ranges =
        [
            .. spread.Ranges.Select(r => r with { Owner = Actor(), Fence = next(100), Replica = next(2) == 0 ? null : Actor(), Since = next(1000), ReplicaSince = next(1000) }),
        ];
        return new RangeMap(ranges, spread.Segments, next(100), next(9));
    }

    private static Type[] Concrete(Type parent)
        => [.. parent.Assembly.GetTypes().Where(t => t.IsSubclassOf(parent) && !t.IsAbstract).OrderBy(t => t.Name, StringComparer.Ordinal)];
}
