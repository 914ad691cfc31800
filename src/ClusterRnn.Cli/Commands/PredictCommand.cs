using System.CommandLine;
using System.Globalization;
using ClusterRnn.Cli.Output;
using ClusterRnn.Cli.Report;
using ClusterRnn.Data;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn predict</c>, also called generate and forecast: uses a trained model for what it was trained for.</summary>
internal static class PredictCommand
{
    public static Command Make(Terminal terminal)
    {
        var run = new Argument<string>("RUN") { Description = SavedRun.Description };
        var input = new Argument<string?>("INPUT") { Description = "What to predict from: a prompt, a text to translate or to name (- reads the standard input), a recording, or the file that a forecast goes on from. Default: what the config says.", Arity = ArgumentArity.ZeroOrOne };
        var best = new Option<bool>("--best") { Description = "The checkpoint with the best validation loss instead of the newest." };
        var prompt = new Option<string?>("--prompt") { Description = "The text to go on from, the same as INPUT.", HelpName = "TEXT" };
        Option<int?> length = NumberOption.Of<int>("--length", "How many tokens to write, steps to forecast or items to recommend.", 1);
        length.Aliases.Add("--steps");
        Option<double?> temperature = NumberOption.Of<double>("--temperature", "Below 1 more certain, above 1 more varied; 0 always takes the likeliest.", 0, 100, "T");
        Option<int?> topK = NumberOption.Of<int>("--top-k", "Only so many of the likeliest tokens are considered; 0 considers all.", 0);
        Option<double?> topP = NumberOption.Of<double>("--top-p", "Only the likeliest tokens that together have this probability are considered.", 0, 1, "P");
        Option<ulong?> seed = NumberOption.Of<ulong>("--seed", "The seed of the draw.", 0);
        var output = new Option<string?>("--out") { Description = "Where a sound or picture that is written goes. Default: generated.wav or generated.png here, with a number if that is there already.", HelpName = "FILE" };
        var file = new Option<string?>("--file") { Description = "A file with one text a line to predict from, in place of INPUT.", HelpName = "FILE" };
        var candidates = new Option<string?>("--candidates") { Description = "A file with one answer a line, to be ranked as answers to INPUT.", HelpName = "FILE" };
        Option<int?> beam = NumberOption.Of<int>("--beam", "Hypotheses that a translation is searched among; 1 takes the likeliest token each time.", 1);
        var follow = new Option<bool>("--follow") { Description = "Watch a live series: read its rows from the standard input, or from the file INPUT as it grows, until the end or Ctrl-C; say of each what was expected and how far off it is, and which are alerts." };
        Option<double?> threshold = NumberOption.Of<double>("--threshold", "With --follow: scores above it are alerts. Default: what 99.9 % of the validation part's values stay below.", 0, double.MaxValue, "SCORE");
        var json = new Option<bool>("--json") { Description = "Print the prediction as JSON." };
        var explain = new Option<bool>("--explain") { Description = "Say which inputs the prediction rests on (gradient x input of each time step), and write a page of it with the attention. INPUT is a prompt, a file, or an example's number." };
        var command = new GroupedCommand("predict", "Use a trained model: write, translate, forecast, name, rank, watch.", CommandGroup.Use) { run, input, best, prompt, length, temperature, topK, topP, seed, file, candidates, beam, output, follow, threshold, json, explain };
        command.Aliases.Add("generate");
        command.Aliases.Add("forecast");
        command.Examples.Add(("generate latest --prompt 'seven plus' --temperature 0.5", "Go on from a prompt."));
        command.Examples.Add(("predict latest 'the old man sees a dog today.'", "Translate a sentence."));
        command.Examples.Add(("predict latest 'when does the pool open ?' --candidates answers.txt", "Rank answers to a question."));
        command.Examples.Add(("forecast runs/seasonal-1 --length 24", "Forecast the next 24 rows."));
        command.Examples.Add(("predict latest --follow < values.txt", "Alerts on a live series."));
        command.Examples.Add(("predict latest 'seven plus ' --explain", "Which characters the next one rests on."));
        command.SetAction((parsed, cancellation) => Task.Run(
            async () =>
            {
                string? text = parsed.GetValue(input), also = parsed.GetValue(prompt);
                if (text is not null && also is not null)
                {
                    throw new UsageException("predict takes INPUT or --prompt, not both");
                }

                if (parsed.GetValue(follow) && (parsed.GetValue(explain) || parsed.GetValue(file) is not null))
                {
                    throw new UsageException("--follow reads the standard input, or the file INPUT as it grows; leave out --file and --explain");
                }

                if (parsed.GetValue(explain) && parsed.GetValue(json))
                {
                    throw new UsageException("--explain prints a table and writes a page; leave out --json");
                }

                SavedRun saved = SavedRun.Find(parsed.GetValue(run)!, parsed.GetValue(best), terminal);
                TaskModel trained = SavedModel.Open(saved.Checkpoint, Environment.CurrentDirectory);
                using TrainedModel model = trained.Model;
                if (parsed.GetValue(explain))
                {
                    Explain(terminal, saved, trained, text ?? also);
                    return ExitCode.Success;
                }

                if (parsed.GetValue(threshold) is not null && !parsed.GetValue(follow))
                {
                    throw new UsageException("--threshold is for --follow");
                }

                if (parsed.GetValue(follow))
                {
                    if (trained.Job.Data is not SeriesData)
                    {
                        throw new UsageException("--follow is for models of series; this one takes INPUT");
                    }

                    SeriesCalibration? calibration = saved.Folder is { } folder ? SeriesCalibration.Read(folder.CalibrationPath, saved.Checkpoint.Info.ModelSha256) : null;
                    await FollowedSeries.FollowAsync(terminal, trained, calibration, Console.In, text, parsed.GetValue(threshold), parsed.GetValue(json), cancellation).ConfigureAwait(false);
                    return ExitCode.Success;
                }

                GenerateConfig generate = trained.Job.Generate;
                generate = generate with
                {
                    Length = parsed.GetValue(length) ?? generate.Length,
                    Temperature = parsed.GetValue(temperature) ?? generate.Temperature,
                    TopK = parsed.GetValue(topK) ?? generate.TopK,
                    TopP = parsed.GetValue(topP) ?? generate.TopP,
                    Beam = parsed.GetValue(beam) ?? generate.Beam,
                    Seed = parsed.GetValue(seed) ?? generate.Seed ?? trained.Job.Seed,
                };
                if (generate.TopP <= 0)
                {
                    throw new UsageException("--top-p 0: expected a number above 0, at most 1");
                }

                var task = SequenceTask.Of(trained.Job.Data);
                string? asked = InputOf(task, text ?? also, parsed.GetValue(file));
                bool asJson = parsed.GetValue(json);
                var request = new PredictionRequest(asked, generate, parsed.GetValue(length), asJson ? null : terminal.Write) { Candidates = CandidatesOf(task, parsed.GetValue(candidates)) };
                Prediction prediction = task.Predict(trained, request, cancellation);
                Show(terminal, prediction, asJson);
                foreach (PredictedFile written in prediction.Files)
                {
                    string path = parsed.GetValue(output) ?? Free(written.Name);
                    Save(path, written.Bytes);
                    terminal.Say($"wrote {path}, {written.Bytes.Length} bytes");
                }

                return ExitCode.Success;
            },
            cancellation));
        return command;
    }

