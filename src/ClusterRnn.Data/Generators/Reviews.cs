// Reviews from a small grammar in which a word alone doesn't decide: negations turn it around, and of two clauses the one after
// "but" counts, or the one after that with "although".
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Generated reviews.</summary>
internal static class Reviews
{
    private static readonly string[] Subjects = ["the film", "the plot", "the acting", "the music", "the ending", "the first hour", "the story", "this picture", "the cast", "the dialogue", "the camera work", "the humour"];
    private static readonly string[][] Judgements =
    [
        ["dull", "clumsy", "predictable", "boring", "awful", "hollow", "tedious", "silly", "lifeless", "stale", "shallow", "confusing"],
        ["wonderful", "moving", "clever", "funny", "gripping", "beautiful", "honest", "brilliant", "charming", "fresh", "subtle", "warm"],
    ];

    private static readonly string[] Adverbs = ["", "", " really", " quite", " truly", " rather", " so"];
    private static readonly string[] Labels = ["negative", "positive"];

    /// <summary>A review and how it judges.</summary>
    public static (string Text, string Label) Make(RandomKey key, int number)
    {
        int first = (int)key.Below(number, 0, 0, 2), second = (int)key.Below(number, 0, 1, 2), form = (int)key.Below(number, 0, 2, 4);
        (string text, int label) = form switch
        {
            0 => ($"{Clause(0, first)} .", first),
            1 => ($"{Clause(0, first)} , but {Clause(1, second)} .", second),
            2 => ($"although {Clause(0, first)} , {Clause(1, second)} .", second),
            _ => ($"{Clause(0, first)} , and {Clause(1, first)} .", first),
        };
        return (text, Labels[label]);

        string Clause(int clause, int polarity)
        {
            bool isNegated = key.Below(number, 1 + clause, 0, 3) == 0;
            string Of(string[] words, int element) => words[key.Below(number, 1 + clause, element, words.Length)];
            return $"{Of(Subjects, 1)} is{(isNegated ? " not" : "")}{Of(Adverbs, 2)} {Of(Judgements[isNegated ? 1 - polarity : polarity], 3)}";
        }
    }
}
