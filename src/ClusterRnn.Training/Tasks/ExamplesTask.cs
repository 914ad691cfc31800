// Sequences with an answer each: symbols to be written again, a sum, a class. The model answers examples that it was not
// trained on; what it answers stands beside what is right, and its error beside that of the best answer without looking.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>Examples with known answers, generated or pictures of files.</summary>
public sealed unsafe class ExamplesTask : SequenceTask
{
    // The share of right answers is known to about a percent.
    private const int MostExamples = 5000;
    private const int ShownExamples = 10;

    // The answer to a sum counts as right within this (Hochreiter and Schmidhuber 1997).
    private const double RightWithin = 0.04;

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        (IExamples examples, string part) = ExamplesOf(data);
        List<Answer> answers = Answers(trained.Model, examples, MostExamples);
        var figures = new List<Figure>();
        int wholly = 0, targets = 0, hits = 0;
        double sum = 0, squares = 0, errors = 0; // in the examples' order
        foreach (Answer answer in answers)
        {
            wholly += answer.IsRight ? 1 : 0;
            targets += answer.Expected.Count;
            hits += answer.Hits;
            sum += answer.Expected[0];
            squares += answer.Expected[0] * answer.Expected[0];
            double error = answer.Found.Count == 0 ? 0 : answer.Found[0] - answer.Expected[0];
            errors += error * error;
        }

        double count = answers.Count, mean = sum / count;
        if (data.HasLabels)
        {
            figures.Add(ShareOf($"{part}LabelErrorRate", $"Label errors, {part} part", 1.0 - (hits / (double)targets), "labels put in, left out or taken for others, by the labels there are"));
            figures.Add(ShareOf($"{part}WhollyRight", $"Examples with all labels right, {part} part", wholly / count, null));
        }
        else if (examples.TargetWidth == 0)
        {
            figures.Add(ShareOf($"{part}Accuracy", $"Right answers, {part} part", hits / (double)targets, $"a guess is right in {Percent(1.0 / data.OutputWidth)}"));
            if (targets > answers.Count)
            {
                figures.Add(ShareOf($"{part}WhollyRight", $"Examples with all answers right, {part} part", wholly / count, null));
            }
        }
        else
        {
            string constant = $"always answering the mean: {Show((squares / count) - (mean * mean))}";
            figures.Add(new Figure($"{part}MeanSquaredError", $"Mean squared error, {part} part", errors / count, Show(errors / count), constant));
            figures.Add(ShareOf($"{part}Right", $"Answers within {RightWithin}, {part} part", wholly / count, null));
        }

        List<FigureTable> tables = [TableOf(answers.Take(ShownExamples), part)];
        if (data.Config is DigitsData)
        {
            tables.Insert(0, LabelledPart.ClassTable(ClassNames(data.OutputWidth), answers.Select(answer => ((int)answer.Expected[0], (int)answer.Found[0])), part));
        }

        return new TaskOutcome(figures, tables, [], null);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        if (request.Input is { } input)
        {
            return trained.Job.Data is DigitsData ? ClassesOf(trained, input, cancellation) : throw new DataException(
                "predict", "no input: the examples are generated", $"'{input}'", "Leave it out; --length says how many examples are answered");
        }

