// Lines as they come in: from the standard input until it ends, or from a file that grows until somebody stops. What is kept is bounded,
// however long a line is and however far the reader is ahead.
using System.Text;
using System.Threading.Channels;

namespace ClusterRnn.Cli.Commands;

/// <summary>A line of a live input.</summary>
/// <param name="Number">Its number, from 1.</param>
/// <param name="Text">Its text without its end; of a line that is too long its beginning.</param>
/// <param name="IsWhole">Whether it is not too long.</param>
internal readonly record struct NumberedLine(long Number, string Text, bool IsWhole);

/// <summary>Reads a live input line by line.</summary>
internal sealed class LiveLines
{
    /// <summary>The most characters of a line.</summary>
    public const int MostCharacters = 1 << 16;

    // Between two looks at a file that has not grown.
    private static readonly TimeSpan s_wait = TimeSpan.FromMilliseconds(200);

    private readonly StringBuilder _line = new();
    private long _number;
    private long _characters;

    /// <summary>The lines of a reader until it ends; whatever waits for them is let go when <paramref name="cancellation"/> says so.</summary>
    public static async IAsyncEnumerable<NumberedLine> OfAsync(TextReader reader, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        // A read from a terminal or a pipe can't be given up, so it is left to a thread of its own, which ends with the program.
        var lines = Channel.CreateBounded<NumberedLine>(new BoundedChannelOptions(256) { SingleReader = true, SingleWriter = true });
        Task reading = Task.Factory.StartNew(
            () =>
            {
                var live = new LiveLines();
                char[] buffer = new char[4096];
                for (int read = reader.Read(buffer, 0, buffer.Length); read > 0; read = reader.Read(buffer, 0, buffer.Length))
                {
                    foreach (NumberedLine line in live.Take(buffer.AsMemory(0, read)))
                    {
                        lines.Writer.WriteAsync(line, cancellation).AsTask().GetAwaiter().GetResult();
                    }
                }

                if (live.Rest() is { } last)
                {
                    lines.Writer.WriteAsync(last, cancellation).AsTask().GetAwaiter().GetResult();
                }
            },
            cancellation,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        _ = reading.ContinueWith(done => lines.Writer.Complete(done.Exception?.InnerException), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        await foreach (NumberedLine line in lines.Reader.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            yield return line;
        }
    }

    /// <summary>The lines of a file, those that are there and those that will be, until <paramref name="cancellation"/> says so.</summary>
    /// <param name="path">The file.</param>
    /// <param name="begunAnew">Called when the file has become shorter: it is read from its start again.</param>
    /// <param name="cancellation">Ends it.</param>
    public static async IAsyncEnumerable<NumberedLine> OfFileAsync(string path, Action begunAnew, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(file, Encoding.UTF8);
        using var timer = new PeriodicTimer(s_wait);
        var live = new LiveLines();
        char[] buffer = new char[4096];
        while (true)
        {
            int read = await reader.ReadAsync(buffer, cancellation).ConfigureAwait(false);
            foreach (NumberedLine line in live.Take(buffer.AsMemory(0, read)))
            {
                yield return line;
            }

            if (read > 0)
            {
                continue;
            }

            await timer.WaitForNextTickAsync(cancellation).ConfigureAwait(false);
            if (file.Length < file.Position)
            {
                begunAnew();
                file.Seek(0, SeekOrigin.Begin);
                reader.DiscardBufferedData();
                live = new LiveLines();
            }
        }
    }

    // The lines that end within a piece of the input; what is left of it begins the next one.
    private IEnumerable<NumberedLine> Take(ReadOnlyMemory<char> piece)
    {
        while (!piece.IsEmpty)
        {
            int end = piece.Span.IndexOf('\n');
            ReadOnlyMemory<char> part = end < 0 ? piece : piece[..end];
            piece = end < 0 ? default : piece[(end + 1)..];
            _line.Append(part.Span[..Math.Min(part.Length, MostCharacters - _line.Length)]);
            _characters += part.Length;
            if (end >= 0)
            {
                yield return End();
            }
        }
    }

    // What stands behind the last line's end, or null.
    private NumberedLine? Rest() => _characters > 0 ? End() : null;

    private NumberedLine End()
    {
        var line = new NumberedLine(++_number, _line.ToString().TrimEnd('\r'), _characters <= MostCharacters);
        _line.Clear();
        _characters = 0;
        return line;
    }
}
