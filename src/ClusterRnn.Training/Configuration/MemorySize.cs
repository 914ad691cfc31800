// Sizes of memory as people write them: 512MB, 1.5GiB. A number without a unit is refused: a thousand of what?
using System.Globalization;
using System.Text.RegularExpressions;

namespace ClusterRnn.Training.Configuration;

/// <summary>A size of memory in words.</summary>
public static partial class MemorySize
{
    /// <summary>How a size is written: a number and a unit, decimal (MB: 10^6 bytes) or binary (MiB: 2^20 bytes).</summary>
    public const string Pattern = @"^[0-9]{1,9}(\.[0-9]{1,6})? ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$";

    /// <summary>The same for people.</summary>
    public const string Words = "a size such as 512MB or 1.5GiB (units: B, KB, MB, GB, TB of 1000, KiB, MiB, GiB, TiB of 1024)";

    /// <summary>The bytes of a size, rounded down.</summary>
    /// <exception cref="FormatException"><paramref name="text"/> is not a size.</exception>
    public static long Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (Written().Match(text) is not { Success: true } match || match.Length != text.Length)
        {
            throw new FormatException($"expected {Words}; found '{text}'");
        }

        int digits = text.AsSpan().LastIndexOfAnyInRange('0', '9') + 1;
        string unit = text[digits..].Trim();
        decimal scale = unit.Contains('i', StringComparison.Ordinal) ? 1024 : 1000, bytes = decimal.Parse(text.AsSpan(0, digits), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture);
        for (int power = "BKMGT".IndexOf(unit[0], StringComparison.Ordinal); power > 0; power--)
        {
            bytes *= scale;
        }

        return (long)Math.Min(bytes, long.MaxValue);
    }

    /// <summary>A size that holds <paramref name="bytes"/>, to be written as a limit: rounded up to a tenth of a decimal unit.</summary>
    public static string AtLeast(long bytes)
    {
        (long unit, string name) = bytes switch
        {
            >= 1_000_000_000 => (1_000_000_000L, "GB"),
            >= 1_000_000 => (1_000_000L, "MB"),
            _ => (1000L, "KB"),
        };
        long tenths = (long)((((Int128)bytes * 10) + unit - 1) / unit);
        return tenths % 10 == 0 ? string.Create(CultureInfo.InvariantCulture, $"{tenths / 10}{name}") : string.Create(CultureInfo.InvariantCulture, $"{tenths / 10}.{tenths % 10}{name}");
    }

    [GeneratedRegex(Pattern, RegexOptions.CultureInvariant)]
    private static partial Regex Written();
}
