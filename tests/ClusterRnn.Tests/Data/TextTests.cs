using System.IO.Compression;
using System.Text;
using ClusterRnn.Data;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Data;

public sealed class TextTests
{
    private const string Mixed = "It's 3 o'clock — 世界、こんにちは。 naïve café, Привет мир! 😀👍\r\n\tsaid “no”.  Two  spaces. 한국어 단어";

    [Theory]
    [InlineData(TokenLevel.Character)]
    [InlineData(TokenLevel.Byte)]
    [InlineData(TokenLevel.Word)]
    public void Any_text_decodes_back(TokenLevel level)
    {
        TokenizedText text = TokenizedText.Read(Corpus.FromText("mixed", Mixed), level, 1, 0);
        Assert.Equal(Mixed, text.Vocabulary.Decode(text.Ids.Span));
        Assert.Equal(text.Ids.ToArray(), text.Vocabulary.Encode(Mixed));
    }

    [Fact]
    public void Random_text_decodes_back_at_every_level()
    {
        Gen<string> texts = Gen.Elements("a b'ö-世 \n\t9😀.'’한界".EnumerateRunes().Select(rune => rune.ToString()).ToArray())
            .ArrayOf().Select(parts => string.Concat(parts)).Where(text => text.Length > 0);
        Check.One(Config.QuickThrowOnFailure, Prop.ForAll(texts.ToArbitrary(), value =>
        {
            foreach (TokenLevel level in Enum.GetValues<TokenLevel>())
            {
                TokenizedText text = TokenizedText.Read(Corpus.FromText("random", value), level, 1, 0);
                Assert.Equal(value, text.Vocabulary.Decode(text.Ids.Span));
            }
        }));
    }

    [Fact]
    public void Characters_are_scalar_values_in_ascending_order()
    {
        TokenizedText text = TokenizedText.Read(Corpus.FromText("t", "b😀a世b"), TokenLevel.Character, 1, 0);
        Assert.Equal(["a", "b", "世", "😀"], text.Vocabulary.Entries);
        Assert.Equal([1, 3, 0, 2, 1], text.Ids.ToArray());
        Assert.False(text.Vocabulary.HasUnknown);
    }

    [Fact]
    public void Words_keep_the_space_before_them_and_ideographs_stand_alone()
    {
        Assert.Equal(
            ["It's", " 3", " o'clock", " —", " 世", "界", "、", "こ", "!", " ", " Two", "\n", "\t", "don", "'"],
            Tokens.Split("It's 3 o'clock — 世界、こ!  Two\n\tdon'", TokenLevel.Word));
    }

    [Fact]
    public void Words_are_ordered_by_count_then_by_scalar_values()
    {
        // U+FF5E sorts after U+1F600 in UTF-16 but before it by scalar value.
        TokenizedText text = TokenizedText.Read(
            Corpus.FromText("t", "😀～b a c c"), TokenLevel.Word, 1, 0);
        Assert.Equal([" c", " a", "b", "～", "😀"], text.Vocabulary.Entries);
        Assert.Equal(0, text.Vocabulary.IdOf("never seen"));
    }

    [Fact]
    public void Rare_words_and_words_only_validation_has_become_unknown()
    {
        TokenizedText text = TokenizedText.Read(Corpus.FromText("t", "x x x y z z x x q q"), TokenLevel.Word, 2, 0.2);
        Assert.Equal([" x", " z"], text.Vocabulary.Entries);
        Assert.Equal([0, 1, 1, 0, 2, 2, 1, 1, 0, 0], text.Ids.ToArray());
        Assert.Equal(8, text.Training.Length);
        Assert.Equal("<unk> x x<unk>", text.Vocabulary.Decode(text.Ids.Span[..4]));
    }

    [Fact]
    public void A_vocabulary_survives_its_artefact_and_hash_tells_two_apart()
    {
        Vocabulary vocabulary = TokenizedText.Read(Corpus.FromText("t", Mixed), TokenLevel.Word, 1, 0).Vocabulary;
        var again = Vocabulary.FromJson(vocabulary.ToJson());
        Assert.Equal(vocabulary.Entries, again.Entries);
        Assert.Equal(vocabulary.Sha256, again.Sha256);
        Assert.NotEqual(vocabulary.Sha256, new Vocabulary(TokenLevel.Word, [.. vocabulary.Entries.Reverse()], true).Sha256);
        Assert.Throws<DataException>(() => Vocabulary.FromJson("{\"level\":\"word\"}"));
        Assert.Throws<DataException>(() => Vocabulary.FromJson("nonsense"));
        Assert.Throws<DataException>(() => new Vocabulary(TokenLevel.Character, ["a", "a"], false));
    }

