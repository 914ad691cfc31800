// A part of a data set with labels beside what a model makes of it: shared by the applications that name classes.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Models;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>An example with the classes found for it.</summary>
/// <param name="Example">The example.</param>
/// <param name="Classes">For each of its targets the likeliest class, of equals the lowest.</param>
/// <param name="Probabilities">How likely each is.</param>
internal sealed record PredictedExample(LabelledExample Example, int[] Classes, float[] Probabilities);

/// <summary>What a model answers at a time step of an example.</summary>
/// <param name="example">Which example, from 0.</param>
/// <param name="time">Which of its targets, from 0.</param>
/// <param name="logits">A logit for each class.</param>
internal delegate void AnswerVisitor(int example, int time, ReadOnlySpan<float> logits);

/// <summary>Examples with labels, and what a model makes of them.</summary>
internal sealed unsafe class LabelledPart
{
    private List<PredictedExample>? predicted;

    /// <summary>Takes examples.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="examples">The examples.</param>
    /// <param name="name">What the part is called, as in "test part".</param>
    /// <exception cref="DataException">The model has no names for its classes.</exception>
    public LabelledPart(TaskModel trained, LabelledExamples examples, string name)
    {
        Trained = trained;
        Examples = examples;
        Name = name;
        Labels = trained.Artefact.Labels ?? throw new DataException("checkpoint", "the names of classes", "none", "Take a run that was trained on data with labels");
    }

    /// <summary>The model.</summary>
    public TaskModel Trained { get; }

    /// <summary>The examples.</summary>
    public LabelledExamples Examples { get; }

    /// <summary>What the part is called.</summary>
    public string Name { get; }

    /// <summary>What the classes are called.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>The likeliest classes of all examples, in order; computed when first asked for.</summary>
    public IReadOnlyList<PredictedExample> Predicted => predicted ??= Predict(default);

    /// <summary>The part of a data set that tells most: what tests, else what validates, else what trains.</summary>
    public static LabelledPart Of(TaskModel trained, Dataset data)
    {
        (IBatchSource source, string name) = data.Test is not null ? (data.Test, "test") : data.Validation is not null ? (data.Validation, "validation") : (data.Training, "training");
        return new LabelledPart(trained, ExamplesOf(source), name);
    }

    /// <summary>The examples behind a source.</summary>
    public static LabelledExamples ExamplesOf(IBatchSource source) => (LabelledExamples)((IExampleSource)source).Examples;

    /// <summary>The first examples.</summary>
    public LabelledPart First(int count) => count >= Examples.Count ? this
        : new LabelledPart(Trained, new LabelledExamples([.. Enumerable.Range(0, count).Select(i => Examples[i])], Examples.FeatureWidth, Examples.Places, Examples.Sha256), Name);

    /// <summary>Computes <see cref="Predicted"/> unless someone gives up before.</summary>
    public List<PredictedExample> Predict(CancellationToken cancellation)
    {
        var found = new List<PredictedExample>(checked((int)Examples.Count));
        Visit(
            (example, time, logits) =>
            {
                if (time == 0)
                {
                    int targets = Examples[example].Classes.Length;
                    found.Add(new PredictedExample(Examples[example], new int[targets], new float[targets]));
                }

                int likeliest = Explanation.LargestOf(logits);
                found[example].Classes[time] = likeliest;
                found[example].Probabilities[time] = Probabilities(logits)[likeliest];
            },
            cancellation);
        return predicted = found;
    }

    /// <summary>Computes all examples and shows each target's logits, examples in order.</summary>
    public void Visit(AnswerVisitor visit, CancellationToken cancellation = default)
    {
        int width = Trained.Model.Model.OutputWidth;
        ExampleOutputs.Visit(
            Trained.Model,
            Examples,
            Examples.Count,
            logits: true,
            (batch, row, outputs) =>
            {
                int example = (int)batch.RowIds[row], targets = Examples[example].Classes.Length;
                for (int time = 0; time < targets; time++)
                {
                    visit(example, time, new ReadOnlySpan<float>(outputs + ((((long)time * batch.Rows) + row) * width), width));
                }
            },
            cancellation);
    }

    /// <summary>Right answers, beside always naming the most frequent class.</summary>
    public Figure Accuracy(string what)
    {
        long right = 0, all = 0;
        long[] actual = new long[Labels.Count];
        foreach (PredictedExample example in Predicted)
        {
            for (int i = 0; i < example.Classes.Length; i++, all++)
            {
                right += example.Classes[i] == example.Example.Classes[i] ? 1 : 0;
                actual[example.Example.Classes[i]]++;
            }
        }

        int most = Array.IndexOf(actual, actual.Max());
        return new Figure($"{Name}Accuracy", $"Right {what}, {Name} part", right / (double)all, $"{SequenceTask.Percent(right / (double)all)} ({right} of {all})", $"always '{Labels[most]}': {SequenceTask.Percent(actual[most] / (double)all)}");
    }

    /// <summary>For each class how many there are and were found, precision, recall and F1, and what it is taken for most.</summary>
    public FigureTable ClassTable() => ClassTable(Labels, Predicted.SelectMany(example => example.Example.Classes.Zip(example.Classes)), Name);

    /// <summary>The same of answers wherever they come from.</summary>
    /// <param name="labels">What the classes are called.</param>
    /// <param name="answers">The class that is right, and the one that was found.</param>
    /// <param name="part">What the part is called.</param>
    public static FigureTable ClassTable(IReadOnlyList<string> labels, IEnumerable<(int Actual, int Found)> answers, string part)
    {
        int[,] confusion = new int[labels.Count, labels.Count]; // [actual, found]
        foreach ((int actual, int found) in answers)
        {
            confusion[actual, found]++;
        }

        var rows = new List<IReadOnlyList<string>>();
        for (int label = 0; label < labels.Count; label++)
        {
            int actual = 0, found = 0, hits = confusion[label, label], worst = -1;
            for (int other = 0; other < labels.Count; other++)
            {
                actual += confusion[label, other];
                found += confusion[other, label];
                worst = other != label && confusion[label, other] > (worst < 0 ? 0 : confusion[label, worst]) ? other : worst;
            }

            rows.Add([labels[label], $"{actual}", $"{found}", SequenceTask.Share(hits, found), SequenceTask.Share(hits, actual), SequenceTask.Share(2 * hits, actual + found), worst < 0 ? "-" : $"{labels[worst]} ({confusion[label, worst]})"]);
        }

        return new FigureTable($"Classes of the {part} part", ["class", "there are", "found", "precision", "recall", "F1", "most taken for"], rows);
    }

    /// <summary>How likely each class is.</summary>
    public static float[] Probabilities(ReadOnlySpan<float> logits)
    {
        float largest = logits[Explanation.LargestOf(logits)];
        double[] shares = new double[logits.Length];
        double sum = 0;
        for (int i = 0; i < shares.Length; i++)
        {
            sum += shares[i] = ScalarMath.Exp((double)logits[i] - largest);
        }

        return Array.ConvertAll(shares, share => (float)(share / sum));
    }
}
