// Strips of several drawn digits side by side, with gaps of different width: a sequence of columns. The labels are the digits in
// order, 1 for the digit 0 and so on (0 is the blank); they lie at the row's first time steps, which says nothing of where they are.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Strips of drawn digits, read column by column.</summary>
internal sealed unsafe class DigitStringExamples : IExamples
{
    private const int LargestGap = 3;

    private readonly DigitStringsData _config;
    private readonly RandomKey _key;
    private readonly long _first;

    public DigitStringExamples(DigitStringsData config, long first, long count)
    {
        _config = config;
        _first = first;
        _key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.DigitStrings, 0);
        ExampleGenerators.Shortest(config.MinimumDigits, config.MaximumDigits, "minimumDigits");
        Count = count;
        Sha256 = ExampleGenerators.Sha256($"digit strings 1 {config.Seed} {config.Examples} {config.MinimumDigits} {config.MaximumDigits} {config.Noise:R}");
    }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public int Time => _config.MaximumDigits * (DigitExamples.Columns + LargestGap);

    /// <inheritdoc/>
    public int TargetTime => Time;

    /// <inheritdoc/>
    public int FeatureWidth => DigitExamples.Rows;

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public string Sha256 { get; }

    /// <inheritdoc/>
    public bool DifferInLength => true;

    /// <inheritdoc/>
    public long Targets
    {
        get
        {
            long targets = 0;
            for (long example = 0; example < Count; example++)
            {
                targets += DigitsOf(example);
            }

            return targets;
        }
    }

    /// <inheritdoc/>
    public int LengthOf(long example)
    {
        int columns = 0;
        for (int i = 0; i < DigitsOf(example); i++)
        {
            columns += DigitExamples.Columns + Gap(example, i);
        }

        return columns;
    }

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        int digits = DigitsOf(example), column = 0, noise = 0;
        for (int i = 0; i < digits; i++)
        {
            int digit = (int)_key.Below(0, _first + example, 1 + i, DigitExamples.Digits);
            DigitExamples.Glyph glyph = DigitExamples.Draw(_key, 16 + i, _first + example, digit);
            for (int x = 0; x < DigitExamples.Columns + Gap(example, i); x++, column++)
            {
                float* pixels = into.Features + ((((long)column * into.Rows) + row) * DigitExamples.Rows);
                for (int y = 0; y < DigitExamples.Rows; y++)
                {
                    pixels[y] = glyph.Ink(x, y) + ((float)_config.Noise * _key.NormalDeviate(2, _first + example, noise++));
                }
            }

            into.TargetTokens[((long)i * into.Rows) + row] = digit + 1;
        }

        return column;
    }

    private int DigitsOf(long example) => _config.MinimumDigits + (int)_key.Below(0, _first + example, 0, _config.MaximumDigits - _config.MinimumDigits + 1);

    private int Gap(long example, int place) => (int)_key.Below(1, _first + example, place, LargestGap + 1);
}
