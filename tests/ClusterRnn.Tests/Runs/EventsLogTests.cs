using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Runs;

public sealed class EventsLogTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-events-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Comes_back_as_it_was_written_and_goes_on_after_a_torn_line()
    {
        string path = Path.Combine(_folder, RunFolder.EventsFile);
        var lost = new NodeEvent(new DateTimeOffset(2026, 1, 31, 12, 0, 0, 123, TimeSpan.Zero).AddTicks(4567), "lost", "worker 1", "worker 1 is lost: \"gone\", ü");
        NodeEvent joined = lost with { Kind = "joined", At = lost.At.AddSeconds(1) };
        using (var log = new EventsLog(path))
        {
            Assert.False(File.Exists(path), "a run without nodes leaves no file");
            log.OnNodeEvent(lost);
            Assert.Equal([lost], EventsLog.Read(path)); // at once
        }

        File.AppendAllText(path, "{\"at\":\"2026-\n");
        using (var log = new EventsLog(path))
        {
            log.OnNodeEvent(joined);
        }

        Assert.Equal([lost, joined], EventsLog.Read(path));
        Assert.Empty(EventsLog.Read(path + ".none"));
    }
}
