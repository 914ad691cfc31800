// A web server of the smallest kind that can do what real ones do to a download: send a part and hang up, send slowly, ignore ranges,
// answer with an error. What it was asked is kept.
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ClusterRnn.Tests.Data;

/// <summary>What was asked: the target as it was sent (whole when asked as a proxy), and the headers in lower case.</summary>
internal sealed record FileRequest(string Target, IReadOnlyDictionary<string, string> Headers)
{
    public string? this[string header] => Headers.GetValueOrDefault(header);
}

/// <summary>What is answered.</summary>
internal sealed record FileAnswer(int Status, byte[] Body, params string[] Headers)
{
    /// <summary>Hang up after so many bytes of the body.</summary>
    public int? CutAfter { get; init; }

    /// <summary>Break off after so many bytes of the body, so that the other side's read fails.</summary>
    public int? ResetAfter { get; init; }

    /// <summary>Send so many bytes, then nothing more, and stay connected.</summary>
    public int? HangAfter { get; init; }
}

internal sealed class FileServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _ended = new();
    private readonly Func<FileRequest, FileAnswer> _answer;
    private readonly Task _serving;

    public FileServer(Func<FileRequest, FileAnswer> answer)
    {
        _answer = answer;
        _listener.Start();
        _serving = ServeAsync();
    }

    public List<FileRequest> Requests { get; } = [];

    public string Address => $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    /// <summary>A file with a version, as a static web server gives it: whole, or the rest if it is still the same.</summary>
    public static FileAnswer Of(FileRequest request, byte[] file, string? tag)
    {
        string[] headers = tag is null ? [] : [$"ETag: {tag}"];
        if (request["range"] is { } range && (request["if-range"] is not { } version || version == tag))
        {
            int start = int.Parse(range["bytes=".Length..^1], System.Globalization.CultureInfo.InvariantCulture);
            return start >= file.Length ? new FileAnswer(416, []) : new FileAnswer(206, file[start..], [.. headers, $"Content-Range: bytes {start}-{file.Length - 1}/{file.Length}"]);
        }

        return new FileAnswer(200, file, headers);
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        _listener.Stop();
        await _serving;
        _ended.Dispose();
    }

    private async Task ServeAsync()
    {
        var open = new List<Task>();
        try
        {
            while (true)
            {
                open.Add(AnswerAsync(await _listener.AcceptTcpClientAsync(_ended.Token)));
            }
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(open);
        }
    }

    // One request a connection.
    private async Task AnswerAsync(TcpClient client)
    {
        using (client)
        {
            try
            {
                NetworkStream stream = client.GetStream();
                using var reader = new StreamReader(stream, Encoding.ASCII, false, 1024, leaveOpen: true);
                string target = (await reader.ReadLineAsync(_ended.Token))?.Split(' ')[1] ?? "";
                var headers = new Dictionary<string, string>();
                while (await reader.ReadLineAsync(_ended.Token) is { Length: > 0 } line)
                {
                    headers[line.Split(':')[0].ToLowerInvariant()] = line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
                }

                var request = new FileRequest(target, headers);
                FileAnswer answer;
                lock (Requests)
                {
                    Requests.Add(request);
                    answer = _answer(request);
                }

                string head = $"HTTP/1.1 {answer.Status} {(HttpStatusCode)answer.Status}\r\nContent-Length: {answer.Body.Length}\r\nConnection: close\r\n{string.Concat(answer.Headers.Select(header => header + "\r\n"))}\r\n";
                await stream.WriteAsync(Encoding.ASCII.GetBytes(head), _ended.Token);
                await stream.WriteAsync(answer.Body.AsMemory(0, answer.CutAfter ?? answer.ResetAfter ?? answer.HangAfter ?? answer.Body.Length), _ended.Token);
                if (answer.ResetAfter is not null)
                {
                    client.LingerState = new LingerOption(true, 0);
                    client.Client.Dispose(); // TcpClient would shut it down in good order first
                }

                if (answer.HangAfter is not null)
                {
                    await Task.Delay(Timeout.Infinite, _ended.Token);
                }
            }
            catch (Exception end) when (end is IOException or OperationCanceledException)
            {
                // The other side has left, or the test is over.
            }
        }
    }
}
