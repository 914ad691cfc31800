// Generated pairs of sentences in English and German. The German side asks for more than a word for each word: articles and
// adjectives follow gender and case, and an adverb at the English end moves to the German front, behind which the verb stands
// before its subject. Pair i is a function of (seed, i).
using System.Text;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Sentences of a small grammar and their translations.</summary>
internal static class TranslationPairs
{
    private static readonly (string English, string German, int Gender)[] Nouns =
    [
        ("man", "Mann", 0), ("dog", "Hund", 0), ("bird", "Vogel", 0), ("teacher", "Lehrer", 0), ("doctor", "Arzt", 0), ("fox", "Fuchs", 0), ("fish", "Fisch", 0),
        ("tree", "Baum", 0), ("woman", "Frau", 1), ("cat", "Katze", 1), ("mouse", "Maus", 1), ("queen", "Königin", 1), ("cow", "Kuh", 1), ("lamp", "Lampe", 1),
        ("child", "Kind", 2), ("horse", "Pferd", 2), ("girl", "Mädchen", 2), ("sheep", "Schaf", 2), ("house", "Haus", 2), ("book", "Buch", 2), ("ship", "Schiff", 2),
    ];

    private static readonly (string English, string German)[] Adjectives =
    [
        ("old", "alt"), ("small", "klein"), ("big", "groß"), ("young", "jung"), ("red", "rot"), ("white", "weiß"), ("black", "schwarz"), ("friendly", "freundlich"), ("hungry", "hungrig"), ("quick", "schnell"),
    ];

    private static readonly (string English, string German)[] Verbs =
    [
        ("sees", "sieht"), ("finds", "findet"), ("knows", "kennt"), ("hears", "hört"), ("seeks", "sucht"), ("paints", "malt"), ("greets", "grüßt"), ("carries", "trägt"), ("loves", "liebt"), ("needs", "braucht"),
    ];

    private static readonly (string English, string German)[] Adverbs =
    [
        ("today", "heute"), ("often", "oft"), ("now", "jetzt"), ("always", "immer"), ("sometimes", "manchmal"), ("never", "nie"), ("again", "wieder"), ("quietly", "leise"),
    ];

    // [accusative][gender]: the article, and the adjective's ending after it.
    private static readonly (string Article, string Ending)[][] Definite = [[("der", "e"), ("die", "e"), ("das", "e")], [("den", "en"), ("die", "e"), ("das", "e")]];
    private static readonly (string Article, string Ending)[][] Indefinite = [[("ein", "er"), ("eine", "e"), ("ein", "es")], [("einen", "en"), ("eine", "e"), ("ein", "es")]];

    /// <summary>The pairs of a seed.</summary>
    public static PairTexts Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Translation, 0);
        string[] sources = new string[count], targets = new string[count];
        for (int i = 0; i < count; i++)
        {
            (sources[i], targets[i]) = Sentence(key, i);
        }

        return new PairTexts("generated pairs", sources, targets, ExampleGenerators.Sha256($"translation 1 {seed} {count}"), []);
    }

    private static (string English, string German) Sentence(RandomKey key, long number)
    {
        var english = new StringBuilder();
        var german = new StringBuilder();
        int clauses = key.Below(number, 0, 0, 4) == 0 ? 2 : 1;
        for (int clause = 0; clause < clauses; clause++)
        {
            if (clause > 0)
            {
                english.Append(" and ");
                german.Append(" und ");
            }

            Clause(key, number, 1 + (clause * 20), english, german);
        }

        return (english.Append('.').ToString(), german.Append('.').ToString());
    }

    private static void Clause(RandomKey key, long number, int time, StringBuilder english, StringBuilder german)
    {
        (string subject, string germanSubject) = Phrase(key, number, time, isAccusative: false);
        (string target, string germanTarget) = Phrase(key, number, time + 5, isAccusative: true);
        (string verb, string germanVerb) = Verbs[key.Below(number, time + 10, 0, Verbs.Length)];
        english.Append(subject).Append(' ').Append(verb).Append(' ').Append(target);
        if (key.Below(number, time + 11, 0, 2) == 0)
        {
            german.Append(germanSubject).Append(' ').Append(germanVerb).Append(' ').Append(germanTarget);
            return;
        }

        (string adverb, string germanAdverb) = Adverbs[key.Below(number, time + 12, 0, Adverbs.Length)];
        english.Append(' ').Append(adverb);
        german.Append(germanAdverb).Append(' ').Append(germanVerb).Append(' ').Append(germanSubject).Append(' ').Append(germanTarget);
    }

    private static (string English, string German) Phrase(RandomKey key, long number, int time, bool isAccusative)
    {
        (string noun, string germanNoun, int gender) = Nouns[key.Below(number, time, 0, Nouns.Length)];
        bool isDefinite = key.Below(number, time + 1, 0, 2) == 0;
        (string article, string ending) = (isDefinite ? Definite : Indefinite)[isAccusative ? 1 : 0][gender];
        if (key.Below(number, time + 2, 0, 2) == 0)
        {
            return ($"{(isDefinite ? "the" : "a")} {noun}", $"{article} {germanNoun}");
        }

        (string adjective, string stem) = Adjectives[key.Below(number, time + 3, 0, Adjectives.Length)];
        string english = isDefinite ? "the" : adjective[0] == 'o' ? "an" : "a";
        return ($"{english} {adjective} {noun}", $"{article} {stem}{ending} {germanNoun}");
    }
}
