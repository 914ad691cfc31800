namespace ClusterRnn.Data;

/// <summary>English words for numbers, ordinals, months and years, and back.</summary>
public static class NumberWords
{
    /// <summary>The largest number that has words.</summary>
    public const int Largest = 999;

    /// <summary>The first year that has words.</summary>
    public const int FirstYear = 1100;

    /// <summary>The last year that has words.</summary>
    public const int LastYear = 2099;

    private static readonly string[] Small =
    [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    ];

    private static readonly string[] Tens =
        ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

    private static readonly string[] SmallOrdinals =
    [
        "", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
        "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
        "twentieth",
    ];

    private static readonly string[] Months =
    [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december",
    ];

    private static readonly string[] Cardinals = [.. Enumerable.Range(0, Largest + 1).Select(SpellCardinal)];

    private static readonly Dictionary<string, int> CardinalValues = Invert(Cardinals, 0);

    private static readonly Dictionary<string, int> OrdinalValues = Invert([.. Enumerable.Range(1, 31).Select(SpellOrdinal)], 1);

    private static readonly Dictionary<string, int> MonthValues = Invert(Months, 1);

    private static readonly Dictionary<string, int> YearValues =
        Invert([.. Enumerable.Range(FirstYear, LastYear - FirstYear + 1).Select(Year)], FirstYear);

    /// <summary>"forty-two" for 42.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is not in [0, 999].</exception>
    public static string Cardinal(int number)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(number, Largest);
        return Cardinals[number];
    }

    /// <summary>"twenty-first" for 21.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is no day of a month.</exception>
    public static string Ordinal(int day)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(day, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(day, 31);
        return SpellOrdinal(day);
    }

    /// <summary>"march" for 3.</summary>
    public static string Month(int month) => Months[month - 1];

    /// <summary>"nineteen ninety-two" for 1992, "nineteen oh five" for 1905, "nineteen hundred" for 1900, "two thousand one" for 2001.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The year is not in [1100, 2099].</exception>
    public static string Year(int year)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(year, FirstYear);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(year, LastYear);
        int century = year / 100, rest = year % 100;
        return (century, rest) switch
        {
            (20, 0) => "two thousand",
            (20, < 10) => "two thousand " + Small[rest],
            (_, 0) => SpellCardinal(century) + " hundred",
            (_, < 10) => SpellCardinal(century) + " oh " + Small[rest],
            _ => SpellCardinal(century) + " " + SpellCardinal(rest),
        };
    }

    /// <summary>The number of some words, or -1.</summary>
    public static int ParseCardinal(string words) => CardinalValues.GetValueOrDefault(words, -1);

    /// <summary>The day of an ordinal, or -1.</summary>
    public static int ParseOrdinal(string words) => OrdinalValues.GetValueOrDefault(words, -1);

    /// <summary>The number of a month's name, or -1.</summary>
    public static int ParseMonth(string word) => MonthValues.GetValueOrDefault(word, -1);

    /// <summary>The year of some words, or -1.</summary>
    public static int ParseYear(string words) => YearValues.GetValueOrDefault(words, -1);

    private static string SpellCardinal(int number) => number switch
    {
        < 20 => Small[number],
        < 100 when number % 10 == 0 => Tens[number / 10],
        < 100 => Tens[number / 10] + "-" + Small[number % 10],
        _ when number % 100 == 0 => Small[number / 100] + " hundred",
        _ => Small[number / 100] + " hundred " + SpellCardinal(number % 100),
    };

    private static string SpellOrdinal(int day) => day switch
    {
        <= 20 => SmallOrdinals[day],
        30 => "thirtieth",
        _ => Tens[day / 10] + "-" + SmallOrdinals[day % 10],
    };

    private static Dictionary<string, int> Invert(string[] words, int first)
    {
        var values = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < words.Length; i++)
        {
            values.Add(words[i], first + i);
        }

        return values;
    }
}
