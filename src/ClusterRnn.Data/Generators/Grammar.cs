// A language small enough that everything about it is known: sums and dates, in words.
//
//     seven plus twelve equals nineteen.
//     the third of march nineteen ninety-two is 1992-03-03.
//
// Its true entropy. A sentence is one choice of its kind (sum or date, with weights s and d) and one uniform choice
// within the kind: of (A + 1)^2 pairs of addends, or of D calendar dates. No two choices make the same sentence, and
// every sentence ends with the only full stop and line feed it has, so a text can be taken apart in exactly one way and
// the information in it is the information in the choices. With q = s / (s + d) a sentence carries
//     H = -q ln q - (1 - q) ln(1 - q) + q ln (A + 1)^2 + (1 - q) ln D          nats,
// and it is L = q (mean length of a sum) + (1 - q) (mean length of a date) characters long, the means by enumeration.
// Sentences are independent, so an endless text has H / L nats a character: no model can do better on average, and one
// that knows the grammar (and can add) does as well. The text at hand differs from that by chance, since it may have
// more short sentences than most: its own floor is (number of sums and dates weighted by their -ln p) / characters.
//
// Sentence i is a function of (seed, i) alone.
//
// The defaults are what an LSTM of 128 units learns in a minute or two: 13 x 13 sums, ten years of dates, and no word
// between a date's words and its figures that would only lengthen what has to be remembered.
using System.Globalization;
using System.Text;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>What is known about a grammar's information.</summary>
/// <param name="NatsPerSentence">H: the information of one sentence.</param>
/// <param name="CharactersPerSentence">L: the mean length of a sentence with its line feed.</param>
public readonly record struct GrammarEntropy(double NatsPerSentence, double CharactersPerSentence)
{
    /// <summary>The floor under every model's loss on endless text.</summary>
    public double NatsPerCharacter => NatsPerSentence / CharactersPerSentence;

    /// <summary>The same in bits.</summary>
    public double BitsPerCharacter => NatsPerCharacter / ScalarMath.Log(2.0);
}

/// <summary>The seeded grammar of sums and dates in words.</summary>
public sealed record Grammar
{
    /// <summary>The default of <see cref="Sums"/>.</summary>
    public const int DefaultSums = 2;

    /// <summary>The default of <see cref="LargestAddend"/>.</summary>
    public const int DefaultLargestAddend = 12;

    /// <summary>The default of <see cref="FirstYear"/>.</summary>
    public const int DefaultFirstYear = 1990;

    /// <summary>The default of <see cref="LastYear"/>.</summary>
    public const int DefaultLastYear = 1999;

    /// <summary>The weight of sums.</summary>
    public int Sums { get; init; } = DefaultSums;

    /// <summary>The weight of dates.</summary>
    public int Dates { get; init; } = 1;

    /// <summary>Addends are drawn from 0 to this number.</summary>
    public int LargestAddend { get; init; } = DefaultLargestAddend;

    /// <summary>The first year of dates.</summary>
    public int FirstYear { get; init; } = DefaultFirstYear;

    /// <summary>The last year of dates.</summary>
    public int LastYear { get; init; } = DefaultLastYear;

    /// <summary>Checks that the parameters make a grammar.</summary>
    /// <exception cref="DataException">They don't.</exception>
    public void Validate()
    {
        if (Sums < 0 || Dates < 0 || Sums + Dates < 1)
        {
            throw new DataException("grammar", "weights of sums and dates that are not both 0", $"{Sums} and {Dates}", "Give one of them a positive weight");
        }

        if (LargestAddend is < 1 or > NumberWords.Largest / 2)
        {
            throw new DataException("grammar", $"a largest addend from 1 to {NumberWords.Largest / 2}", $"{LargestAddend}", "Change largestAddend");
        }

        if (FirstYear < NumberWords.FirstYear || LastYear > NumberWords.LastYear || FirstYear > LastYear)
        {
            throw new DataException(
                "grammar", $"years from {NumberWords.FirstYear} to {NumberWords.LastYear}, the first not after the last", $"{FirstYear} to {LastYear}", "Change firstYear or lastYear");
        }
    }

