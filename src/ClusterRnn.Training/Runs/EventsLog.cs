using System.Text.Encodings.Web;
using System.Text.Json;

namespace ClusterRnn.Training.Runs;

/// <summary>
/// Writes events.jsonl, what happened to the nodes of a cluster:
/// <c>{"at":"2026-01-31T12:00:00.1234567+00:00","kind":"lost","node":"worker 1","text":"worker 1 is lost: its connection ended"}</c>.
/// A run without nodes leaves no such file; a resumed one goes on in it, because what happened is not undone by going back.
/// </summary>
/// <param name="path">The file.</param>
public sealed class EventsLog(string path) : IRunObserver, IDisposable
{
    private static readonly JsonSerializerOptions s_options = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private StreamWriter? _file;

    /// <inheritdoc/>
    public void OnNodeEvent(NodeEvent happened)
    {
        _file ??= new StreamWriter(path, append: true);
        _file.Write(JsonSerializer.Serialize(happened, s_options) + "\n");
        _file.Flush(); // whoever tails the file sees it at once, and a process that is killed next has told it
    }

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    /// <summary>Reads an events file, oldest first; no file is no events, and a line that a crash tore is left out.</summary>
    public static IReadOnlyList<NodeEvent> Read(string path)
    {
        var events = new List<NodeEvent>();
        foreach (string line in File.Exists(path) ? File.ReadLines(path) : [])
        {
            try
            {
                if (JsonSerializer.Deserialize<NodeEvent>(line, s_options) is { Kind: not null, Node: not null, Text: not null } happened)
                {
                    events.Add(happened);
                }
            }
            catch (JsonException)
            {
                // Torn.
            }
        }

        return events;
    }
}
