// Pairs of texts as rows: the source's tokens are the inputs, the target's with <eos> the targets, from index 0 on and -1 after
// them. Both have lengths of their own; a row's time is the longer one's, by which buckets put pairs together.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>Pairs of sequences of tokens.</summary>
public sealed unsafe class PairExamples : IExamples
{
    private readonly int[][] _sources;
    private readonly int[][] _targets;

    /// <summary>Tokenizes pairs.</summary>
    /// <param name="texts">The pairs.</param>
    /// <param name="source">The sources' vocabulary.</param>
    /// <param name="target">The targets' vocabulary.</param>
    /// <param name="sha256">The hash of the data.</param>
    public PairExamples(PairTexts texts, SequenceVocabulary source, SequenceVocabulary target, string sha256)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(target);
        Texts = texts;
        Sha256 = sha256;
        _sources = [.. texts.Sources.Select(source.Encode)];
        _targets = [.. texts.Targets.Select(text => (int[])[.. target.Encode(text), SequenceTokens.End])];
        for (int i = 0; i < _sources.Length; i++)
        {
            Time = Math.Max(Time, LengthOf(i));
            Targets += _targets[i].Length;
        }
    }

    /// <summary>The pairs as text.</summary>
    public PairTexts Texts { get; }

    /// <inheritdoc/>
    public long Count => _sources.Length;

    /// <inheritdoc/>
    public int Time { get; }

    /// <inheritdoc/>
    public int TargetTime => Time;

    /// <inheritdoc/>
    public int FeatureWidth => 0;

    /// <inheritdoc/>
    public int TargetWidth => 0;

    /// <inheritdoc/>
    public string Sha256 { get; }

    /// <inheritdoc/>
    public bool DifferInLength => true;

    /// <inheritdoc/>
    public long Targets { get; }

    /// <inheritdoc/>
    public int LengthOf(long example) => Math.Max(_sources[example].Length, _targets[example].Length);

    /// <inheritdoc/>
    public int Read(long example, SpanBatch into, int row)
    {
        ArgumentNullException.ThrowIfNull(into);
        int[] source = _sources[example], target = _targets[example];
        for (int time = 0; time < source.Length; time++)
        {
            into.Tokens[((long)time * into.Rows) + row] = source[time];
        }

        for (int time = 0; time < target.Length; time++)
        {
            into.TargetTokens[((long)time * into.Rows) + row] = target[time];
        }

        return source.Length;
    }
}
