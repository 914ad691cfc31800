using System.Buffers;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>A view of native memory that sockets and TLS take, moved from chunk to chunk without allocating.</summary>
internal sealed unsafe class NativeWindow : MemoryManager<byte>
{
    private byte* _pointer;
    private int _length;

    /// <summary>Shows these bytes from now on.</summary>
    public Memory<byte> Over(nint address, int length)
    {
        _pointer = (byte*)address;
        _length = length;
        return CreateMemory(length);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_pointer, _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_pointer + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }
}
