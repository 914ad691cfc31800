// Large buffers ask for pages of 2 MiB. The rows of activations and gates lie a page or more apart, so with pages of 4 KiB each
// row is a miss of the address caches, which costs more than the row itself, most of all in a virtual machine.
using System.Runtime.InteropServices;

namespace ClusterRnn.Kernels.Memory;

/// <summary>Advice to the operating system on memory that is read by strides.</summary>
internal static unsafe class HugePages
{
    private const nuint PageBytes = 4096;
    private const nuint LeastBytes = 4 << 20; // below, the small pages at both ends would be most of it
    private const int AdviseHugePages = 14; // MADV_HUGEPAGE

    /// <summary>Asks for huge pages where the system has them; call it before the memory is touched. It is advice: nothing depends on the answer.</summary>
    /// <param name="memory">The first byte.</param>
    /// <param name="bytes">How many.</param>
    public static void Advise(void* memory, nuint bytes)
    {
        if (OperatingSystem.IsLinux() && bytes >= LeastBytes)
        {
            nuint first = ((nuint)memory + PageBytes - 1) & ~(PageBytes - 1), end = ((nuint)memory + bytes) & ~(PageBytes - 1);
            _ = Advise((void*)first, end - first, AdviseHugePages);
        }
    }

    [DllImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Advise(void* memory, nuint bytes, int advice);
}
