// What the Akka engine may write and read, without Akka: complete, closed, and compared by names that don't depend on versions.
using System.Reflection;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Tests.Protocol.Wire;

namespace ClusterRnn.Tests.EnginesAkka;

public class KnownTypesTests
{
    [Fact]
    public void Every_message_that_travels_is_known_or_goes_beside_blocks()
    {
        Assert.Empty(MessageCodec.Travelling.Except(KnownTypes.All).Except(KnownTypes.OnBulkLinks).Except(Parts.WrittenSo).Select(type => type.Name));
        Assert.Empty(KnownTypes.OnBulkLinks.Intersect(KnownTypes.All));
        Assert.Empty(MessageCodec.HostLocal.Intersect(KnownTypes.All));
        Type[] own = [.. typeof(IClusterMessage).Assembly.GetTypes().Where(type => typeof(IClusterMessage).IsAssignableFrom(type) && !type.IsInterface)];
        Assert.Equal(9, own.Length);
        Assert.Empty(own.Except(KnownTypes.All));
    }

    [Fact]
    public void Whatever_a_known_type_consists_of_is_known()
    {
        var missing = new SortedSet<string>(StringComparer.Ordinal);
        foreach (Type type in KnownTypes.All.Where(type => !type.IsEnum))
        {
            foreach (Type part in type.IsArray ? [type.GetElementType()!] : FieldsOf(type))
            {
                if (!KnownTypes.All.Contains(part) && !IsPlain(part))
                {
                    missing.Add($"{type.Name} has {part}");
                }
            }
        }

        Assert.Empty(missing);
        Assert.Equal(KnownTypes.All.Count, KnownTypes.All.Distinct().Count());
    }

    [Fact]
    public void Names_are_compared_without_versions_and_nothing_else_is_allowed()
    {
        Assert.True(KnownTypes.IsAllowed(typeof(ShardsReported).AssemblyQualifiedName!));
        Assert.True(KnownTypes.IsAllowed("ClusterRnn.Protocol.Messages.ShardsReported, ClusterRnn.Protocol"));
        Assert.True(KnownTypes.IsAllowed("ClusterRnn.Protocol.Messages.ShardsReported,ClusterRnn.Protocol, Version=9.0.0.0, Culture=neutral, PublicKeyToken=null"));
        Assert.False(KnownTypes.IsAllowed("ClusterRnn.Protocol.Messages.ShardsReported, Elsewhere"));
        Assert.False(KnownTypes.IsAllowed("ClusterRnn.Protocol.Messages.ReducedCopy, ClusterRnn.Protocol"));
        Assert.False(KnownTypes.IsAllowed(typeof(System.Diagnostics.Process).AssemblyQualifiedName!));
        Assert.False(KnownTypes.IsAllowed(typeof(Action).AssemblyQualifiedName!));
    }

    [Fact]
    public void Plainer_parts_give_back_what_they_were_made_of()
    {
        WireSamples samples = WireSamples.Plain();
        foreach (Type type in Parts.WrittenSo)
        {
            Message message = samples.Message(type);
            object written = Parts.Of(message);
            Assert.Contains(written.GetType(), KnownTypes.All);
            Assert.Equal(WireSamples.Encode(ActorId.Coordinator, ActorId.Coordinator, message), WireSamples.Encode(ActorId.Coordinator, ActorId.Coordinator, Parts.ToMessage(written)));
            Assert.Throws<ArgumentException>(() => Parts.ToMessage(message));
        }

        RangeMap map = ((Welcome)samples.Message(typeof(Welcome))).Map;
        RangeMapParts gap = RangeMapParts.Of(map) with { Segments = [] };
        Assert.Throws<ArgumentException>(gap.ToMap);
    }

    private static IEnumerable<Type> FieldsOf(Type type) => type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
        .Select(field => Nullable.GetUnderlyingType(field.FieldType) ?? field.FieldType);

    private static bool IsPlain(Type type) => type.IsPrimitive || type == typeof(string) || type == typeof(object) || (type.IsArray && type.GetElementType()!.IsPrimitive);
}
