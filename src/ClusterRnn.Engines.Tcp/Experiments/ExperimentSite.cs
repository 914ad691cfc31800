using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>Where the nodes of a run live, and the network between them.</summary>
internal abstract class ExperimentSite : IAsyncDisposable
{
    /// <summary>The faulty network between the nodes; null where the scenario has no fault that needs one.</summary>
    public FaultyNetwork? Network { get; protected init; }

    /// <summary>Where the coordinator answers questions about its job.</summary>
    public abstract HostPort Coordinator { get; }

    /// <summary>The proxies of the network.</summary>
    protected List<FaultyProxy> Proxies { get; } = [];

    /// <summary>Makes ready what the nodes need; nothing has been started yet.</summary>
    /// <exception cref="ClusterRnn.Training.TrainingException">It can't be had.</exception>
    public abstract Task PrepareAsync();

    /// <summary>Makes a node, which is not started yet.</summary>
    /// <param name="name">The node.</param>
    /// <param name="log">The file that keeps what it says.</param>
    /// <param name="said">Is told each line.</param>
    public abstract ExperimentNode NodeOf(NodeName name, string log, Action<NodeName, string> said);

    /// <summary>What someone shows who asks the coordinator.</summary>
    public abstract NodeSecurity ClientSecurity();

    /// <summary>Cuts a node off from everyone; nobody is told. Null when the faulty network has to do it.</summary>
    public virtual Func<Task>? CutOff(NodeName node) => null;

    /// <summary>Connects it again.</summary>
    public virtual Task ReconnectAsync(NodeName node) => Task.CompletedTask;

    /// <summary>Takes away what was made. The nodes have ended.</summary>
    public virtual async ValueTask DisposeAsync()
    {
        foreach (FaultyProxy proxy in Proxies)
        {
            await proxy.DisposeAsync().ConfigureAwait(false);
        }
    }
}
