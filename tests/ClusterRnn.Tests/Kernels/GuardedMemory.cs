using System.Runtime.InteropServices;

namespace ClusterRnn.Tests.Kernels;

/// <summary>
/// Memory that ends at a page boundary, with a page behind it that must not be touched: a kernel that reads or writes one
/// element too many dies at once. Elsewhere than on Linux it is plain memory.
/// </summary>
public sealed unsafe partial class GuardedMemory : IDisposable
{
    private readonly nuint pageBytes = (nuint)Environment.SystemPageSize;
    private readonly nuint mappedBytes;
    private readonly byte* mapped;

    public GuardedMemory(long bytes)
    {
        Bytes = bytes;
        nuint pages = ((nuint)bytes + pageBytes - 1) / pageBytes;
        mappedBytes = (pages + 1) * pageBytes;
        if (OperatingSystem.IsLinux())
        {
            const int read = 1, write = 2, isPrivate = 2, anonymous = 32;
            mapped = (byte*)Map(null, mappedBytes, read | write, isPrivate | anonymous, -1, 0);
            Assert.True((nint)mapped != -1, "mmap failed");
            Assert.Equal(0, Protect(mapped + (pages * pageBytes), pageBytes, 0));
        }
        else
        {
            mapped = (byte*)NativeMemory.AllocZeroed(mappedBytes);
        }

        Pointer = mapped + (pages * pageBytes) - bytes;
    }

    public long Bytes { get; }

    public byte* Pointer { get; }

    public Span<T> Span<T>()
        where T : unmanaged => new(Pointer, (int)(Bytes / sizeof(T)));

    public void Dispose()
    {
        if (OperatingSystem.IsLinux())
        {
            _ = Unmap(mapped, mappedBytes);
        }
        else
        {
            NativeMemory.Free(mapped);
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Map(void* address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* address, nuint length);
}
