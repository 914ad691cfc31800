// BLEU (Papineni et al., BLEU: a method for automatic evaluation of machine translation, 2002) of a whole corpus, as sacreBLEU
// computes it by default (Post, A call for clarity in reporting BLEU scores, 2018): the tokens of mteval-v13a, n-grams up to 4
// against one reference each, the brevity penalty, and exponential smoothing of a precision without a hit. Ideographs are tokens
// of their own, as its tokenizer zh has them.
using System.Text;
using System.Text.RegularExpressions;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Training.Tasks;

/// <summary>BLEU of some texts against their references.</summary>
/// <param name="Score">From 0 to 100.</param>
/// <param name="Precisions">Of n-grams of 1 to 4 tokens, from 0 to 100, smoothed.</param>
/// <param name="BrevityPenalty">1 where the texts are no shorter than the references.</param>
/// <param name="Tokens">Tokens of the texts.</param>
/// <param name="ReferenceTokens">Tokens of the references.</param>
public sealed partial record BleuScore(double Score, IReadOnlyList<double> Precisions, double BrevityPenalty, long Tokens, long ReferenceTokens)
{
    private const int Orders = 4;

    /// <summary>The score of texts against one reference each.</summary>
    /// <exception cref="ArgumentException">There is not one reference for each text.</exception>
    public static BleuScore Of(IReadOnlyList<string> texts, IReadOnlyList<string> references)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(references);
        if (texts.Count != references.Count)
        {
            throw new ArgumentException($"There are {texts.Count} texts and {references.Count} references.", nameof(references));
        }

        long[] hits = new long[Orders], all = new long[Orders];
        long tokens = 0, referenceTokens = 0;
        for (int i = 0; i < texts.Count; i++)
        {
            string[] text = Tokenize(texts[i]), reference = Tokenize(references[i]);
            tokens += text.Length;
            referenceTokens += reference.Length;
            for (int order = 1; order <= Orders; order++)
            {
                Dictionary<string, int> known = Grams(reference, order);
                all[order - 1] += Math.Max(0, text.Length - order + 1);
                foreach ((string gram, int count) in Grams(text, order))
                {
                    hits[order - 1] += Math.Min(count, known.GetValueOrDefault(gram));
                }
            }
        }

        double[] precisions = new double[Orders];
        double smoothing = 1.0, logarithms = 0.0;
        bool isNothing = hits.All(count => count == 0);
        for (int i = 0; i < Orders; i++)
        {
            if (all[i] == 0)
            {
                isNothing = true; // no text has so many tokens
                break;
            }

            smoothing *= hits[i] == 0 ? 2.0 : 1.0;
            precisions[i] = hits[i] == 0 ? 100.0 / (smoothing * all[i]) : 100.0 * hits[i] / all[i];
            logarithms += ScalarMath.Log(precisions[i]);
        }

        double brevity = tokens == 0 ? 0.0 : tokens >= referenceTokens ? 1.0 : ScalarMath.Exp(1.0 - (referenceTokens / (double)tokens));
        return new BleuScore(isNothing ? 0.0 : brevity * ScalarMath.Exp(logarithms / Orders), precisions, brevity, tokens, referenceTokens);
    }

    /// <summary>The tokens of a text: those of mteval-v13a, and each ideograph by itself.</summary>
    public static string[] Tokenize(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = text.Replace("<skipped>", "", StringComparison.Ordinal).Replace("-\n", "", StringComparison.Ordinal).Replace('\n', ' ');
        text = text.Replace("&quot;", "\"", StringComparison.Ordinal).Replace("&amp;", "&", StringComparison.Ordinal).Replace("&lt;", "<", StringComparison.Ordinal).Replace("&gt;", ">", StringComparison.Ordinal);
        var apart = new StringBuilder(" ");
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool isIdeograph = rune.Value is (>= 0x3400 and <= 0x4DBF) or (>= 0x4E00 and <= 0x9FFF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x20000 and <= 0x3FFFF) or (>= 0x3000 and <= 0x30FF) or (>= 0xFF00 and <= 0xFFEF);
            apart.Append(isIdeograph ? $" {rune} " : rune.ToString());
        }

        text = apart.Append(' ').ToString();
        text = Symbols().Replace(text, " $1 ");
        text = PointAfterOther().Replace(text, "$1 $2 ");
        text = PointBeforeOther().Replace(text, " $1 $2");
        text = DashAfterDigit().Replace(text, "$1 $2 ");
        return text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
    }

    private static Dictionary<string, int> Grams(string[] tokens, int order)
    {
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int first = 0; first + order <= tokens.Length; first++)
        {
            string gram = string.Join(' ', tokens, first, order);
            counts[gram] = counts.GetValueOrDefault(gram) + 1;
        }

        return counts;
    }

    [GeneratedRegex(@"([\{-\~\[-\` -\&\(-\+\:-\@\/])")]
    private static partial Regex Symbols();

    [GeneratedRegex("([^0-9])([.,])")]
    private static partial Regex PointAfterOther();

    [GeneratedRegex("([.,])([^0-9])")]
    private static partial Regex PointBeforeOther();

    [GeneratedRegex("([0-9])(-)")]
    private static partial Regex DashAfterDigit();
}
