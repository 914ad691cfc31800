// A run as lanes over time: training, and each node. A bar says that the node was a member, a gap that it was gone; what was
// done to it lies on its lane with the fault's number, what the cluster noticed is a mark.
using System.Globalization;
using System.Text;
using ClusterRnn.Cli.Report;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;

namespace ClusterRnn.Cli.Experiments;

/// <summary>Draws a run's timeline.</summary>
internal static class Timeline
{
    private const double Width = 980, Left = 104, Right = 16, Top = 26, Lane = 38, Bar = 12, Bottom = 36;
    private const double LeastPause = 0.2; // seconds without a committed step that are worth a gap

    /// <summary>Writes the drawing with its legend.</summary>
    public static void Write(StringBuilder html, RunFinding finding, Scenario scenario)
    {
        RunRecord run = finding.Run;
        NodeName[] nodes = [.. scenario.AllNodes()];
        double end = Math.Max(run.Seconds, run.Faults.Select(f => f.HealedSeconds ?? f.Seconds).DefaultIfEmpty(0).Max());
        var axis = new Axis(0, Math.Max(end, 0.001), 10, isTight: true);
        double height = Top + (Lane * (nodes.Length + 1)) + Bottom;
        html.Append("<ul class=\"legend lanes\"><li><i class=\"train\"></i>training goes on</li><li><i class=\"stall\"></i>no step committed</li><li><i class=\"member\"></i>node takes part</li>"
            + "<li><i class=\"fault\"></i>fault lasts</li><li><b class=\"hit\">1</b>a fault, by its number</li><li><b class=\"mark late\">●</b>late: its work is given to another as well</li>"
            + "<li><b class=\"mark lost\">●</b>given up as lost, or damage found</li><li><b class=\"mark back\">●</b>joined again, took over, or holds its copy again</li></ul>\n");
        html.Append(CultureInfo.InvariantCulture, $"<div class=\"timeline\"><svg viewBox=\"0 0 {Width} {Number(height)}\" role=\"img\" aria-label=\"Timeline of {Html.Attribute(run.Name)}\">\n");
        foreach ((double value, string label) in axis.Ticks)
        {
            html.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{X(value)}\" x2=\"{X(value)}\" y1=\"{Top}\" y2=\"{Number(height - Bottom)}\"/><text x=\"{X(value)}\" y=\"{Number(height - Bottom + 18)}\">{label}</text>\n");
        }

        html.Append(CultureInfo.InvariantCulture, $"<text x=\"{Number((Left + Width - Right) / 2)}\" y=\"{Number(height - 2)}\">seconds after the first step</text>\n");
        Label(0, "training");
        Training(0);
        for (int i = 0; i < nodes.Length; i++)
        {
            Label(i + 1, nodes[i].ToString());
            foreach ((double from, double to) in Memberships(run, nodes[i], end))
            {
                Rectangle("member", i + 1, from, to, $"{nodes[i]} takes part from {Seconds(from)} to {Seconds(to)}");
            }
        }

        foreach (PlayedFault fault in run.Faults.Where(f => f.HealedSeconds > f.Seconds && f.Action.Fault is not KillFault and not CorruptFault))
        {
            Rectangle("fault", LaneOf(fault.Action.Target), fault.Seconds, fault.HealedSeconds!.Value, $"{fault.Action.Number}: {fault.Action.What}");
        }

        foreach (ClusterEvent happened in run.Events.Where(e => e.Seconds >= 0 && e.Node is not null))
        {
            if (ClassOf(happened.Kind) is { } mark && (happened.Kind != ClusterEventKind.Joined || happened.Seconds > 0.2))
            {
                html.Append(CultureInfo.InvariantCulture, $"<circle class=\"{mark}\" cx=\"{X(happened.Seconds)}\" cy=\"{Number(Middle(LaneOf(happened.Node!.Value)) + 11)}\" r=\"3.5\"><title>{Html.Text(Seconds(happened.Seconds))}: {Html.Text(happened.Text)}</title></circle>\n");
            }
        }

        // Numbers that would cover each other step aside.
        var taken = new List<(int Lane, double X)>();
        foreach (PlayedFault fault in run.Faults)
        {
            int lane = LaneOf(fault.Action.Target);
            double x = Place(fault.Seconds);
            while (taken.Any(t => t.Lane == lane && Math.Abs(t.X - x) < 17))
            {
                x += 3;
            }

            taken.Add((lane, x));
            html.Append(CultureInfo.InvariantCulture, $"<line class=\"hit\" x1=\"{X(fault.Seconds)}\" x2=\"{X(fault.Seconds)}\" y1=\"{Number(Middle(lane) - 8)}\" y2=\"{Number(Middle(lane) + 8)}\"/>");
            html.Append(CultureInfo.InvariantCulture, $"<circle class=\"hit\" cx=\"{Number(x)}\" cy=\"{Number(Middle(lane) - 13)}\" r=\"8\"><title>{Html.Text($"{fault.Action.Number}: {fault.Action.What}, at {Seconds(fault.Seconds)}")}</title></circle><text class=\"hit\" x=\"{Number(x)}\" y=\"{Number(Middle(lane) - 13)}\">{fault.Action.Number}</text>\n");
        }

