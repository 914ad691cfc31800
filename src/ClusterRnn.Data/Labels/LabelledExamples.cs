// Examples that lie in memory: a sequence of tokens or of values, with one class at its last time step or one at each.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>One example.</summary>
/// <param name="Name">Where it comes from: file and line.</param>
/// <param name="Tokens">Token ids, or null.</param>
/// <param name="Values">[time, width] values, or null.</param>
/// <param name="Classes">Its class, or one for each time step.</param>
public sealed record LabelledExample(string Name, int[]? Tokens, float[]? Values, int[] Classes);

/// <summary>Examples in memory.</summary>
public sealed unsafe class LabelledExamples : IExamples
{
    private readonly IReadOnlyList<LabelledExample> _examples;
    private readonly int[] _lengths;
    private readonly bool _everyStep;

    /// <summary>Takes examples over.</summary>
    /// <param name="examples">At least one; each has at least one time step.</param>
    /// <param name="featureWidth">Values a time step, 0 for tokens.</param>
    /// <param name="everyStep">Whether each time step has a class.</param>
    /// <param name="sha256">The SHA-256 of the data.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no example.</exception>
    public LabelledExamples(IReadOnlyList<LabelledExample> examples, int featureWidth, bool everyStep, string sha256)
    {
        ArgumentNullException.ThrowIfNull(examples);
        ArgumentOutOfRangeException.ThrowIfLessThan(examples.Count, 1, nameof(examples));
        _examples = examples;
        _everyStep = everyStep;
        FeatureWidth = featureWidth;
        Sha256 = sha256;
        _lengths = new int[examples.Count];
        for (int i = 0; i < _lengths.Length; i++)
        {
            _lengths[i] = featureWidth == 0 ? examples[i].Tokens!.Length : examples[i].Values!.Length / featureWidth;
            Time = Math.Max(Time, _lengths[i]);
            DifferInLength |= _lengths[i] != _lengths[0];
            Targets += everyStep ? _lengths[i] : 1;
        }
    }

    /// <inheritdoc/>
    public long Count => _examples.Count;

    /// <inheritdoc/>
    public int Time { get; }

    /// <inheritdoc/>
    public int TargetTime => _everyStep ? Time : 1;

    /// <inheritdoc/>
    public int FeatureWidth { get; }

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public string Sha256 { get; }

    /// <inheritdoc/>
    public bool DifferInLength { get; }

    /// <inheritdoc/>
    public long Targets { get; }

    /// <summary>One of them.</summary>
    public LabelledExample this[long example] => _examples[(int)example];

    /// <inheritdoc/>
    public int LengthOf(long example) => _lengths[example];

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        ArgumentNullException.ThrowIfNull(into);
        LabelledExample from = _examples[(int)example];
        int length = _lengths[example];
        for (int time = 0; time < length; time++)
        {
            long cell = ((long)time * into.Rows) + row;
            if (FeatureWidth == 0)
            {
                into.Tokens[cell] = from.Tokens![time];
            }
            else
            {
                from.Values.AsSpan(time * FeatureWidth, FeatureWidth).CopyTo(new Span<float>(into.Features + (cell * FeatureWidth), FeatureWidth));
            }

            if (_everyStep)
            {
                into.TargetTokens[cell] = from.Classes[time];
            }
        }

        if (!_everyStep)
        {
            into.TargetTokens[row] = from.Classes[0];
        }

        return length;
    }
}
