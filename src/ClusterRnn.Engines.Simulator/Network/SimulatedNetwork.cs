// The network: delays, losses, copies, overtaking, and whatever the faults of the schedule do to the links of a node.
//
// A message between two nodes belongs to the processes at both ends: what was sent to a process that has ended reaches nobody,
// though another one has started in its place.
using ClusterRnn.Engines.Simulator.Events;
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Network;

/// <summary>Carries messages between processes.</summary>
/// <param name="simulation">The run.</param>
/// <param name="profile">What it does without faults.</param>
/// <param name="dice">Its chance.</param>
internal sealed class SimulatedNetwork(Simulation simulation, NetworkProfile profile, Dice dice)
{
    private const long MessageBytes = 256; // what a message weighs beside its blocks
    private const long RetransmissionTicks = 200_000; // as TCP's least timeout

    private readonly List<FaultEvent> _faults = []; // that are under way
    private readonly List<(FaultEvent Fault, int Left)> _damage = [];
    private readonly Dictionary<(int From, int To), long> _lastArrival = [];
    private readonly Dictionary<(int From, int To), long> _busyUntil = [];

    /// <summary>Bytes that were sent.</summary>
    public long BytesSent { get; private set; }

    /// <summary>Messages that were sent.</summary>
    public long MessagesSent { get; private set; }

    /// <summary>A fault of the network begins.</summary>
    public void Begin(FaultEvent fault)
    {
        if (fault.Kind == FaultKind.Damage)
        {
            _damage.Add((fault, (int)fault.Amount));
        }
        else
        {
            _faults.Add(fault);
        }
    }

    /// <summary>A fault of the network is over.</summary>
    public void End(FaultEvent fault)
    {
        int at = _faults.FindIndex(active => ReferenceEquals(active, fault));
        if (at >= 0)
        {
            _faults.RemoveAt(at);
        }
    }

    /// <summary>Whether nothing gets from one place to another.</summary>
    public bool IsCut(NodeName from, NodeName to)
    {
        foreach (FaultEvent fault in _faults)
        {
            if (fault.Kind == FaultKind.Cut && Concerns(fault, from, to))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Sends a message.</summary>
    public void Send(SimulatedNode from, SimulatedNode to, Message message, Block[]? blocks)
    {
        MessagesSent++;
        long bytes = MessageBytes;
        foreach (Block block in blocks ?? [])
        {
            bytes += block.Bytes;
        }

        BytesSent += bytes;
        double loss = profile.Loss, duplicate = profile.Duplicate;
        long latency = 0, overtaking = 0, bytesPerSecond = profile.BytesPerSecond;
        foreach (FaultEvent fault in _faults)
        {
            if (!Concerns(fault, from.Place, to.Place))
            {
                continue;
            }

            switch (fault.Kind)
            {
                case FaultKind.Cut:
                    return;
                case FaultKind.Loss:
                    loss = 1 - ((1 - loss) * (1 - fault.Amount));
                    break;
                case FaultKind.Duplicate:
                    duplicate = Math.Max(duplicate, fault.Amount);
                    break;
                case FaultKind.Latency:
                    latency += (long)fault.Amount;
                    break;
                case FaultKind.Reorder:
                    overtaking = Math.Max(overtaking, (long)fault.Amount);
                    break;
                case FaultKind.Bandwidth:
                    bytesPerSecond = bytesPerSecond == 0 ? (long)fault.Amount : Math.Min(bytesPerSecond, (long)fault.Amount);
                    break;
            }
        }

        if (IsDamaged(from.Place, to.Place) || (dice.Chance(loss) && !profile.IsReliable))
        {
            return;
        }

        int copies = dice.Chance(duplicate) && !profile.IsReliable ? 2 : 1;
        for (int i = 0; i < copies; i++)
        {
            long delay = dice.Chance(profile.TailChance) ? dice.Between(profile.LeastDelay, profile.TailDelay) : dice.Between(profile.LeastDelay, profile.MostDelay + 1);
            delay += latency + (overtaking > 0 ? dice.Between(0, overtaking) : 0);
            while (profile.IsReliable && dice.Chance(loss))
            {
                delay += RetransmissionTicks;
            }

            long at = Leave(from, to, bytes, bytesPerSecond) + delay;
            if (profile.IsReliable)
            {
                at = Math.Max(at, _lastArrival.GetValueOrDefault((from.Process, to.Process)) + 1);
                _lastArrival[(from.Process, to.Process)] = at;
            }

            simulation.Events.At(at, () => to.Receive(from.Actor.Id, from, message, blocks));
        }
    }

    private static bool Concerns(FaultEvent fault, NodeName from, NodeName to)
    {
        bool sends = fault.Target == from && fault.Direction != FaultDirection.In && (fault.Peers is null || fault.Peers.Contains(to));
        bool gets = fault.Target == to && fault.Direction != FaultDirection.Out && (fault.Peers is null || fault.Peers.Contains(from));
        return sends || gets;
    }

    private bool IsDamaged(NodeName from, NodeName to)
    {
        for (int i = 0; i < _damage.Count; i++)
        {
            (FaultEvent fault, int left) = _damage[i];
            if (Concerns(fault, from, to))
            {
                if (left <= 1)
                {
                    _damage.RemoveAt(i);
                }
                else
                {
                    _damage[i] = (fault, left - 1);
                }

                return true;
            }
        }

        return false;
    }

    /// <summary>When the last byte has left.</summary>
    private long Leave(SimulatedNode from, SimulatedNode to, long bytes, long bytesPerSecond)
    {
        long now = simulation.Events.Now;
        if (bytesPerSecond <= 0)
        {
            return now;
        }

        long free = Math.Max(now, _busyUntil.GetValueOrDefault((from.Process, to.Process))) + (bytes * Instant.TicksPerSecond / bytesPerSecond);
        _busyUntil[(from.Process, to.Process)] = free;
        return free;
    }
}
