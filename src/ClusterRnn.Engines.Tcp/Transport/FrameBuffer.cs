using System.Runtime.CompilerServices;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>
/// Reads a stream frame by frame: gathers heads and metas, hands payloads out without passing through. It grows only as
/// bytes arrive, and shrinks again after a large message.
/// </summary>
/// <param name="stream">Where the bytes come from.</param>
/// <param name="heard">Called whenever some have come.</param>
internal sealed class FrameBuffer(Stream stream, Action heard)
{
    private const int UsualBytes = 16 << 10;

    private byte[] _bytes = new byte[UsualBytes];
    private int _start, _end;

    /// <summary>How many bytes are there.</summary>
    public int Available => _end - _start;

    /// <summary>The bytes that are there.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(_start, Available);

    /// <summary>Waits until this many bytes are there.</summary>
    /// <returns>False at the end of the stream.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> FillAsync(int count)
    {
        while (Available < count)
        {
            MakeRoom(count);
            int read = await stream.ReadAsync(_bytes.AsMemory(_end)).ConfigureAwait(false);
            if (read == 0)
            {
                return false;
            }

            _end += read;
            heard();
        }

        return true;
    }

    /// <summary>Lets bytes from the front go.</summary>
    public void Consume(int count)
    {
        _start += count;
        if (_start == _end)
        {
            _start = _end = 0;
            if (_bytes.Length > 64 * UsualBytes)
            {
                _bytes = new byte[UsualBytes];
            }
        }
    }

    /// <summary>Moves what is there to a payload's beginning.</summary>
    public int CopyTo(Span<byte> payload)
    {
        int count = Math.Min(Available, payload.Length);
        Bytes[..count].CopyTo(payload);
        Consume(count);
        return count;
    }

    private void MakeRoom(int count)
    {
        if (_bytes.Length - _start >= count && _end < _bytes.Length)
        {
            return;
        }

        int available = Available;
        // Full, and still too little: twice as much, so that a length alone never makes it large.
        byte[] into = available == _bytes.Length ? new byte[Math.Min(Math.Max(count, UsualBytes), 2 * _bytes.Length)] : _bytes;
        _bytes.AsSpan(_start, available).CopyTo(into);
        _bytes = into;
        _start = 0;
        _end = available;
    }
}
