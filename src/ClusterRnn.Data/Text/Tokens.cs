using System.Globalization;
using System.Text;

namespace ClusterRnn.Data;

/// <summary>Cuts text into tokens so that joining them gives the text back.</summary>
public static class Tokens
{
    /// <summary>The tokens of <paramref name="text"/> at character or word level.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Bytes are no pieces of a string.</exception>
    public static IEnumerable<string> Split(string text, TokenLevel level)
    {
        ArgumentOutOfRangeException.ThrowIfEqual((int)level, (int)TokenLevel.Byte, nameof(level));
        for (int start = 0; start < text.Length;)
        {
            int length = level == TokenLevel.Word ? WordLength(text.AsSpan(start)) : char.IsSurrogatePair(text, start) ? 2 : 1;
            yield return text.Substring(start, length);
            start += length;
        }
    }

    /// <summary>
    /// How many chars the first word token of <paramref name="text"/> has: one space that belongs to what follows it,
    /// then a run of letters, marks and digits with apostrophes inside, or any one other scalar value. Ideographs and
    /// kana, written without spaces, are tokens of their own.
    /// </summary>
    public static int WordLength(ReadOnlySpan<char> text)
    {
        int length = 0;
        if (text.Length > 1 && text[0] == ' ' && !char.IsWhiteSpace(text[1]))
        {
            length = 1;
        }

        Rune.DecodeFromUtf16(text[length..], out Rune rune, out int used);
        length += used;
        if (!IsWordPart(rune))
        {
            return length;
        }

        while (length < text.Length)
        {
            Rune.DecodeFromUtf16(text[length..], out rune, out used);
            if (rune.Value is '\'' or 0x2019)
            {
                Rune.DecodeFromUtf16(text[(length + used)..], out Rune next, out int more);
                if (!IsWordPart(next))
                {
                    break;
                }

                length += used + more;
            }
            else if (IsWordPart(rune))
            {
                length += used;
            }
            else
            {
                break;
            }
        }

        return length;
    }

    private static bool IsWordPart(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
            or UnicodeCategory.ModifierLetter or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark
            or UnicodeCategory.EnclosingMark or UnicodeCategory.DecimalDigitNumber => true,
        // Hangul is written with spaces between words; the other scripts without case that are not are cut by scalar.
        UnicodeCategory.OtherLetter => !IsWrittenWithoutSpaces(rune.Value),
        _ => false,
    };

    private static bool IsWrittenWithoutSpaces(int scalar) =>
        scalar is (>= 0x0E00 and <= 0x0EFF) or (>= 0x1000 and <= 0x109F) or (>= 0x1780 and <= 0x17FF)
            or (>= 0x3040 and <= 0x30FF) or (>= 0x31F0 and <= 0x31FF) or (>= 0x3400 and <= 0x4DBF)
            or (>= 0x4E00 and <= 0x9FFF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x20000 and <= 0x3FFFF);
}
