// Akka's settings from ours, as the text that Akka reads. Everything that is not here is Akka's own default.
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Akka;

/// <summary>Writes Akka's settings.</summary>
internal static partial class HoconText
{
    /// <summary>The name of every node's actor system: nodes of another name are strangers.</summary>
    public const string SystemName = "clusterrnn";

    /// <summary>What addresses begin with: remoting that goes over this project's own links.</summary>
    public const string Scheme = "links";

    /// <summary>The role of nodes that may coordinate.</summary>
    public const string CoordinatorRole = "coordinator";

    /// <summary>The dispatcher of actors that do what their state machine decides: a thread each.</summary>
    public const string PinnedDispatcher = "clusterrnn.pinned";

    /// <summary>The settings of a node.</summary>
    /// <param name="options">What is asked for.</param>
    /// <param name="advertised">Under which address the others reach its remoting.</param>
    public static string Of(AkkaEngineOptions options, HostPort advertised)
    {
        ArgumentNullException.ThrowIfNull(options);
        string roles = string.Join(", ", RolesOf(options.Roles).Select(Quoted));
        string seeds = string.Join(", ", options.SeedNodes.Select(seed => Quoted(AddressOf(seed))));
        return string.Create(CultureInfo.InvariantCulture, $$"""
            clusterrnn.pinned { type = PinnedDispatcher, executor = fork-join-executor }
            akka {
              loglevel = WARNING
              stdout-loglevel = OFF
              log-dead-letters = off
              log-dead-letters-during-shutdown = off
              loggers = ["ClusterRnn.Engines.Akka.Cluster.NoteLogger, ClusterRnn.Engines.Akka"]
              log-serializer-override-on-start = off
              actor.provider = cluster
              # The host ends the system in order; nothing else may.
              coordinated-shutdown { run-by-clr-shutdown-hook = off, exit-clr = off, terminate-actor-system = on }
              remote {
                enabled-transports = ["akka.remote.clusterrnn"]
                log-remote-lifecycle-events = off
                # A node that is not there yet is called again soon.
                retry-gate-closed-for = 500ms
                clusterrnn {
                  transport-class = "ClusterRnn.Engines.Akka.Cluster.LinkTransport, ClusterRnn.Engines.Akka"
                  applied-adapters = []
                  hostname = {{Quoted(advertised.Host)}}
                  port = {{advertised.Port}}
                  maximum-frame-size = {{Limits.MaximumControlBytes - (64 << 10)}}
                }
              }
              cluster {
                roles = [{{roles}}]
                seed-nodes = [{{seeds}}]
                retry-unsuccessful-join-after = 1s
                shutdown-after-unsuccessful-join-seed-nodes = off
                # A new coordinator claims its epoch in the journal, so one that lives on in a part that was cut off can do no harm:
                # it need not be waited for as long as the resolver waits.
                down-removal-margin = 500ms
                gossip-interval = 200ms
                leader-actions-interval = 200ms
                unreachable-nodes-reaper-interval = 200ms
                failure-detector {
                  heartbeat-interval = {{Milliseconds(options.HeartbeatInterval)}}
                  acceptable-heartbeat-pause = {{Milliseconds(options.AcceptablePause)}}
                  expected-response-after = {{Milliseconds(options.HeartbeatInterval)}}
                }
                downing-provider-class = "Akka.Cluster.SBR.SplitBrainResolverProvider, Akka.Cluster"
                split-brain-resolver {
                  active-strategy = keep-majority
                  stable-after = {{Milliseconds(options.StableAfter)}}
                  # Workers and servers may die by the dozen; who counts is who can coordinate.
                  keep-majority.role = {{CoordinatorRole}}
                }
                singleton { hand-over-retry-interval = 200ms }
                singleton-proxy { singleton-identification-interval = 200ms, buffer-size = 0 }
              }
            }
            """);
    }

    /// <summary>A node's address as Akka writes it.</summary>
    public static string AddressOf(HostPort node) => $"akka.{Scheme}://{SystemName}@{node}";

    /// <summary>The other node that one of Akka's own actors is for, which has its address as a part of its name; null for one that is for none.</summary>
    public static string? NodeIn(string actor)
    {
        ArgumentNullException.ThrowIfNull(actor);
        Match found = NodeInName().Match(actor);
        return found.Success ? Uri.UnescapeDataString(found.Groups[1].Value) : null;
    }

    /// <summary>The roles' names in Akka's membership.</summary>
    public static IEnumerable<string> RolesOf(AkkaRoles roles)
        => Enum.GetValues<AkkaRoles>().Where(role => role != AkkaRoles.None && roles.HasFlag(role)).Select(role => role.ToString().ToLowerInvariant());

    /// <summary>Roles from their names, separated by commas.</summary>
    /// <exception cref="FormatException">One is none.</exception>
    public static AkkaRoles ParseRoles(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        AkkaRoles roles = AkkaRoles.None;
        foreach (string name in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            roles |= RolesOf(AkkaRoles.Coordinator | AkkaRoles.Worker | AkkaRoles.Server).Contains(name)
                ? Enum.Parse<AkkaRoles>(name, ignoreCase: true)
                : throw new FormatException($"expected coordinator, worker or server, found '{name}'");
        }

        return roles != AkkaRoles.None ? roles : throw new FormatException("expected at least one of coordinator, worker and server");
    }

    [GeneratedRegex($@"akka\.{Scheme}%3A%2F%2F{SystemName}%40(.+?%3A\d+)", RegexOptions.IgnoreCase)]
    private static partial Regex NodeInName();

    private static string Milliseconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0}ms");

    private static string Quoted(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (char c in text)
        {
            quoted.Append(c is '"' or '\\' ? "\\" : "").Append(c);
        }

        return quoted.Append('"').ToString();
    }
}