    [Fact]
    public void A_given_vocabulary_is_used_and_a_foreign_character_named()
    {
        Vocabulary vocabulary = TokenizedText.Read(Corpus.FromText("t", "abc"), TokenLevel.Character, 1, 0).Vocabulary;
        Assert.Equal([2, 0], TokenizedText.Read(Corpus.FromText("u", "ca"), TokenLevel.Character, 1, 0, vocabulary).Ids.ToArray());
        DataException fault = Assert.Throws<DataException>(
            () => TokenizedText.Read(Corpus.FromText("u", "cax"), TokenLevel.Character, 1, 0, vocabulary));
        Assert.Contains("U+0078", fault.Message);
        Assert.Contains("'ä'", Assert.Throws<DataException>(() => vocabulary.Encode("aä")).Message);
    }

    [Theory]
    [InlineData(TokenLevel.Character)]
    [InlineData(TokenLevel.Word)]
    public void Bytes_that_are_no_UTF8_are_named_with_file_and_position(TokenLevel level)
    {
        using var scratch = new Scratch();
        scratch.Write("a.txt", "fine, ä");
        string bad = scratch.Write("b.txt", [.. "Gr\u00fc"u8, (byte)'x', 0xC3, 0x28]);
        DataException fault = Assert.Throws<DataException>(
            () => TokenizedText.Read(Corpus.Open("*.txt", scratch.Folder), level, 1, 0));
        Assert.Equal(5, fault.Position);
        Assert.Equal(bad, fault.DataSource);
        Assert.Contains("c328", fault.Message);
        Assert.Equal(14, TokenizedText.Read(Corpus.Open("*.txt", scratch.Folder), TokenLevel.Byte, 1, 0).Ids.Length - 1);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("a\0b")]
    public void What_is_no_path_is_said(string path) =>
        Assert.Contains("Name the data's file", Assert.Throws<DataException>(() => FileSearch.Find(path, ".")).Message, StringComparison.Ordinal);

    [Fact]
    public void Globs_skip_what_programs_made_and_sort_by_relative_path()
    {
        using var scratch = new Scratch();
        foreach (string name in new[] { "b.txt", "a/z.txt", "a.txt", "B.txt", "a/bin/x.txt", "obj/x.txt", "runs/r.txt", ".git/x.txt", ".hidden.txt", "a/deep/er/y.txt", "a/n.md" })
        {
            scratch.Write(name, name + "\n");
        }

        Assert.Equal(["B.txt", "a.txt", "a/deep/er/y.txt", "a/z.txt", "b.txt"], Relative("**/*.txt"));
        Assert.Equal(["B.txt", "a.txt", "b.txt"], Relative("*.txt"));
        Assert.Equal(["B.txt", "a.txt", "a/deep/er/y.txt", "a/n.md", "a/z.txt", "b.txt"], Relative("."));
        Assert.Equal(["a/deep/er/y.txt", "a/z.txt"], Relative("a/**/*.txt"));
        Assert.Equal(["a/z.txt"], Relative("?/z*.txt"));
        Assert.Equal(["a/deep/er/y.txt"], Relative("**/er/**"));
        Assert.Equal("B.txt\na.txt\nb.txt\n", Text("*.txt"));

        IEnumerable<string> Relative(string pattern) => FileSearch.Find(pattern, scratch.Folder)
            .Select(file => Path.GetRelativePath(scratch.Folder, file).Replace('\\', '/'));
        string Text(string pattern) => string.Concat(Corpus.Open(pattern, scratch.Folder).Files.Select(file => Encoding.UTF8.GetString(file.Bytes.Span)));
    }

    [Fact]
    public void Nothing_found_says_what_was_sought_and_what_is_near()
    {
        using var scratch = new Scratch();
        scratch.Write("shakespeare.txt", "x");
        scratch.Write("bin/only.md", "x");
        Assert.Contains("shakespeare.txt", Find("shakspeare.txt"));
        Assert.Contains("no folder", Find("nowhere/x.txt"));
        Assert.Contains("1 folders named bin", Find("**/*.md"));
        Assert.Contains("nothing there", Find("nowhere/*.md"));

        string Find(string path) => Assert.Throws<DataException>(() => Corpus.Open(path, scratch.Folder)).Message;
    }