        (IExamples examples, string part) = ExamplesOf(DataOf(trained));
        return new Prediction(null, [TableOf(Answers(trained.Model, examples, request.Steps ?? ShownExamples, cancellation), part)], []);
    }

    // What is on other pictures.
    private static Prediction ClassesOf(TaskModel trained, string input, CancellationToken cancellation)
    {
        var pictures = new LabelledExamples(LabelledInput.Pictures(input, trained.Artefact), trained.Model.Model.InputWidth, LabelPlaces.Last, "");
        TaskModel named = trained with { Artefact = trained.Artefact with { Labels = ClassNames(trained.Model.Model.OutputWidth) } };
        return LabelledTask.NamesOf(new LabelledPart(named, pictures, "input"), "Classes", "picture", "class", example => example.Name, cancellation);
    }

    private static List<string> ClassNames(int count) => [.. Enumerable.Range(0, count).Select(number => number.ToString(CultureInfo.InvariantCulture))];

    /// <inheritdoc/>
    public override Explanation Explain(TaskModel trained, string? input)
    {
        ArgumentNullException.ThrowIfNull(trained);
        (IExamples examples, string part) = ExamplesOf(DataOf(trained));
        if (!long.TryParse(input ?? "0", NumberStyles.None, CultureInfo.InvariantCulture, out long number) || number >= examples.Count)
        {
            throw new DataException("predict", $"the number of an example of the {part} part, 0 to {examples.Count - 1}", $"'{input}'", "Name one of them");
        }

        using var batch = new SpanBatch(examples.Time, 1, examples.FeatureWidth, examples.TargetWidth) { Time = examples.Time, TargetTime = examples.TargetTime, Rows = 1 };
        WindowSource.Clear(batch);
        batch.Lengths[0] = examples.Read(number, batch, 0);
        using SpanBatch row = SingleRow.Cut(trained.Model.Model, batch, 0, examples.Time)!;
        int start = batch.Lengths[0] - row.Time;
        string[] labels = [.. Enumerable.Range(0, row.Time).Select(time => batch.Tokens is null ? ValuesAt(batch, time + start) : batch.Tokens[time + start].ToString(CultureInfo.InvariantCulture))];
        string expected = row.TargetTokens is null ? row.TargetValues[0].ToString("F3", CultureInfo.InvariantCulture) : row.TargetTokens[0].ToString(CultureInfo.InvariantCulture);
        return Explanation.Of(
            trained.Model, row, labels, outputs => $"{(row.TargetTokens is null ? outputs[0].ToString("F3", CultureInfo.InvariantCulture) : $"class {Explanation.LargestOf(outputs)}")} (right would be {expected})");
    }

    // A few values as they are; of many, how large they are together.
    private static string ValuesAt(SpanBatch batch, int time)
    {
        var values = new ReadOnlySpan<float>(batch.Features + ((long)time * batch.FeatureWidth), batch.FeatureWidth);
        return values.Length <= 4 ? string.Join(' ', values.ToArray().Select(value => value.ToString("F2", CultureInfo.InvariantCulture))) : $"step {time}";
    }

    private static Dataset DataOf(TaskModel trained)
    {
        BatchConfig batch = trained.Job.Batch;
        return Dataset.Open(
            trained.Job.Data, new Batching(batch.Size, batch.Span, batch.LookBack ?? batch.Span, batch.CarryState, trained.Job.Seed), trained.BaseFolder, trained.Artefact);
    }

    private static (IExamples Examples, string Part) ExamplesOf(Dataset data)
    {
        (IBatchSource source, string part) = data.Test is not null ? (data.Test, "test") : data.Validation is not null ? (data.Validation, "validation") : (data.Training, "training");
        return (((IExampleSource)source).Examples, part);
    }

    private static List<Answer> Answers(TrainedModel model, IExamples examples, int most, CancellationToken cancellation = default)
    {
        if (model.Model.Loss == LossKind.Ctc)
        {
            return [.. LabelReading.Of(model, examples, most, cancellation).Select(reading => new Answer(
                [.. reading.Expected.Select(label => label - 1.0)], [.. reading.Found.Select(label => label - 1.0)], reading.Expected.Count - reading.Edits, "F0"))];
        }

        var answers = new List<Answer>();
        ExampleOutputs.Visit(model, examples, most, logits: false, (batch, row, outputs) => answers.Add(AnswerOf(batch, row, outputs, model.Model.OutputWidth)), cancellation);
        return answers;
    }

    private static Answer AnswerOf(SpanBatch batch, int row, float* outputs, int width)
    {
        var expected = new List<double>();
        var found = new List<double>();
        for (int time = 0; time < batch.TargetTime; time++)
        {
            long cell = ((long)time * batch.Rows) + row;
            var output = new ReadOnlySpan<float>(outputs + (cell * width), width);
            if (batch.TargetWidth > 0)
            {
                expected.Add(batch.TargetValues[cell * width]);
                found.Add(output[0]);
            }
            else if (batch.TargetTokens[cell] >= 0)
            {
                expected.Add(batch.TargetTokens[cell]);
                found.Add(Explanation.LargestOf(output));
            }
        }

        int hits = expected.Zip(found).Count(pair => batch.TargetWidth > 0 ? Math.Abs(pair.First - pair.Second) <= RightWithin : pair.First == pair.Second);
        return new Answer(expected, found, hits, batch.TargetWidth > 0 ? "F3" : "F0");
    }

    private static FigureTable TableOf(IEnumerable<Answer> answers, string part) => new(
        $"Examples of the {part} part",
        ["answer", "right would be"],
        [.. answers.Select(answer => (IReadOnlyList<string>)[answer.Text(answer.Found), answer.Text(answer.Expected)])]);

    private static Figure ShareOf(string key, string label, double share, string? note) => new(key, label, share, Percent(share), note);

    private sealed record Answer(IReadOnlyList<double> Expected, IReadOnlyList<double> Found, int Hits, string Format)
    {
        public bool IsRight => Hits == Expected.Count;

        public string Text(IEnumerable<double> values) => string.Join(' ', values.Select(value => value.ToString(Format, CultureInfo.InvariantCulture)));
    }
}
