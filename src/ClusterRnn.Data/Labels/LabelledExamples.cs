// Examples that lie in memory: a sequence of tokens or of values, with one class at its last time step, one at each, or some in
// order of which nobody says where they are.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>One example.</summary>
/// <param name="Name">Where it comes from: file and line.</param>
/// <param name="Tokens">Token ids, or null.</param>
/// <param name="Values">[time, width] values, or null.</param>
/// <param name="Classes">Its class, or one for each time step, or its labels in order.</param>
public sealed record LabelledExample(string Name, int[]? Tokens, float[]? Values, int[] Classes);

/// <summary>Where the classes of an example lie.</summary>
public enum LabelPlaces
{
    /// <summary>One, at the last time step.</summary>
    Last,

    /// <summary>One at each time step.</summary>
    EveryStep,

    /// <summary>Some in order, without times, for the loss ctc: class 0 is the blank.</summary>
    Somewhere,
}

/// <summary>Examples in memory.</summary>
public sealed unsafe class LabelledExamples : IExamples
{
    private readonly IReadOnlyList<LabelledExample> _examples;
    private readonly int[] _lengths;
    private readonly LabelPlaces _places;

    /// <summary>Takes examples over.</summary>
    /// <param name="examples">At least one; each has at least one time step.</param>
    /// <param name="featureWidth">Values a time step, 0 for tokens.</param>
    /// <param name="places">Where classes lie.</param>
    /// <param name="sha256">The SHA-256 of the data.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no example.</exception>
    /// <exception cref="ArgumentException">An example has more classes than time steps: a batch has no room for them.</exception>
    public LabelledExamples(IReadOnlyList<LabelledExample> examples, int featureWidth, LabelPlaces places, string sha256)
    {
        ArgumentNullException.ThrowIfNull(examples);
        ArgumentOutOfRangeException.ThrowIfLessThan(examples.Count, 1, nameof(examples));
        _examples = examples;
        _places = places;
        FeatureWidth = featureWidth;
        Sha256 = sha256;
        _lengths = new int[examples.Count];
        for (int i = 0; i < _lengths.Length; i++)
        {
            _lengths[i] = featureWidth == 0 ? examples[i].Tokens!.Length : examples[i].Values!.Length / featureWidth;
            Time = Math.Max(Time, _lengths[i]);
            DifferInLength |= _lengths[i] != _lengths[0];
            Targets += examples[i].Classes.Length;
            if (examples[i].Classes.Length > _lengths[i])
            {
                throw new ArgumentException($"'{examples[i].Name}' has {examples[i].Classes.Length} classes and {_lengths[i]} time steps.", nameof(examples));
            }
        }
    }

    /// <inheritdoc/>
    public long Count => _examples.Count;

    /// <inheritdoc/>
    public int Time { get; }

    /// <inheritdoc/>
    public int TargetTime => _places == LabelPlaces.Last ? 1 : Time;

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

    /// <summary>Where classes lie.</summary>
    public LabelPlaces Places => _places;

    /// <summary>One of them.</summary>
    public LabelledExample this[long example] => _examples[(int)example];

    /// <summary>The fewest time steps of an output that labels without times fit into: one for each, and one between two that are alike (the loss ctc).</summary>
    public static int StepsFor<T>(IReadOnlyList<T> labels)
        where T : IEquatable<T>
    {
        ArgumentNullException.ThrowIfNull(labels);
        int steps = labels.Count;
        for (int i = 1; i < labels.Count; i++)
        {
            steps += labels[i].Equals(labels[i - 1]) ? 1 : 0;
        }

        return steps;
    }

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
        }

        for (int i = 0; i < from.Classes.Length; i++)
        {
            into.TargetTokens[((long)i * into.Rows) + row] = from.Classes[i];
        }

        return length;
    }
}
