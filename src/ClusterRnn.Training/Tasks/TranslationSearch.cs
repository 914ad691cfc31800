// Writes the targets of sources with an encoder-decoder model: the likeliest token each time (greedy), or the best of several
// hypotheses that are kept side by side (beam search: Sutskever, Vinyals and Le, Sequence to sequence learning with neural
// networks, 2014). Finished hypotheses compete by their log-probability over ((5 + length) / 6)^alpha (Wu et al., Google's neural
// machine translation system, 2016).
//
// Several sources are written side by side, each with as many rows as it has hypotheses. Rows never couple and ties go to the
// earlier hypothesis and the lower token, so a source's target is the same alone or among others. <pad> and <bos> are never written.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>How targets are searched for.</summary>
/// <param name="Beam">Hypotheses that are kept; 1: greedy.</param>
/// <param name="MaximumLength">The most tokens of a target.</param>
/// <param name="LengthPenalty">alpha: 0 prefers short targets, 1 long ones.</param>
public sealed record SearchOptions(int Beam = 1, int MaximumLength = 100, double LengthPenalty = 0.6);

/// <summary>Searches for the likeliest targets.</summary>
public static unsafe class TranslationSearch
{
    private const int MostRows = 64;

    /// <summary>The targets of sources.</summary>
    /// <param name="model">An encoder-decoder model that reads tokens.</param>
    /// <param name="sources">The sources' token ids. An empty one has an empty target.</param>
    /// <param name="options">How they are searched for.</param>
    /// <param name="cancellation">Ends the search early.</param>
    /// <returns>For each source the ids of its target, without &lt;eos&gt;.</returns>
    /// <exception cref="OperationCanceledException">The search was ended.</exception>
    public static int[][] Write(TrainedModel model, IReadOnlyList<int[]> sources, SearchOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(sources);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Beam, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaximumLength, 1, nameof(options));
        int beam = Math.Min(options.Beam, model.Model.OutputWidth);
        int[][] targets = new int[sources.Count][];
        Array.Fill(targets, []);
        int[] order = [.. Enumerable.Range(0, sources.Count).Where(i => sources[i].Length > 0).OrderBy(i => sources[i].Length)];
        if (order.Length == 0)
        {
            return targets;
        }

        // Sources of about the same length together; the order has no part in the result.
        int together = Math.Min(order.Length, Math.Max(1, MostRows / beam)), longest = sources[order[^1]].Length;
        using ModelExecutor executor = model.CreateExecutor(longest, 1, together * beam, options.MaximumLength);
        using var input = new SpanBatch(longest, together, 0, 0);
        using var writing = new Writing(executor, model.Model, together, beam, options);
        for (int first = 0; first < order.Length; first += together)
        {
            ReadOnlySpan<int> group = order.AsSpan(first, Math.Min(together, order.Length - first));
            Read(sources, group, input);
            executor.Encode(input);
            int[][] written = writing.Run(group.Length, cancellation);
            for (int i = 0; i < group.Length; i++)
            {
                targets[group[i]] = written[i];
            }
        }

