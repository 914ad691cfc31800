using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace ClusterRnn.Tests.Kernels;

/// <summary>
/// Memory that ends at a page boundary, with a page behind it that must not be touched: a kernel that reads or writes one
/// element too many dies at once. Elsewhere than on Linux it is plain memory. Mappings are kept for the next of the same size.
/// </summary>
public sealed unsafe partial class GuardedMemory : IDisposable
{
    private static readonly ConcurrentDictionary<nuint, ConcurrentBag<nint>> kept = new();
    private static readonly nuint pageBytes = (nuint)Environment.SystemPageSize;
    private readonly nuint pages;
    private readonly byte* mapped;

    public GuardedMemory(long bytes)
    {
        Bytes = bytes;
        pages = ((nuint)bytes + pageBytes - 1) / pageBytes;
        mapped = kept.GetOrAdd(pages, _ => []).TryTake(out nint free) ? (byte*)free : Allocate(pages);
        Pointer = mapped + (pages * pageBytes) - bytes;
    }

    public long Bytes { get; }

    public byte* Pointer { get; }

    public Span<T> Span<T>()
        where T : unmanaged => new(Pointer, (int)(Bytes / sizeof(T)));

    public void Dispose() => kept[pages].Add((nint)mapped);

    private static byte* Allocate(nuint pages)
    {
        nuint bytes = (pages + 1) * pageBytes;
        if (!OperatingSystem.IsLinux())
        {
            return (byte*)NativeMemory.AllocZeroed(bytes);
        }

        const int read = 1, write = 2, isPrivate = 2, anonymous = 32;
        byte* memory = (byte*)Map(null, bytes, read | write, isPrivate | anonymous, -1, 0);
        Assert.True((nint)memory != -1, "mmap failed");
        Assert.Equal(0, Protect(memory + (pages * pageBytes), pageBytes, 0));
        return memory;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Map(void* address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(void* address, nuint length, int protection);
}