        html.Append("</svg></div>\n");

        void Training(int lane)
        {
            Rectangle("train", lane, 0, run.Seconds, "training goes on");
            for (int i = 1; i < run.Commits.Count; i++)
            {
                double from = run.Commits[i - 1].Seconds, to = run.Commits[i].Seconds;
                if (to - from >= LeastPause)
                {
                    Rectangle("stall", lane, from, to, $"no step was committed for {ExperimentWords.Time(to - from)}");
                    if (to - from >= 0.5 && Place(to) - Place(from) > 24)
                    {
                        html.Append(CultureInfo.InvariantCulture, $"<text x=\"{Number((Place(from) + Place(to)) / 2)}\" y=\"{Number(Middle(lane) - 11)}\">{ExperimentWords.Time(to - from)}</text>");
                    }
                }
            }

            foreach (ClusterEvent back in run.Events.Where(e => e.Kind == ClusterEventKind.RolledBack && e.Seconds >= 0))
            {
                html.Append(CultureInfo.InvariantCulture, $"<line class=\"rollback\" x1=\"{X(back.Seconds)}\" x2=\"{X(back.Seconds)}\" y1=\"{Top}\" y2=\"{Number(height - Bottom)}\"><title>{Html.Text(back.Text)}</title></line><text class=\"rollback\" x=\"{Number(Place(back.Seconds) + 4)}\" y=\"{Top - 8}\">back to a checkpoint</text>\n");
            }
        }

        void Label(int lane, string text) => html.Append(CultureInfo.InvariantCulture, $"<text class=\"lane\" x=\"{Left - 12}\" y=\"{Number(Middle(lane))}\">{Html.Text(text)}</text><line class=\"axis\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Number(Middle(lane))}\" y2=\"{Number(Middle(lane))}\"/>\n");

        void Rectangle(string style, int lane, double from, double to, string title)
        {
            double begin = Place(Math.Max(0, from)), width = Math.Max(1.5, Place(to) - begin);
            html.Append(CultureInfo.InvariantCulture, $"<rect class=\"{style}\" x=\"{Number(begin)}\" y=\"{Number(Middle(lane) - (Bar / 2))}\" width=\"{Number(width)}\" height=\"{Bar}\" rx=\"2\"><title>{Html.Text(title)}</title></rect>\n");
        }

        double Place(double seconds) => Left + (Math.Clamp(axis.Place(seconds), 0, 1) * (Width - Left - Right));

        string X(double seconds) => Number(Place(seconds));

        int LaneOf(NodeName node) => 1 + Math.Max(0, Array.IndexOf(nodes, node));
    }

    /// <summary>When a node was a member, from the first step to <paramref name="end"/>.</summary>
    internal static IEnumerable<(double From, double To)> Memberships(RunRecord run, NodeName node, double end)
    {
        bool isCoordinator = node.Role == ActorRole.Coordinator;
        ClusterEvent[] changes = [.. run.Events.Where(e => e.Node == node && (Begins(e.Kind) || Ends(e.Kind)))];

        // Whoever is first heard of as gone has been there all the time.
        double? since = changes.Length == 0 || Ends(changes[0].Kind) ? 0 : null;
        foreach (ClusterEvent change in changes)
        {
            if (Begins(change.Kind))
            {
                since ??= Math.Max(0, change.Seconds);
            }
            else if (since is { } from)
            {
                since = null;
                if (change.Seconds > 0)
                {
                    yield return (from, Math.Min(change.Seconds, end));
                }
            }
        }

        if (since is { } last)
        {
            yield return (last, end);
        }

        bool Begins(ClusterEventKind kind) => kind == (isCoordinator ? ClusterEventKind.Started : ClusterEventKind.Joined);

        static bool Ends(ClusterEventKind kind) => kind is ClusterEventKind.Lost or ClusterEventKind.Left or ClusterEventKind.Ended or ClusterEventKind.Quarantined;
    }

    private static string? ClassOf(ClusterEventKind kind) => kind switch
    {
        ClusterEventKind.Suspected => "mark late",
        ClusterEventKind.Lost or ClusterEventKind.Faulty or ClusterEventKind.Quarantined or ClusterEventKind.CoordinatorMissed => "mark lost",
        ClusterEventKind.Joined or ClusterEventKind.Promoted or ClusterEventKind.Refilled or ClusterEventKind.EpochClaimed => "mark back",
        _ => null,
    };

    private static double Middle(int lane) => Top + (Lane * lane) + (Lane / 2);

    private static string Seconds(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.00} s");

    private static string Number(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);
}
