using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Data;

namespace ClusterRnn.Tests.Data;

public sealed class GrammarTests
{
    [Fact]
    public void Sentences_read_as_promised()
    {
        Assert.Equal("twenty-three plus forty-one equals sixty-four.\n", Grammar.Sum(23, 41));
        Assert.Equal("the third of march nineteen ninety-two is 1992-03-03.\n", Grammar.Date(new DateOnly(1992, 3, 3)));
        Assert.Equal("the thirty-first of december twenty ten is 2010-12-31.\n", Grammar.Date(new DateOnly(2010, 12, 31)));
        Assert.Equal("the twentieth of may nineteen oh five is 1905-05-20.\n", Grammar.Date(new DateOnly(1905, 5, 20)));
        Assert.Equal("two thousand one", NumberWords.Year(2001));
        Assert.Equal("nine hundred ninety-nine", NumberWords.Cardinal(999));
    }

    [Theory]
    [InlineData(1, 1, 20, 1990, 1999)]
    [InlineData(3, 1, 99, 1899, 2011)]
    [InlineData(1, 0, 9, 1990, 1999)]
    [InlineData(0, 1, 9, 1900, 1901)]
    public void The_entropy_in_closed_form_is_that_of_all_sentences(int sums, int dates, int largest, int firstYear, int lastYear)
    {
        var grammar = new Grammar { Sums = sums, Dates = dates, LargestAddend = largest, FirstYear = firstYear, LastYear = lastYear };
        var seen = new HashSet<string>(StringComparer.Ordinal);
        double total = 0, nats = 0, characters = 0;
        foreach ((string sentence, double probability) in grammar.Enumerate())
        {
            Assert.True(seen.Add(sentence), sentence);
            Assert.Equal(sentence.Length - 1, sentence.IndexOf('\n'));
            total += probability;
            nats -= probability * Math.Log(probability);
            characters += probability * sentence.Length;
        }

        GrammarEntropy entropy = grammar.Entropy();
        Assert.Equal(1, total, 1e-9);
        Assert.Equal(nats, entropy.NatsPerSentence, 1e-9);
        Assert.Equal(characters, entropy.CharactersPerSentence, 1e-9);
        Assert.Equal(nats / characters / Math.Log(2), entropy.BitsPerCharacter, 1e-9);
    }

    [Fact]
    public void Generated_text_has_the_log_probability_the_entropy_foretells()
    {
        var grammar = new Grammar();
        Dictionary<string, double> probability = grammar.Enumerate().ToDictionary(pair => pair.Sentence, pair => pair.Probability);
        string text = grammar.Text(7, 1_000_000);
        double nats = 0;
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            nats -= Math.Log(probability[line + "\n"]);
        }

        // About 25,000 sentences; the standard error of the mean length alone is 0.1 characters of 40.
        Assert.Equal(grammar.Entropy().NatsPerCharacter, nats / text.Length, 1e-3);
        int[] ids = TokenizedText.Read(Corpus.FromText("t", text), TokenLevel.Character, 1, 0).Ids.ToArray();
        Assert.InRange(TextStatistics.UnigramEntropy(ids, ids.Max() + 1), 2.5, 3.2);
    }

    [Fact]
    public void Choices_are_uniform()
    {
        var grammar = new Grammar { Dates = 0, LargestAddend = 9 };
        Dictionary<string, int> counts = grammar.Enumerate().ToDictionary(pair => pair.Sentence, _ => 0);
        for (int i = 0; i < 40_000; i++)
        {
            counts[grammar.Sentence(3, i)]++;
        }

        double chiSquare = counts.Values.Sum(count => (count - 400.0) * (count - 400.0) / 400);
        Assert.InRange(chiSquare, 50, 160); // 99 degrees of freedom
    }

    [Fact]
    public void The_checker_finds_right_and_wrong()
    {
        var report = GrammarChecker.Check(
            "six.\nseven plus twelve equals nineteen.\nseven plus twelve equals twenty.\nseven plus twelv equals nineteen.\n"
            + "one plus one equals two\none plus one plus one equals three.\n"
            + "the third of march nineteen ninety-two is 1992-03-03.\nthe third of march nineteen ninety-two is 1992-03-04.\n"
            + "the thirty-first of june nineteen ninety-two is 1992-06-31.\ngibberish\n\none plus",
            startsMidSentence: true);
        Assert.Equal(new GrammarReport(10, 5, 1, 3, 1), report);
        Assert.Equal(0.2, report.SumShare);
        Assert.Equal(2, report.Strange);
    }

    [Fact]
    public void Everything_generated_is_right()
    {
        var grammar = new Grammar { Sums = 1, LargestAddend = 499, FirstYear = 1100, LastYear = 2099 };
        GrammarReport report = GrammarChecker.Check(grammar.Text(1, 200_000));
        Assert.InRange(report.Sums, 1000, report.Sentences);
        Assert.InRange(report.Dates, 1000, report.Sentences);
        Assert.Equal(report.Sums, report.SumsRight);
        Assert.Equal(report.Dates, report.DatesRight);
    }

    [Theory]
    [InlineData(1, 1, 1UL, "27d6dd713d02785f0015425ea8efdc0b0dc68fd18d9f7539338b9b57cd7d338a")]
    [InlineData(1, 0, 1UL, "0e776a06a9741f621b4c1d348995e1b27969088bea7951618376d3be6a4d1c9c")]
    [InlineData(0, 1, 1UL, "55b0dbfff28cbed693e3f53ba3e9a8ba0e29495ca1fb8aed6c35baea5ebf1db6")]
    [InlineData(1, 1, 2UL, "d8f3c761dee33f3b9f0fc45a62a7fe17b631769d6b29a29caa45cb257cb27e91")]
    public void The_bytes_of_a_seed_are_a_promise(int sums, int dates, ulong seed, string sha256)
    {
        string text = new Grammar { Sums = sums, Dates = dates, LargestAddend = 20, FirstYear = 1990, LastYear = 1999 }.Text(seed, 100_000);
        Assert.Equal(sha256, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text))));
    }

    [Fact]
    public void Impossible_grammars_are_refused()
    {
        Assert.Throws<DataException>(() => new Grammar { Sums = 0, Dates = 0 }.Text(1, 10));
        Assert.Throws<DataException>(() => new Grammar { LargestAddend = 500 }.Text(1, 10));
        Assert.Throws<DataException>(() => new Grammar { FirstYear = 1999, LastYear = 1990 }.Entropy());
    }
}
