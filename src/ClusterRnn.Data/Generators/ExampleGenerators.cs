// Examples made from a seed: example i is a function of (seed, i), formed whenever it is read, so any number of them takes no
// memory. The classical tasks of long memory: what has to be kept is known exactly, and so is what a guess is worth.
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Generated examples.</summary>
public static class ExampleGenerators
{
    /// <summary>The examples [first, first + count) that a config describes.</summary>
    /// <exception cref="DataException">The config contradicts itself.</exception>
    public static IExamples Of(ExamplesData config, long first, long count) => config switch
    {
        CopyData copy => new CopyExamples(copy, first, count),
        AddingData adding => new AddingExamples(adding, first, count),
        DigitsData digits => new DigitExamples(digits, first, count),
        DigitStringsData strings => new DigitStringExamples(strings, first, count),
        _ => throw new ArgumentException($"No generator for {config?.GetType().Name}.", nameof(config)),
    };

    /// <summary>Token ids that the examples of a config hold, 0 where they hold values.</summary>
    public static int Vocabulary(ExamplesData config) => config is CopyData copy ? copy.Symbols + 2 : 0;

    /// <summary>Classes of their targets, 0 where targets are values.</summary>
    public static int Classes(ExamplesData config) => config switch
    {
        CopyData copy => copy.Symbols,
        DigitsData => DigitExamples.Digits,
        DigitStringsData => DigitExamples.Digits + 1, // and the blank
        _ => 0,
    };

    // The data is a function of its description.
    internal static string Sha256(FormattableString description) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(description.ToString(CultureInfo.InvariantCulture))));

    internal static int Shortest(int? minimum, int longest, string key)
    {
        int shortest = minimum ?? longest;
        return shortest <= longest ? shortest : throw new DataException(
            $"data.{key}", $"at most {longest}, the longest", shortest.ToString(CultureInfo.InvariantCulture), $"Make data.{key} smaller");
    }
}

/// <summary>
/// The copy task: <c>length</c> symbols, blanks, a sign after the delay's last one, then blanks while the symbols are to be written.
/// Token ids: the symbols, then the blank, then the sign. Targets belong to the last <c>length</c> time steps of each example.
/// </summary>
internal sealed unsafe class CopyExamples : IExamples
{
    private readonly CopyData _config;
    private readonly RandomKey _key;
    private readonly long _first;
    private readonly int _shortest;

    public CopyExamples(CopyData config, long first, long count)
    {
        _config = config;
        _first = first;
        _key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.Copy, 0);
        _shortest = ExampleGenerators.Shortest(config.MinimumDelay, config.Delay, "minimumDelay");
        Count = count;
        Time = config.Delay + (2 * config.Length);
        Sha256 = ExampleGenerators.Sha256($"copy 1 {config.Seed} {config.Examples} {config.Symbols} {config.Length} {_shortest} {config.Delay}");
    }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public int Time { get; }

    /// <inheritdoc/>
    public int TargetTime => DifferInLength ? Time : _config.Length;

    /// <inheritdoc/>
    public int FeatureWidth => 0;

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public string Sha256 { get; }

    /// <inheritdoc/>
    public bool DifferInLength => _shortest < _config.Delay;

    /// <inheritdoc/>
    public long Targets => Count * _config.Length;

    /// <inheritdoc/>
    public int LengthOf(long example) => (2 * _config.Length) + _shortest + (int)_key.Below(0, _first + example, 0, _config.Delay - _shortest + 1);

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        int time = LengthOf(example), length = _config.Length, firstTarget = into.Time - into.TargetTime;
        for (int t = 0; t < time; t++)
        {
            into.Tokens[((long)t * into.Rows) + row] = t < length ? Symbol(example, t) : t == time - length - 1 ? _config.Symbols + 1 : _config.Symbols;
        }

        for (int i = 0; i < length; i++)
        {
            into.TargetTokens[((long)(time - length + i - firstTarget) * into.Rows) + row] = Symbol(example, i);
        }

        return time;
    }

    private int Symbol(long example, int place) => (int)_key.Below(1, _first + example, place, _config.Symbols);
}

/// <summary>The adding problem: at each time step a value from 0 to 1 and a mark; the answer is the sum of the marked value of the first half and that of the second.</summary>
internal sealed unsafe class AddingExamples : IExamples
{
    private readonly AddingData _config;
    private readonly RandomKey _key;
    private readonly long _first;
    private readonly int _shortest;

    public AddingExamples(AddingData config, long first, long count)
    {
        _config = config;
        _first = first;
        _key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.Adding, 0);
        _shortest = ExampleGenerators.Shortest(config.MinimumLength, config.Length, "minimumLength");
        Count = count;
        Sha256 = ExampleGenerators.Sha256($"adding 1 {config.Seed} {config.Examples} {_shortest} {config.Length}");
    }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public int Time => _config.Length;

    /// <inheritdoc/>
    public int TargetTime => 1;

    /// <inheritdoc/>
    public int FeatureWidth => 2;

    /// <inheritdoc/>
    public int TargetWidth => 1;

    /// <inheritdoc/>
    public string Sha256 { get; }

    /// <inheritdoc/>
    public bool DifferInLength => _shortest < _config.Length;

    /// <inheritdoc/>
    public int LengthOf(long example) => _shortest + (int)_key.Below(0, _first + example, 0, _config.Length - _shortest + 1);

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        int time = LengthOf(example), half = time / 2;
        int first = (int)_key.Below(0, _first + example, 1, half), second = half + (int)_key.Below(0, _first + example, 2, time - half);
        float sum = 0f;
        for (int t = 0; t < time; t++)
        {
            float* cell = into.Features + ((((long)t * into.Rows) + row) * 2);
            bool isMarked = t == first || t == second;
            cell[0] = _key.Uniform(1, _first + example, t);
            cell[1] = isMarked ? 1f : 0f;
            sum += isMarked ? cell[0] : 0f;
        }

        into.TargetValues[row] = sum;
        return time;
    }
}
