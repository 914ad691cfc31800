// All native memory of the computations. With CLUSTERRNN_GUARD_PAGES=1 each block ends where a page begins that must not be
// touched: who reads or writes past its end dies at once instead of spoiling what lies there.
using System.Runtime.InteropServices;

namespace ClusterRnn.Kernels.Memory;

/// <summary>Zero-filled memory aligned to 64 bytes.</summary>
internal static unsafe class NativeBlock
{
    private const int Alignment = 64;
    private static readonly nuint pageBytes = (nuint)Environment.SystemPageSize;

    /// <summary>Whether blocks end at a page that must not be touched; on Linux alone.</summary>
    public static bool IsGuarded { get; } = OperatingSystem.IsLinux() && Environment.GetEnvironmentVariable("CLUSTERRNN_GUARD_PAGES") == "1";

    /// <summary>Reserves zeros, and room up to the next multiple of 64 bytes.</summary>
    public static void* Allocate(long bytes)
    {
        nuint rounded = (nuint)Math.Max(Alignment, checked(bytes + Alignment - 1) & -Alignment);
        if (IsGuarded)
        {
            return AllocateGuarded(rounded);
        }

        void* memory = NativeMemory.AlignedAlloc(rounded, Alignment);
        HugePages.Advise(memory, rounded);
        NativeMemory.Clear(memory, rounded);
        return memory;
    }

    /// <summary>Frees what <see cref="Allocate"/> gave.</summary>
    public static void Free(void* memory)
    {
        if (!IsGuarded)
        {
            NativeMemory.AlignedFree(memory);
            return;
        }

        byte* head = (byte*)((nuint)memory & ~(pageBytes - 1)) - pageBytes;
        _ = Unmap(head, *(nuint*)head);
    }

    // A page that says how long the mapping is, the block at the end of its pages, the page that must not be touched.
    private static void* AllocateGuarded(nuint bytes)
    {
        const int read = 1, write = 2, isPrivate = 2, anonymous = 32;
        nuint pages = (bytes + pageBytes - 1) / pageBytes * pageBytes, length = pages + (2 * pageBytes);
        byte* head = (byte*)Map(null, length, read | write, isPrivate | anonymous, -1, 0);
        if ((nint)head == -1 || Protect(head + pageBytes + pages, pageBytes, 0) != 0)
        {
            throw new OutOfMemoryException($"No memory of {length} bytes could be mapped.");
        }

        *(nuint*)head = length;
        return head + pageBytes + pages - bytes;
    }

    [DllImport("libc", EntryPoint = "mmap")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void* Map(void* address, nuint length, int protection, int flags, int file, long offset);

    [DllImport("libc", EntryPoint = "mprotect")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Protect(void* address, nuint length, int protection);

    [DllImport("libc", EntryPoint = "munmap")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Unmap(void* address, nuint length);
}