        return targets;
    }

    private static void Read(IReadOnlyList<int[]> sources, ReadOnlySpan<int> group, SpanBatch into)
    {
        into.Rows = group.Length;
        into.Time = sources[group[^1]].Length;
        into.TargetTime = 1;
        for (int row = 0; row < group.Length; row++)
        {
            int[] source = sources[group[row]];
            into.Lengths[row] = source.Length;
            into.RowIds[row] = row;
            into.TargetTokens[row] = -1;
            for (int time = 0; time < into.Time; time++)
            {
                into.Tokens[((long)time * group.Length) + row] = time < source.Length ? source[time] : SequenceTokens.Padding;
            }
        }
    }

    /// <summary>A target as far as it is written.</summary>
    /// <param name="Row">Its row among those of its source.</param>
    /// <param name="LogProbability">In nats.</param>
    /// <param name="Tokens">Its tokens, without &lt;eos&gt;.</param>
    private sealed record Hypothesis(int Row, double LogProbability, int[] Tokens);

    private readonly record struct Candidate(int Parent, int Token, double LogProbability);

    private sealed class Writing : IDisposable
    {
        private readonly ModelExecutor executor;
        private readonly SearchOptions options;
        private readonly int beam;
        private readonly int width;
        private readonly int stateWidth;
        private readonly SpanBatch next;
        private readonly NativeBuffer<float> logits; // [rows, width]
        private NativeBuffer<float> states; // [rows, stateWidth]
        private NativeBuffer<float> rearranged; // likewise

        public Writing(ModelExecutor executor, Model model, int together, int beam, SearchOptions options)
        {
            this.executor = executor;
            this.options = options;
            this.beam = beam;
            width = model.OutputWidth;
            stateWidth = model.StateWidth;
            int rows = together * beam;
            next = new SpanBatch(1, rows, 0, 0) { Time = 1, TargetTime = 1 };
            logits = new NativeBuffer<float>((long)rows * width);
            states = new NativeBuffer<float>(Math.Max(1, (long)rows * stateWidth));
            rearranged = new NativeBuffer<float>(Math.Max(1, (long)rows * stateWidth));
        }

        public int[][] Run(int sources, CancellationToken cancellation)
        {
            int rows = sources * beam;
            var alive = new List<Hypothesis>[sources];
            var finished = new List<Hypothesis>[sources];
            int[] from = new int[rows];
            next.Rows = rows;
            for (int source = 0; source < sources; source++)
            {
                alive[source] = [new Hypothesis(0, 0.0, [])];
                finished[source] = [];
            }

            for (int row = 0; row < rows; row++)
            {
                next.Tokens[row] = SequenceTokens.Beginning;
                next.Lengths[row] = 1;
                next.RowIds[row] = row;
            }

            for (int time = 0; time < options.MaximumLength && alive.Any(list => list.Count > 0); time++)
            {
                cancellation.ThrowIfCancellationRequested();
                next.StartTime = time;
                executor.Continue(next, time == 0 ? null : states.Pointer, states.Pointer, logits.Pointer, logits: true);
                for (int source = 0; source < sources; source++)
                {
                    int firstRow = source * beam;
                    new Span<int>(from, firstRow, beam).Fill(firstRow);
                    alive[source] = Advance(alive[source], finished[source], firstRow, isLast: time + 1 == options.MaximumLength);
                    for (int i = 0; i < alive[source].Count; i++)
                    {
                        Hypothesis kept = alive[source][i];
                        from[firstRow + i] = firstRow + kept.Row;
                        next.Tokens[firstRow + i] = kept.Tokens[^1];
                        alive[source][i] = kept with { Row = i };
                    }
                }

                if (beam > 1)
                {
                    Rearrange(from);
                }
            }

            return [.. finished.Select(Best)];
        }

        public void Dispose()
        {
            next.Dispose();
            logits.Dispose();
            states.Dispose();
            rearranged.Dispose();
        }

        // The best continuations of a source's hypotheses. One that ends counts when it is among the best of the beam, and when so many
        // have ended the search is over; at the greatest length all end.
        private List<Hypothesis> Advance(List<Hypothesis> hypotheses, List<Hypothesis> finished, int firstRow, bool isLast)
        {
            var kept = new List<Hypothesis>(beam);
            Candidate[] candidates = Candidates(hypotheses, firstRow);
            for (int rank = 0; rank < candidates.Length && kept.Count < beam; rank++)
            {
                Candidate candidate = candidates[rank];
                Hypothesis parent = hypotheses[candidate.Parent];
                if (candidate.Token != SequenceTokens.End)
                {
                    kept.Add(new Hypothesis(parent.Row, candidate.LogProbability, [.. parent.Tokens, candidate.Token]));
                }
                else if (rank < beam)
                {
                    finished.Add(parent with { LogProbability = candidate.LogProbability });
                }
            }

            if (finished.Count >= beam)
            {
                return [];
            }

            if (isLast)
            {
                finished.AddRange(kept);
                return [];
            }

            return kept;
        }

        // The 2 x beam most probable continuations, the best first: enough for a full beam when each hypothesis may end once.
        private Candidate[] Candidates(List<Hypothesis> hypotheses, int firstRow)
        {
            int most = 2 * beam;
            var best = new List<Candidate>(most + 1);
            for (int parent = 0; parent < hypotheses.Count; parent++)
            {
                float* row = logits.Pointer + ((long)(firstRow + hypotheses[parent].Row) * width);
                double normalizer = LogSum(row);
                for (int token = SequenceTokens.End; token < width; token++)
                {
                    double score = hypotheses[parent].LogProbability + (row[token] - normalizer);
                    if (best.Count == most && !(score > best[^1].LogProbability))
                    {
                        continue;
                    }

                    int place = best.Count;
                    while (place > 0 && score > best[place - 1].LogProbability)
                    {
                        place--;
                    }

                    best.Insert(place, new Candidate(parent, token, score));
                    if (best.Count > most)
                    {
                        best.RemoveAt(most);
                    }
                }
            }

            return [.. best];
        }

        private double LogSum(float* row)
        {
            double greatest = double.NegativeInfinity, sum = 0.0;
            for (int token = 0; token < width; token++)
            {
                greatest = row[token] > greatest ? row[token] : greatest;
            }

            for (int token = 0; token < width; token++)
            {
                sum += ScalarMath.Exp(row[token] - greatest);
            }

            return greatest + ScalarMath.Log(sum);
        }

        private void Rearrange(int[] from)
        {
            executor.Reorder(from);
            for (int row = 0; row < from.Length && stateWidth > 0; row++)
            {
                new ReadOnlySpan<float>(states.Pointer + ((long)from[row] * stateWidth), stateWidth).CopyTo(new Span<float>(rearranged.Pointer + ((long)row * stateWidth), stateWidth));
            }

            (states, rearranged) = (rearranged, states);
        }

        private int[] Best(List<Hypothesis> finished)
        {
            int best = 0;
            for (int i = 1; i < finished.Count; i++)
            {
                best = Score(finished[i]) > Score(finished[best]) ? i : best;
            }

            return finished.Count == 0 ? [] : finished[best].Tokens;
        }

        private double Score(Hypothesis hypothesis) => hypothesis.LogProbability / ScalarMath.Pow((5.0 + hypothesis.Tokens.Length) / 6.0, options.LengthPenalty);
    }
}