    [Fact]
    public void Gzip_is_unpacked_and_a_damaged_one_named()
    {
        using var scratch = new Scratch();
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 2000).Select(i => $"line {i}\n")));
        byte[] packed = Pack(text);
        scratch.Write("plain.txt", text);
        scratch.Write("whole.txt.gz", packed);
        scratch.Write("two.gz", [.. packed, .. Pack(text)]);
        scratch.Write("short.gz", packed[..(packed.Length / 2)]);
        scratch.Write("tail.gz", packed[..^6]);
        scratch.Write("head.gz", packed[..9]);
        byte[] flipped = [.. packed];
        flipped[packed.Length / 2] ^= 0xFF;
        scratch.Write("flipped.gz", flipped);
        Assert.Equal(Corpus.Open("plain.txt", scratch.Folder).Sha256, Corpus.Open("whole.txt.gz", scratch.Folder).Sha256);
        Assert.Equal(2 * text.Length, Corpus.Open("two.gz", scratch.Folder).Length);
        foreach (string name in new[] { "short.gz", "tail.gz", "head.gz", "flipped.gz" })
        {
            Assert.Contains("gzip", Assert.Throws<DataException>(() => Corpus.Open(name, scratch.Folder)).Message);
        }
    }

    [Fact]
    public void Empty_text_is_refused()
    {
        using var scratch = new Scratch();
        scratch.Write("a.txt", "");
        scratch.Write("b.txt", "");
        Assert.Contains("an empty file", Assert.Throws<DataException>(() => Corpus.Open("a.txt", scratch.Folder)).Message);
        Assert.Contains("2 empty files", Assert.Throws<DataException>(() => Corpus.Open("*.txt", scratch.Folder)).Message);
    }

    [Fact]
    public void Tinyshakespeare_has_the_known_hash_and_sixty_five_characters()
    {
        string path = Scratch.Shared("tinyshakespeare.txt");
        Corpus corpus = Corpus.Open(path, ".");
        TokenizedText text = TokenizedText.Read(corpus, TokenLevel.Character, 1, 0.1);
        Assert.Equal("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", corpus.Sha256);
        Assert.Equal(65, text.Vocabulary.Size);
        Assert.Equal(1115394, text.Ids.Length);
        Assert.Equal(111539, text.Validation.Length);
        Assert.InRange(TextStatistics.UnigramEntropy(text.Ids.Span, 65), 3.30, 3.33);
    }

    [Theory]
    [InlineData(TokenLevel.Character)]
    [InlineData(TokenLevel.Byte)]
    [InlineData(TokenLevel.Word)]
    public void Each_token_validates_in_one_fold_and_trains_in_the_others(TokenLevel level)
    {
        const int Folds = 3;
        Corpus corpus = Corpus.FromText("t", "a b c d e f g h");
        TokenizedText whole = TokenizedText.Read(corpus, level, 1, 0);
        var validated = new List<string>();
        for (int number = 1; number <= Folds; number++)
        {
            TokenizedText fold = TokenizedText.Read(corpus, level, 1, 0.1, level == TokenLevel.Word ? whole.Vocabulary : null, new FoldConfig { Number = number, Of = Folds });
            string validation = fold.Vocabulary.Decode(fold.Validation.Span), training = fold.Vocabulary.Decode(fold.Training.Span), text = whole.Vocabulary.Decode(whole.Ids.Span);
            Assert.Equal(whole.Ids.Length, fold.Validation.Length + fold.Training.Length);
            Assert.Equal(training, text.Remove(text.IndexOf(validation, StringComparison.Ordinal), validation.Length));
            validated.Add(validation);
        }

        Assert.Equal(whole.Vocabulary.Decode(whole.Ids.Span), string.Concat(validated));
    }

    [Fact]
    public void Words_of_the_fold_that_validates_are_not_known()
    {
        TokenizedText fold = TokenizedText.Read(Corpus.FromText("t", " x x y y z z"), TokenLevel.Word, 1, 0.1, null, new FoldConfig { Number = 2, Of = 3 });
        Assert.Equal([" x", " z"], fold.Vocabulary.Entries.Order());
        Assert.All(fold.Validation.ToArray(), id => Assert.Equal(0, id));
    }

    private static byte[] Pack(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Optimal))
        {
            gzip.Write(bytes);
        }

        return packed.ToArray();
    }
}
