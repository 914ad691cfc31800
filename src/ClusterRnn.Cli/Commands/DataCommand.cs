using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Data.Fetching;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn data</c>: public data sets, and how to train on them.</summary>
internal static class DataCommand
{
    private const string List = "list", Get = "get";

    public static Command Make(Terminal terminal)
    {
        var usual = new FetchOptions();
        var action = new Argument<string>("ACTION") { Description = $"{List} says which data sets there are, {Get} fetches one." };
        var names = new Argument<string?>("NAME") { Description = "Which one.", Arity = ArgumentArity.ZeroOrOne };
        var output = new Option<string?>("--out") { Description = "The folder it goes to. Default: data/NAME.", HelpName = "FOLDER" };
        var catalog = new Option<string?>("--catalog") { Description = "Another list of data sets (JSON) in place of the program's own.", HelpName = "FILE" };
        Option<double?> deadline = NumberOption.Of("--deadline", $"Seconds after which it is given up. Default: {usual.Deadline.TotalSeconds:0}. What has come is kept.", 0.1, (double?)1e6, "SECONDS");
        Option<double?> stall = NumberOption.Of("--stall", $"Seconds without a byte after which it is tried again. Default: {usual.Stall.TotalSeconds:0}.", 0.1, (double?)1e5, "SECONDS");
        var command = new GroupedCommand("data", "List public data sets, or fetch one.", CommandGroup.Train) { action, names, output, catalog, deadline, stall };
        command.Examples.Add(("data list", "Which there are, how large, and whether their hashes are known beforehand."));
        command.Examples.Add(("data get tinyshakespeare", "Fetch one, and print the command that trains on it. Started again, it goes on where it was."));
        command.Examples.Add(("data get mnist --out /data/mnist", "To another folder. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded."));
        command.SetAction(async (parsed, cancellation) =>
        {
            string what = parsed.GetValue(action)!;
            string? name = parsed.GetValue(names), folder = parsed.GetValue(output);
            Catalogue catalogue = Open(parsed.GetValue(catalog));
            if (what == List)
            {
                if (name is not null)
                {
                    throw new UsageException($"data list takes no name; found '{name}'. Fetch it with: clusterrnn data get {name}");
                }

                Show(terminal, catalogue);
                return ExitCode.Success;
            }

            if (what != Get)
            {
                throw new UsageException($"data {what}: expected {List} or {Get}");
            }

            CatalogueEntry entry = Find(catalogue, name);
            folder ??= Path.Combine("data", entry.Name);
            FetchOptions options = usual with
            {
                Deadline = parsed.GetValue(deadline) is { } limit ? TimeSpan.FromSeconds(limit) : usual.Deadline,
                Stall = parsed.GetValue(stall) is { } seconds ? TimeSpan.FromSeconds(seconds) : usual.Stall,
            };
            terminal.Say($"{entry.Name}: {entry.What}. {entry.Licence}.");
            await DataFetch.RunAsync(entry, folder, options, terminal.Say, cancellation).ConfigureAwait(false);
            terminal.Say("Train on it:");
            foreach (string line in entry.Train)
            {
                terminal.WriteLine("clusterrnn train " + In(folder.Replace(Path.DirectorySeparatorChar, '/'), line));
            }

            return ExitCode.Success;
        });
        return command;
    }

    // Words with the folder in them, quoted where a shell would take it apart.
    private static string In(string folder, string line) => string.Join(' ', line.Split(' ').Select(word =>
    {
        string whole = word.Replace(CatalogueEntry.FolderMark, folder, StringComparison.Ordinal);
        return whole != word && !word.Contains('\'') && folder.Any(letter => !char.IsAsciiLetterOrDigit(letter) && "/._-+:@".IndexOf(letter) < 0) ? $"'{whole}'" : whole;
    }));

    private static Catalogue Open(string? path)
    {
        if (path is null)
        {
            return Catalogue.BuiltIn();
        }

        try
        {
            return Catalogue.Parse(path, File.ReadAllText(path));
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--catalog {path}: expected a file that can be read: {fault.Message}");
        }
    }

    private static CatalogueEntry Find(Catalogue catalogue, string? name)
    {
        string all = string.Join(", ", catalogue.Entries.Select(entry => entry.Name));
        if (name is null)
        {
            throw new UsageException($"data get needs a name: {all}");
        }

        return catalogue.Entries.FirstOrDefault(entry => entry.Name == name)
            ?? throw new UsageException($"data get {name}: no such data set; {(NearestName.Of(name, catalogue.Entries.Select(entry => entry.Name)) is { } near ? $"did you mean {near}?" : $"there are {all}")}");
    }

    private static void Show(Terminal terminal, Catalogue catalogue) => Tables.Write(
        terminal,
        ["name", "what it is", "to fetch", "hashes", "terms"],
        [.. catalogue.Entries.Select(entry => new[]
        {
            entry.Name,
            entry.What,
            Figures.Bytes(entry.Files.Sum(file => file.Bytes)),
            entry.Files.All(file => file.IsPinned) ? "pinned" : entry.Files.Any(file => file.IsPinned) ? $"pinned but {entry.Files.Count(file => !file.IsPinned)}" : "not pinned",
            entry.Licence,
        })],
        isText: true);
}
