// Writes text token by token with the recurrent state carried on; several texts at once, one a row. A row's result
// doesn't depend on the rows beside it, so a text is the same alone or among others.
//
// A model with attention keeps the keys and values of earlier tokens instead, as many as its training windows had time
// steps: it knows no later places. When they are full it begins anew from the later half of its tokens.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>Continues prompts with a token-level model.</summary>
public static unsafe class TextGenerator
{
    /// <summary>Writes <paramref name="rows"/> texts of <paramref name="length"/> tokens that go on from the same prompt.</summary>
    /// <param name="model">A model from tokens to tokens.</param>
    /// <param name="prompt">At least one token; not part of the result.</param>
    /// <param name="length">How many tokens are drawn for each text.</param>
    /// <param name="rows">How many texts; each has draws of its own.</param>
    /// <param name="sampler">Draws the tokens.</param>
    /// <param name="onToken">Called with each token of the first text as it is drawn, or null.</param>
    /// <param name="cancellation">Ends the writing early.</param>
    /// <param name="contextTime">For a model with attention: the tokens it looks back on at the most, at least 2; what its training windows had.</param>
    /// <returns>For each text its tokens.</returns>
    /// <exception cref="ArgumentException">The prompt is empty.</exception>
    /// <exception cref="OperationCanceledException">The writing was ended.</exception>
    /// <exception cref="ModelException">The model can't go on token by token.</exception>
    public static int[][] Write(
        TrainedModel model,
        ReadOnlySpan<int> prompt,
        int length,
        int rows,
        TokenSampler sampler,
        Action<int>? onToken = null,
        CancellationToken cancellation = default,
        int contextTime = 256)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(sampler);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        if (prompt.IsEmpty)
        {
            throw new ArgumentException("A prompt of at least one token is needed.", nameof(prompt));
        }

        int vocabulary = model.Model.OutputWidth, context = model.Model.NeedsContext ? Math.Max(2, contextTime) : 0;
        using ModelExecutor executor = model.CreateExecutor(1, 1, rows, context);
        int[] seen = new int[context * rows]; // [context, rows]
        using var batch = new SpanBatch(1, rows, featureWidth: 0, targetWidth: 0) { Time = 1, TargetTime = 1, Rows = rows };
        using var state = new NativeBuffer<float>(Math.Max(1, (long)rows * model.Model.StateWidth));
        using var logits = new NativeBuffer<float>((long)rows * vocabulary);
        int[][] texts = new int[rows][];
        for (int row = 0; row < rows; row++)
        {
            texts[row] = new int[length];
            batch.Lengths[row] = 1;
            batch.RowIds[row] = row;
        }

        int time = 0;
        foreach (int token in prompt)
        {
            new Span<int>(batch.Tokens, rows).Fill(token);
            Step(time++);
        }

        for (int i = 0; i < length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            for (int row = 0; row < rows; row++)
            {
                int token = sampler.Draw(new ReadOnlySpan<float>(logits.Pointer + (long)row * vocabulary, vocabulary), row, i);
                texts[row][i] = token;
                batch.Tokens[row] = token;
            }

            onToken?.Invoke(texts[0][i]);
            if (i + 1 < length)
            {
                Step(time++);
            }
        }

        return texts;

        void Step(int at)
        {
            batch.StartTime = at;
            if (context == 0)
            {
                executor.Predict(batch, at == 0 ? null : state.Pointer, state.Pointer, logits.Pointer, logits: true);
                return;
            }

            if (executor.PastTime == context)
            {
                BeginAnew();
            }

            new ReadOnlySpan<int>(batch.Tokens, rows).CopyTo(seen.AsSpan(executor.PastTime * rows));
            executor.Continue(batch, executor.PastTime == 0 ? null : state.Pointer, state.Pointer, logits.Pointer, logits: true);
        }

        // From the later half of the tokens seen and, as in a window, the zero state.
        void BeginAnew()
        {
            int kept = context / 2;
            int[] current = new ReadOnlySpan<int>(batch.Tokens, rows).ToArray();
            Array.Copy(seen, (context - kept) * rows, seen, 0, kept * rows);
            executor.Forget();
            for (int i = 0; i < kept; i++)
            {
                seen.AsSpan(i * rows, rows).CopyTo(new Span<int>(batch.Tokens, rows));
                executor.Continue(batch, executor.PastTime == 0 ? null : state.Pointer, state.Pointer, logits.Pointer, logits: true);
            }

            current.CopyTo(new Span<int>(batch.Tokens, rows));
        }
    }
}
