// Small jobs in which every kind of layer trains, one way or the other: what holds for the cluster, for the instruction sets and
// for the memory is asked of each of them. LayerMatrixTests sees to it that no kind is missing.
namespace ClusterRnn.Tests.Node;

/// <summary>A job for every kind of layer.</summary>
internal static class LayerJobs
{
    /// <summary>The jobs' configs by name.</summary>
    public static IReadOnlyDictionary<string, string> All { get; } = new Dictionary<string, string>
    {
        // Sequences of different lengths from buckets, with all that a recurrent layer can be asked for.
        ["both"] = """
            data: { source: copy, symbols: 5, length: 2, delay: 9, minimumDelay: 2, examples: 200, validation: 0.2, test: 0 }
            model:
              layers:
                - { type: embedding, units: 6 }
                - { type: lstm, units: 5, layers: 2, bidirectional: true, dropout: 0.2, variational: true, recurrentDropout: 0.1, peepholes: true, learnedInitialState: true }
                - { type: gru, units: 10, residual: true, recurrentDropout: 0.2, learnedInitialState: true }
                - dense
            batch: { size: 7, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 5 }
            stop: { steps: 13 }
            """,
        // Streams whose state is carried, looked back at further than a span.
        ["streams"] = """
            data: { source: sums, characters: 1500, validation: 0.2 }
            model:
              layers:
                - { type: embedding, units: 6 }
                - { type: dropout, rate: 0.1, variational: true }
                - { type: lstm, units: 6, layers: 2, residual: true, peepholes: true, learnedInitialState: true, recurrentDropout: 0.2 }
                - { type: dense, tied: true }
            batch: { size: 7, span: 9, lookBack: 14, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 7 }
            stop: { steps: 25 }
            """,
        // The same with layer normalisation within the cells.
        ["normalized"] = """
            data: { source: sums, characters: 1500, validation: 0.2 }
            model:
              layers:
                - { type: embedding, units: 6 }
                - { type: lstm, units: 6, layers: 2, residual: true, dropout: 0.1, recurrentDropout: 0.2, learnedInitialState: true, layerNorm: true }
                - { type: gru, units: 5, layerNorm: true }
                - { type: rnn, units: 6, recurrentDropout: 0.1, layerNorm: true }
                - { type: dense, tied: true }
            batch: { size: 7, span: 9, lookBack: 14, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 7 }
            stop: { steps: 13 }
            """,
        // From one sequence to another, with a decoder that partly reads what it wrote.
        ["pairs"] = """
            data: { source: translation, examples: 200, validation: 0.2, test: 0 }
            model:
              encoder:
                - { type: embedding, units: 6 }
                - { type: lstm, units: 5, bidirectional: true, layers: 2, dropout: 0.2 }
                - { type: transformer, layers: 1, heads: 2, units: 9, dropout: 0.1 }
              decoder:
                - { type: embedding, units: 6 }
                - { type: lstm, units: 8, recurrentDropout: 0.2 }
                - { type: cross-attention, score: additive }
                - { type: transformer, layers: 1, heads: 2, units: 9, dropout: 0.1 }
                - dense
              teacherForcing: { course: linear, ratio: 0.9, finalRatio: 0.3, steps: 10 }
            batch: { size: 7, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 5 }
            stop: { steps: 13 }
            """,
        // Pictures: convolutions, pooling and attention over what they find, each row by itself.
        ["pictures"] = """
            data: { source: digits, examples: 60, validation: 0.2, test: 0 }
            model:
              layers:
                - { type: convolution2d, units: 3, kernel: 3, stride: 2, activation: relu }
                - { type: max-pooling, size: 1, featureSize: 2 }
                - layer-norm
                - { type: dense, units: 6, activation: tanh }
                - { type: positions, kind: learned, maximumLength: 40 }
                - { type: attention, heads: 2, dropout: 0.1 }
                - { type: dropout, rate: 0.2 }
                - { type: convolution1d, units: 5, kernel: 3, activation: sigmoid }
                - { type: global-pooling, kind: mean }
                - dense
              loss: cross-entropy
            batch: { size: 7, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 3 }
            stop: { steps: 5 }
            """,
        // Elman's network with its output, over tokens as they are.
        ["elman"] = """
            data: { source: copy, symbols: 5, length: 2, delay: 6, minimumDelay: 2, examples: 100, validation: 0.2, test: 0 }
            model: { layers: [one-hot, { type: elman, units: 7, outputs: 6 }, dense] }
            batch: { size: 7, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 4 }
            stop: { steps: 7 }
            """,
        // A plain network over the last steps of what a recurrent one found in windows of a series.
        ["windows"] = """
            data: { source: sine, rows: 120, window: 8 }
            model: { layers: [{ type: gru, units: 5, resetGate: before }, { type: flatten, steps: 4 }, dense] }
            batch: { size: 7, shards: 5 }
            optimizer: { name: adam, learningRate: 0.02 }
            clip: { norm: 0.3 }
            evaluate: { every: 4 }
            stop: { steps: 7 }
            """,
    };
}