    /// <summary>The sentence of two addends, with its line feed.</summary>
    public static string Sum(int first, int second) =>
        $"{NumberWords.Cardinal(first)} plus {NumberWords.Cardinal(second)} equals {NumberWords.Cardinal(first + second)}.\n";

    /// <summary>The sentence of a date, with its line feed.</summary>
    public static string Date(DateOnly date) =>
        $"the {NumberWords.Ordinal(date.Day)} of {NumberWords.Month(date.Month)} {NumberWords.Year(date.Year)} is {date.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)}.\n";

    /// <summary>Sentence <paramref name="index"/> of the text of this seed, with its line feed.</summary>
    public string Sentence(ulong seed, long index)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Grammar, 0);
        if (key.Below(0, index, 0, Sums + Dates) < Sums)
        {
            return Sum((int)key.Below(0, index, 1, LargestAddend + 1), (int)key.Below(0, index, 2, LargestAddend + 1));
        }

        return Date(FirstDate.AddDays((int)key.Below(0, index, 1, DateCount)));
    }

    /// <summary>At least <paramref name="characters"/> characters of whole sentences.</summary>
    public string Text(ulong seed, int characters)
    {
        Validate();
        var text = new StringBuilder(characters + 128);
        for (long index = 0; text.Length < characters; index++)
        {
            text.Append(Sentence(seed, index));
        }

        return text.ToString();
    }

    /// <summary>Every sentence of the grammar with its probability.</summary>
    public IEnumerable<(string Sentence, double Probability)> Enumerate()
    {
        double q = Sums / (double)(Sums + Dates);
        double pairs = (LargestAddend + 1.0) * (LargestAddend + 1.0);
        for (int first = 0; first <= LargestAddend && Sums > 0; first++)
        {
            for (int second = 0; second <= LargestAddend; second++)
            {
                yield return (Sum(first, second), q / pairs);
            }
        }

        for (int day = 0; day < DateCount && Dates > 0; day++)
        {
            yield return (Date(FirstDate.AddDays(day)), (1 - q) / DateCount);
        }
    }

    /// <summary>The exact entropy; see the head of this file.</summary>
    public GrammarEntropy Entropy()
    {
        Validate();
        // Lengths are whole numbers, so their sums are exact; the mean length of a sum needs no double loop, since
        // "a plus b equals c" is the words for a, b and c and what stands between them.
        double q = Sums / (double)(Sums + Dates);
        long sumCharacters = 0, dateCharacters = 0;
        if (Sums > 0)
        {
            int between = Sum(0, 0).Length - 3 * NumberWords.Cardinal(0).Length;
            long addends = LargestAddend + 1;
            for (int number = 0; number <= 2 * LargestAddend; number++)
            {
                int length = NumberWords.Cardinal(number).Length;
                long asResult = number <= LargestAddend ? number + 1 : 2 * addends - 1 - number;
                sumCharacters += length * (asResult + (number <= LargestAddend ? 2 * addends : 0));
            }

            sumCharacters += between * addends * addends;
        }

        for (int day = 0; day < DateCount && Dates > 0; day++)
        {
            dateCharacters += Date(FirstDate.AddDays(day)).Length;
        }

        double pairs = (LargestAddend + 1.0) * (LargestAddend + 1.0);
        double nats = Part(q, pairs) + Part(1 - q, DateCount);
        double characters = q * (sumCharacters / pairs) + (1 - q) * (dateCharacters / (double)DateCount);
        return new GrammarEntropy(nats, characters);

        // One kind's share of H: q (ln choices - ln q).
        static double Part(double q, double choices) => q == 0 ? 0 : q * (ScalarMath.Log(choices) - ScalarMath.Log(q));
    }

    private DateOnly FirstDate => new(FirstYear, 1, 1);

    private int DateCount => new DateOnly(LastYear, 12, 31).DayNumber - FirstDate.DayNumber + 1;
}
