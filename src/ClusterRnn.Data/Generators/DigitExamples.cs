// Pictures of digits from a stroke font: shifted, scaled, slanted and of different thickness from one to the next, with noise
// on every pixel. A picture is a sequence of its rows; its class is the answer. Only + - * / and square roots, so that every
// machine draws the same pictures.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Drawn digits, read row by row.</summary>
internal sealed unsafe class DigitExamples : IExamples
{
    /// <summary>Classes.</summary>
    public const int Digits = 10;

    /// <summary>Pixels from top to bottom.</summary>
    public const int Rows = 16;

    /// <summary>Pixels from left to right.</summary>
    public const int Columns = 12;

    // Polylines on a grid of 8 x 12, "x,y x,y ..."; strokes are parted by a bar.
    private static readonly float[][] Segments =
    [
        .. new[]
        {
            "4,0 7,2 7,10 4,12 1,10 1,2 4,0",
            "2,3 4,0 4,12",
            "1,3 2,1 4,0 6,1 7,3 6,6 1,12 7,12",
            "1,1 4,0 6,1 7,3 6,5 3,6 6,7 7,9 6,11 4,12 1,11",
            "5,12 5,0 1,8 7,8",
            "7,0 2,0 1,5 4,5 6,6 7,8 6,11 4,12 1,11",
            "6,0 3,2 1,6 1,10 4,12 7,10 7,8 4,6 1,8",
            "1,0 7,0 3,12",
            "4,0 6,1 6,4 4,6 2,4 2,1 4,0|4,6 7,8 7,10 4,12 1,10 1,8 4,6",
            "7,4 4,6 1,4 1,2 4,0 7,2 7,6 5,10 2,12",
        }.Select(ToSegments),
    ];

    private readonly DigitsData _config;
    private readonly RandomKey _key;
    private readonly long _first;

    public DigitExamples(DigitsData config, long first, long count)
    {
        _config = config;
        _first = first;
        _key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.Digits, 0);
        Count = count;
        Sha256 = ExampleGenerators.Sha256($"digits 1 {config.Seed} {config.Examples} {config.Noise:R}");
    }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public int Time => Rows;

    /// <inheritdoc/>
    public int TargetTime => 1;

    /// <inheritdoc/>
    public int FeatureWidth => Columns;

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public string Sha256 { get; }

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        long number = _first + example;
        int digit = (int)_key.Below(0, number, 0, Digits);
        Glyph glyph = Draw(_key, 1, number, digit);
        for (int y = 0; y < Rows; y++)
        {
            float* pixels = into.Features + ((((long)y * into.Rows) + row) * Columns);
            for (int x = 0; x < Columns; x++)
            {
                pixels[x] = glyph.Ink(x, y) + ((float)_config.Noise * _key.NormalDeviate(2, number, (y * Columns) + x));
            }
        }

        into.TargetTokens[row] = digit;
        return Rows;
    }

    /// <summary>How a digit is drawn this time.</summary>
    /// <param name="key">The random numbers.</param>
    /// <param name="slot">Which of them.</param>
    /// <param name="number">Of which picture.</param>
    /// <param name="digit">The digit.</param>
    internal static Glyph Draw(RandomKey key, long slot, long number, int digit) => new(
        Segments[digit],
        Scale: 0.75f + (0.35f * key.Uniform(slot, number, 0)),
        Slant: 0.6f * (key.Uniform(slot, number, 1) - 0.5f),
        Left: 2f + (3f * (key.Uniform(slot, number, 2) - 0.5f)),
        Top: 2f + (3f * (key.Uniform(slot, number, 3) - 0.5f)),
        Thickness: 0.4f + (0.6f * key.Uniform(slot, number, 4)));

    private static float[] ToSegments(string strokes)
    {
        var segments = new List<float>(); // x0, y0, x1, y1
        foreach (string stroke in strokes.Split('|'))
        {
            int[][] points = [.. stroke.Split(' ').Select(point => point.Split(',').Select(int.Parse).ToArray())];
            for (int i = 1; i < points.Length; i++)
            {
                segments.AddRange([points[i - 1][0], points[i - 1][1], points[i][0], points[i][1]]);
            }
        }

        return [.. segments];
    }

    /// <summary>A digit in its place.</summary>
    internal readonly record struct Glyph(float[] Segments, float Scale, float Slant, float Left, float Top, float Thickness)
    {
        /// <summary>How much ink is on a pixel, from 0 to 1.</summary>
        public float Ink(int x, int y)
        {
            // Back into the font's grid: unslanted around its middle, unscaled.
            float gridY = (y - Top) / Scale, gridX = ((x - Left) / Scale) + (Slant * (gridY - 6f));
            return Math.Clamp(1f + Thickness - (Scale * Distance(Segments, gridX, gridY)), 0f, 1f);
        }
    }

    // From a point to the nearest stroke.
    private static float Distance(float[] segments, float x, float y)
    {
        float nearest = float.MaxValue;
        for (int i = 0; i < segments.Length; i += 4)
        {
            float x0 = segments[i], y0 = segments[i + 1], dx = segments[i + 2] - x0, dy = segments[i + 3] - y0;
            float along = Math.Clamp((((x - x0) * dx) + ((y - y0) * dy)) / ((dx * dx) + (dy * dy)), 0f, 1f);
            float ax = x - x0 - (along * dx), ay = y - y0 - (along * dy);
            nearest = Math.Min(nearest, (ax * ax) + (ay * ay));
        }

        return MathF.Sqrt(nearest);
    }
}
