// One file from the network to the disk, whatever happens on the way. What has come lies in NAME.part, and beside it in NAME.part.json
// from which address and which version (ETag, or the time it was changed): a connection that breaks, a program that is ended, a machine
// that is switched off lose nothing. The rest is asked for with Range and If-Range, so that a file that was changed meanwhile is sent
// whole and never pieced together. Only what has the right hash gets its name.
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;

namespace ClusterRnn.Data.Fetching;

/// <summary>How long is waited for what.</summary>
public sealed record FetchOptions
{
    /// <summary>For all files together, retries included.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>For an answer, and for the next bytes of one.</summary>
    public TimeSpan Stall { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Attempts one after the other that bring nothing before it is given up.</summary>
    public int Attempts { get; init; } = 6;

    /// <summary>Before the second attempt; doubled before each further one.</summary>
    public TimeSpan FirstDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest of these, whatever a server asks for.</summary>
    public TimeSpan LongestDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>From one report of progress to the next.</summary>
    public TimeSpan ReportEvery { get; init; } = TimeSpan.FromSeconds(2);
}

/// <summary>Fetches files.</summary>
public sealed class Download : IDisposable
{
    private const string PartSuffix = ".part";

    private readonly HttpClient _client;
    private readonly FetchOptions _options;
    private readonly Action<string> _say;

    /// <summary>A way to the network: as the system and HTTP_PROXY, HTTPS_PROXY and NO_PROXY have it.</summary>
    /// <param name="options">How long is waited for what.</param>
    /// <param name="say">Called with a line now and then, and whenever something goes wrong that is tried again.</param>
    public Download(FetchOptions options, Action<string> say)
    {
        _options = options;
        _say = say;
        _client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
        _client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("ClusterRnn", "1.0"));
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    /// <summary>Fetches a file, or the rest of it, and returns its SHA-256.</summary>
    /// <param name="file">What is fetched.</param>
    /// <param name="target">Where it goes.</param>
    /// <param name="deadline">Cancelled when the time for everything is over.</param>
    /// <param name="cancellation">Cancelled when somebody gives up.</param>
    /// <exception cref="FetchException">The server refuses, what comes is something else, or the time is over.</exception>
    public async Task<string> RunAsync(CatalogueFile file, string target, CancellationToken deadline, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(file);
        string part = target + PartSuffix;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(deadline, cancellation);
        bool wasJoined = false;
        int failures = 0; // since something came
        while (true)
        {
            long before = Length(part);
            string fault;
            TimeSpan? asked = null;
            try
            {
                wasJoined |= await PullAsync(file, part, ended.Token).ConfigureAwait(false);
                string found = await HashAsync(part, ended.Token).ConfigureAwait(false);
                if (file.Sha256 is null || found == file.Sha256)
                {
                    File.Move(part, target, overwrite: true);
                    File.Delete(part + ".json");
                    return found;
                }

                Forget(part);
                fault = $"expected a file with SHA-256 {file.Sha256}, found {found}";
                if (!wasJoined)
                {
                    throw new FetchException($"{file.Url}: {fault}. The source has changed, or something on the way changes it; nothing of it was kept");
                }

                wasJoined = false; // of parts that came at different times: once more, whole
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested)
            {
                cancellation.ThrowIfCancellationRequested();
                throw new FetchException($"{file.Url}: expected the file within {_options.Deadline}, found {Length(part)} of {file.Bytes} bytes. {KeptIn(part)}, or give it more time with --deadline");
            }
            catch (OperationCanceledException)
            {
                fault = $"nothing came for {_options.Stall.TotalSeconds:0.#} s";
            }
            catch (TransientException error)
            {
                (fault, asked) = (error.Message, error.After);
            }
            catch (HttpRequestException error)
            {
                fault = error.Message;
            }

            failures = Length(part) > before ? 1 : failures + 1;
            if (failures >= _options.Attempts)
            {
                throw new FetchException(
                    $"{file.Url}: {failures} attempts one after the other brought nothing, at last: {fault.TrimEnd('.')}. {KeptIn(part)}. Behind a proxy set HTTPS_PROXY (and HTTP_PROXY)");
            }

            TimeSpan delay = asked ?? _options.FirstDelay * (1 << Math.Min(failures - 1, 10));
            delay = delay < _options.LongestDelay ? delay : _options.LongestDelay;
            _say($"{file.Name}: {fault.TrimEnd('.')}; again in {delay.TotalSeconds:0.#} s, {Length(part)} bytes are there");
            try
            {
                await Task.Delay(delay, ended.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                // The time is over: the next attempt says so.
            }
        }
    }

    // One answer, to its end. Whether it was added to what an earlier one had brought.
    private async Task<bool> PullAsync(CatalogueFile file, string part, CancellationToken ended)
    {
        long most = file.Sha256 is not null ? file.Bytes : (2 * file.Bytes) + (1 << 20);
        PartState? known = PartState.Read(part + ".json");
        long start = known is { Validator: not null } && known.Url == file.Url.AbsoluteUri && known.Sha256 == file.Sha256 ? Length(part) : 0;
        if (start > 0 && start == known!.Total)
        {
            return true;
        }

        using var stall = CancellationTokenSource.CreateLinkedTokenSource(ended);
        using var request = new HttpRequestMessage(HttpMethod.Get, file.Url);
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        if (start > 0)
        {
            request.Headers.Range = new RangeHeaderValue(start, null);
            request.Headers.TryAddWithoutValidation("If-Range", known!.Validator);
        }

        stall.CancelAfter(_options.Stall);
        using HttpResponseMessage answer = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stall.Token).ConfigureAwait(false);
        bool goesOn = answer.StatusCode == HttpStatusCode.PartialContent && start > 0 && answer.Content.Headers.ContentRange?.From == start;
        if (!goesOn && answer.StatusCode != HttpStatusCode.OK)
        {
            Refuse(file, part, answer);
        }

        start = goesOn ? start : 0;
        long? total = answer.Content.Headers.ContentLength + start;
        if (total > most || (file.Sha256 is not null && total is not null && total != file.Bytes))
        {
            Forget(part);
            throw new FetchException($"{file.Url}: expected {(file.Sha256 is null ? "about " : "")}{file.Bytes} bytes, found {total}. The source has changed, or something on the way answers for it");
        }

        var state = new PartState(file.Url.AbsoluteUri, file.Sha256, ValidatorOf(answer), total);
        FileStream into = new(part, goesOn ? FileMode.Append : FileMode.Create, FileAccess.Write, FileShare.Read);
        await using (into.ConfigureAwait(false))
        {
            state.Write(part + ".json");
            Stream body = await answer.Content.ReadAsStreamAsync(stall.Token).ConfigureAwait(false);
            byte[] buffer = new byte[1 << 16];
            long at = start, said = Environment.TickCount64;
            while (true)
            {
                stall.CancelAfter(_options.Stall);
                int read = await ReadAsync(body, buffer, stall.Token).ConfigureAwait(false);
                if (read == 0)
                {
                    break;
                }

                at += read;
                if (at > most)
                {
                    into.SetLength(0);
                    throw new FetchException($"{file.Url}: expected {(file.Sha256 is null ? "about " : "")}{file.Bytes} bytes, found more than {most}. The source has changed, or something on the way answers for it");
                }

                await into.WriteAsync(buffer.AsMemory(0, read), ended).ConfigureAwait(false);
                if (Environment.TickCount64 - said >= _options.ReportEvery.TotalMilliseconds)
                {
                    said = Environment.TickCount64;
                    _say($"{file.Name}: {at} of {(total is null ? "about " : "")}{total ?? file.Bytes} bytes");
                }
            }

            if (total is not null && at < total)
            {
                throw new TransientException($"the answer ended after {at} of {total} bytes");
            }

            (state with { Total = at }).Write(part + ".json");
        }

        return goesOn;
    }

