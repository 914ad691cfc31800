using System.Globalization;

namespace ClusterRnn.Data;

/// <summary>How much of a text written in the grammar's language is right.</summary>
/// <param name="Sentences">Whole lines.</param>
/// <param name="Sums">Lines that are about a sum: they hold " plus ".</param>
/// <param name="SumsRight">Sums of two numbers with the right result, spelled and closed as the grammar does.</param>
/// <param name="Dates">Lines that are about a date: they hold " is ".</param>
/// <param name="DatesRight">Dates whose words and figures agree.</param>
public readonly record struct GrammarReport(int Sentences, int Sums, int SumsRight, int Dates, int DatesRight)
{
    /// <summary>The share of sums that are right, or 0 when there is none.</summary>
    public double SumShare => Sums == 0 ? 0 : SumsRight / (double)Sums;

    /// <summary>The share of dates that are right, or 0 when there is none.</summary>
    public double DateShare => Dates == 0 ? 0 : DatesRight / (double)Dates;

    /// <summary>Lines that are neither.</summary>
    public int Strange => Sentences - Sums - Dates;

    /// <summary>Both reports together.</summary>
    public static GrammarReport operator +(GrammarReport a, GrammarReport b) => new(
        a.Sentences + b.Sentences, a.Sums + b.Sums, a.SumsRight + b.SumsRight, a.Dates + b.Dates, a.DatesRight + b.DatesRight);
}

/// <summary>Reads sentences back and does the sum, whoever wrote them.</summary>
public static class GrammarChecker
{
    /// <summary>Checks the whole lines of <paramref name="text"/>; what follows the last line feed is left out.</summary>
    /// <param name="text">Text in the grammar's language.</param>
    /// <param name="startsMidSentence">Whether the text begins in the middle of a sentence, which is then left out.</param>
    public static GrammarReport Check(string text, bool startsMidSentence = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        var report = default(GrammarReport);
        int start = startsMidSentence ? text.IndexOf('\n') + 1 : 0;
        for (int end; (end = text.IndexOf('\n', start)) >= 0; start = end + 1)
        {
            string line = text[start..end];
            report += line.Contains(" plus ", StringComparison.Ordinal)
                ? new GrammarReport(1, 1, IsRightSum(line) ? 1 : 0, 0, 0)
                : line.Contains(" is ", StringComparison.Ordinal)
                    ? new GrammarReport(1, 0, 0, 1, IsRightDate(line) ? 1 : 0)
                    : new GrammarReport(1, 0, 0, 0, 0);
        }

        return report;
    }

    /// <summary>Whether a line without its line feed is a sum that is right.</summary>
    public static bool IsRightSum(string line)
    {
        string[] sides = line.Split(" equals ");
        string[] addends = sides[0].Split(" plus ");
        if (sides.Length != 2 || addends.Length != 2 || !sides[1].EndsWith('.'))
        {
            return false;
        }

        int first = NumberWords.ParseCardinal(addends[0]), second = NumberWords.ParseCardinal(addends[1]);
        return first >= 0 && second >= 0 && NumberWords.ParseCardinal(sides[1][..^1]) == first + second;
    }

    /// <summary>Whether a line without its line feed is a date whose words and figures agree.</summary>
    public static bool IsRightDate(string line)
    {
        string[] sides = line.Split(" is ");
        if (sides.Length != 2 || !sides[0].StartsWith("the ", StringComparison.Ordinal) || !sides[1].EndsWith('.'))
        {
            return false;
        }

        string[] words = sides[0].Split(' ', 5);
        if (words.Length != 5 || words[2] != "of")
        {
            return false;
        }

        int day = NumberWords.ParseOrdinal(words[1]), month = NumberWords.ParseMonth(words[3]), year = NumberWords.ParseYear(words[4]);
        return day > 0 && month > 0 && year > 0
            && DateOnly.TryParseExact(sides[1][..^1], "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly date)
            && date.Day == day && date.Month == month && date.Year == year;
    }
}