    private static void Explain(Terminal terminal, SavedRun saved, TaskModel trained, string? input)
    {
        Explanation explanation = SequenceTask.Of(trained.Job.Data).Explain(trained, input);
        double largest = explanation.Parts.Max(Math.Abs);
        terminal.WriteLine(explanation.Predicted);
        terminal.WriteLine($"gradient x input of {explanation.Quantity}, above 0 what speaks for it:");
        Tables.Write(terminal, ["read", "time step", "part", "bar"], [.. explanation.Labels.Select((label, time) => new[]
        {
            label == " " ? "␣" : label, $"{time + 1}", explanation.Parts[time].ToString("F4", CultureInfo.InvariantCulture), Bar(largest > 0 ? explanation.Parts[time] / largest : 0),
        })]);
        string page = Path.Combine(saved.Folder?.Path ?? Environment.CurrentDirectory, "explanation.html");
        ExplanationPage.Write(page, saved.Checkpoint.Path, explanation);
        terminal.Say($"written to {Path.GetFullPath(page)}");
    }

    private static string Bar(double share) => new(share < 0 ? '-' : '+', (int)Math.Round(20 * Math.Abs(share)));

    // Lines come as they are, from a file, or from the standard input.
    private static string? InputOf(SequenceTask task, string? text, string? file)
    {
        if (file is not null && text is not null)
        {
            throw new UsageException("predict takes INPUT or --file, not both");
        }

        if (file is not null && !task.ReadsLines)
        {
            throw new UsageException("--file is for models that read lines of text, such as translations; this one takes INPUT");
        }

        if (file is not null)
        {
            return string.Concat(PairTexts.LinesOf(file).Select(line => line + "\n"));
        }

        return task.ReadsLines && text == "-" ? Console.In.ReadToEnd() : text;
    }

    private static IReadOnlyList<string>? CandidatesOf(SequenceTask task, string? file) => file is null ? null
        : task.RanksCandidates ? PairTexts.LinesOf(file) : throw new UsageException("--candidates is for models that rank answers; this one takes INPUT alone");

    // The name, or with the first number that nothing has yet.
    private static string Free(string name)
    {
        string free = name;
        for (int number = 2; File.Exists(free); number++)
        {
            free = $"{Path.GetFileNameWithoutExtension(name)}-{number}{Path.GetExtension(name)}";
        }

        return free;
    }

    private static void Save(string path, byte[] bytes)
    {
        try
        {
            File.WriteAllBytes(path, bytes);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--out {path}: expected a file that can be written: {fault.Message}");
        }
    }

    private static void Show(Terminal terminal, Prediction prediction, bool asJson)
    {
        if (asJson)
        {
            terminal.WriteLine(System.Text.Json.JsonSerializer.Serialize(new PredictionFile(prediction.Text, prediction.Tables), ConfigJson.Options));
            return;
        }

        if (prediction.Text is { } written && !written.EndsWith('\n'))
        {
            terminal.WriteLine("");
        }

        foreach (FigureTable table in prediction.Tables)
        {
            terminal.Say(table.Title);
            Tables.Write(terminal, table.Columns, table.Rows, table.IsText);
        }
    }

    private sealed record PredictionFile(string? Text, IReadOnlyList<FigureTable> Tables);
}