    // A connection that breaks is another's fault, a disk that is full is not: both are IOExceptions.
    private static async Task<int> ReadAsync(Stream body, byte[] buffer, CancellationToken ended)
    {
        try
        {
            return await body.ReadAsync(buffer, ended).ConfigureAwait(false);
        }
        catch (IOException error)
        {
            throw new TransientException(error.Message);
        }
    }

    private static void Refuse(CatalogueFile file, string part, HttpResponseMessage answer)
    {
        string what = $"{(int)answer.StatusCode} {answer.ReasonPhrase}";
        if (answer.StatusCode is HttpStatusCode.RequestedRangeNotSatisfiable or HttpStatusCode.PartialContent)
        {
            Forget(part);
            throw new TransientException($"{what} for the rest of the file; it is fetched whole");
        }

        if (answer.StatusCode is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || (int)answer.StatusCode >= 500)
        {
            throw new TransientException(what) { After = answer.Headers.RetryAfter?.Delta };
        }

        throw new FetchException(
            $"{file.Url}: expected the file, found {what}. {(answer.StatusCode == HttpStatusCode.ProxyAuthenticationRequired ? "Set HTTPS_PROXY with a user and a password" : "It has moved or is closed: fetch it by hand, or name another list with --catalog")}");
    }

    // What tells two versions of a file apart: a strong ETag, or else the time of its change, as far as the server says either.
    private static string? ValidatorOf(HttpResponseMessage answer) =>
        answer.Headers.ETag is { IsWeak: false } tag ? tag.ToString() : answer.Content.Headers.LastModified?.ToString("R");

    private static async Task<string> HashAsync(string path, CancellationToken cancellation)
    {
        FileStream file = File.OpenRead(path);
        await using (file.ConfigureAwait(false))
        {
            return Convert.ToHexStringLower(await SHA256.HashDataAsync(file, cancellation).ConfigureAwait(false));
        }
    }

    private static long Length(string path) => File.Exists(path) ? new FileInfo(path).Length : 0;

    private static void Forget(string part)
    {
        File.Delete(part);
        File.Delete(part + ".json");
    }

    private static string KeptIn(string part) => Length(part) > 0 ? $"What came is kept in {part}; the same command goes on from there" : "The same command tries again";

    private sealed class TransientException(string message) : Exception(message)
    {
        public TimeSpan? After { get; init; }
    }

    // Where a part comes from: of which version, and how long that is.
    private sealed record PartState(string Url, string? Sha256, string? Validator, long? Total)
    {
        public static PartState? Read(string path)
        {
            try
            {
                return File.Exists(path) ? JsonSerializer.Deserialize<PartState>(File.ReadAllBytes(path)) : null;
            }
            catch (JsonException)
            {
                return null; // broken off while it was written: fetched whole
            }
        }

        public void Write(string path) => File.WriteAllBytes(path, JsonSerializer.SerializeToUtf8Bytes(this));
    }
}
