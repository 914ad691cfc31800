// Control messages by Hyperion, with known types and an allow-list that is asked for every other name; nothing else.
using System.Collections.Immutable;
using Akka.Actor;
using Akka.Serialization;
using ClusterRnn.Engines.Akka.Messages;
using Hyperion;
using HyperionSerializer = Akka.Serialization.HyperionSerializer;
using Serializer = Akka.Serialization.Serializer;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>What Akka writes this project's messages with.</summary>
internal static class ControlSerialization
{
    /// <summary>The setup of an actor system.</summary>
    public static SerializationSetup Setup() => SerializationSetup.Create(system =>
        ImmutableHashSet.Create(
            SerializerDetails.Create("hyperion", Create(system), ImmutableHashSet.Create(typeof(IClusterMessage))),
            // Akka has one for whatever is bound to nothing; under its name and number there is this one.
            SerializerDetails.Create("json", new RefusingSerializer(system), [])));

    /// <summary>The serializer.</summary>
    public static HyperionSerializer Create(ExtendedActorSystem system) => new(
        system,
        HyperionSerializerSettings.Default
            .WithPreserveObjectReference(false)
            .WithVersionTolerance(false)
            .WithKnownTypesProvider(typeof(ControlTypes))
            .WithDisallowUnsafeType(true) // or the filter is not asked
            .WithTypeFilter(new Allowed()));

    private sealed class Allowed : ITypeFilter
    {
        public bool IsAllowed(string typeName) => KnownTypes.IsAllowed(typeName);
    }
}

/// <summary>Gives Hyperion the known types.</summary>
public sealed class ControlTypes : IKnownTypesProvider
{
    /// <inheritdoc/>
    public IEnumerable<Type> GetKnownTypes() => KnownTypes.All;
}

/// <summary>In the place of Akka's serializer for everything: no message of this project is bound to nothing, and whoever sends one that is, is refused.</summary>
internal sealed class RefusingSerializer : Serializer
{
    /// <summary>Akka makes it.</summary>
    public RefusingSerializer(ExtendedActorSystem system)
        : base(system)
    {
    }

    /// <inheritdoc/>
    public override int Identifier => 1;

    /// <inheritdoc/>
    public override bool IncludeManifest => true;

    /// <inheritdoc/>
    public override byte[] ToBinary(object obj) => throw new System.Runtime.Serialization.SerializationException($"{obj?.GetType()} does not travel between nodes.");

    /// <inheritdoc/>
    public override object FromBinary(byte[] bytes, Type type) => throw new System.Runtime.Serialization.SerializationException($"{type} is not taken from other nodes.");
}
