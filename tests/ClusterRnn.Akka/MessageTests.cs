// Every control message through Hyperion, and what Hyperion must not read.
using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Serialization;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Engines.Akka.Cluster;
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;
using ClusterRnn.Tests.Protocol.Wire;

namespace ClusterRnn.Akka;

public sealed class MessageTests : IDisposable
{
    private readonly ActorSystem _system = ActorSystem.Create("messages", BootstrapSetup.Create().And(ControlSerialization.Setup()));

    public static TheoryData<string> Names => [.. MessageCodec.Travelling.Except(KnownTypes.OnBulkLinks).Select(type => type.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_message_arrives_as_it_was(string name)
    {
        Type type = MessageCodec.Travelling.First(type => type.Name == name);
        for (int seed = 0; seed < 20; seed++)
        {
            WireSamples samples = seed == 0 ? WireSamples.Plain() : WireSamples.Of(new Random(seed));
            Message message = samples.Message(type);
            Carried sent = Carried.Of(samples.Actor(), samples.Actor(), message);
            Serializer serializer = _system.Serialization.FindSerializerFor(sent);
            byte[] bytes = serializer.ToBinary(sent);
            var read = Assert.IsType<Carried>(serializer.FromBinary(bytes, typeof(object)));
            Assert.IsType<HyperionSerializer>(serializer);
            Assert.Equal(WireSamples.Encode(sent.From, sent.To, message), WireSamples.Encode(read.From, read.To, Checked.Of(read)));
        }
    }

    [Fact]
    public void Known_types_are_numbers_and_short()
    {
        Serializer serializer = _system.Serialization.FindSerializerFor(new JobEndHeard());
        byte[] bytes = serializer.ToBinary(new Carried(ActorId.Worker(3), ActorId.Coordinator, new Heartbeat(7, 8, 9)));
        Assert.True(bytes.Length < 64, $"{bytes.Length} bytes");
        Assert.DoesNotContain("ClusterRnn", System.Text.Encoding.UTF8.GetString(bytes), StringComparison.Ordinal);
    }

    [Fact]
    public void A_type_that_is_not_allowed_is_refused()
    {
        // What another program may write: the same serializer without our list.
        var permissive = new Hyperion.Serializer();
        using var stream = new MemoryStream();
        permissive.Serialize(new Version(1, 2), stream);
        Serializer ours = _system.Serialization.FindSerializerFor(new JobEndHeard());
        Exception refused = Assert.ThrowsAny<Exception>(() => ours.FromBinary(stream.ToArray(), typeof(object)));
        Assert.Contains("Unsafe Type", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_bound_to_nothing_is_neither_written_nor_read()
    {
        Serializer other = _system.Serialization.FindSerializerFor(new Version(1, 2));
        Assert.IsType<RefusingSerializer>(other);
        Assert.ThrowsAny<Exception>(() => other.ToBinary(new Version(1, 2)));
        Assert.Contains("not taken", Assert.ThrowsAny<Exception>(() => _system.Serialization.Deserialize([1, 2], 1, typeof(Version).AssemblyQualifiedName!)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_message_out_of_the_protocols_bounds_goes_no_further()
    {
        Assert.Throws<ArgumentException>(() => Checked.Of(new Carried(ActorId.Coordinator, ActorId.Server(1), "no message")));
        var tooMany = new DiscardPieces(1, 2, 3, new long[Limits.MaximumAssignmentsPerStep + 1]);
        Serializer serializer = _system.Serialization.FindSerializerFor(new JobEndHeard());
        var read = (Carried)serializer.FromBinary(serializer.ToBinary(new Carried(ActorId.Coordinator, ActorId.Server(1), tooMany)), typeof(object));
        Assert.ThrowsAny<ArgumentException>(() => Checked.Of(read));
        Assert.Throws<WireException>(() => Checked.Of(Carried.Of(ActorId.Coordinator, ActorId.Server(1), new Coverage(1, 2, 3, -5, []))));
    }

    public void Dispose() => _system.Terminate().Wait(TimeSpan.FromSeconds(10));
}
