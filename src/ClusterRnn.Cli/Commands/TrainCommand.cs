// `clusterrnn train CONFIG`: check everything, then train. Options that name a config key are merged into the config
// before it is checked, so `--workers 0` and `cluster: { workers: 0 }` get the same complaint. Nothing is written before
// config, data and model have all passed.
using System.CommandLine;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.FineTuning;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn train</c>.</summary>
internal static class TrainCommand
{
    public static Command Make(Terminal terminal, IReadOnlyList<IEngine> engines)
    {
        var command = new GroupedCommand("train", "Train a model as a config file says.", CommandGroup.Train);
        command.Examples.Add(("train configs/quickstart.yaml", "Train a small character model with two workers in this process."));
        command.Examples.Add(("train configs/char-lm.yaml --set data.path='texts/**/*.txt'", "Train on any text."));
        command.Examples.Add(("train configs/quickstart.yaml --engine tcp --workers 3", "The same model from three worker processes."));
        command.Examples.Add(("train configs/char-lm.yaml --init-from runs/books-1 --set model.freeze='[embedding]'", "Fine-tune another run's model, its embedding as it is."));
        command.Examples.Add(("train configs/quickstart.yaml --resume", "Go on where the newest run of this config was stopped."));
        var engine = new Option<string?>("--engine") { Description = "What runs the job (cluster.engine): in-process, tcp for worker and server processes, or akka (`clusterrnn engines`). The result is the same.", HelpName = "NAME" };
        Fill(command, terminal, engine, (_, config) => Choose(engines, config.Cluster.Engine));
        return command;
    }

    /// <summary>Gives a command everything that training has on the command line.</summary>
    /// <param name="command">The command.</param>
    /// <param name="terminal">Where it writes.</param>
    /// <param name="engine">The option that names the engine, or null where the command decides.</param>
    /// <param name="choose">Gives the engine.</param>
    public static void Fill(GroupedCommand command, Terminal terminal, Option<string?>? engine, Func<ParseResult, JobConfig, IEngine> choose)
    {
        var config = new Argument<string?>("CONFIG") { Description = "The job's config file (YAML); with --resume RUN it may be left out.", Arity = ArgumentArity.ZeroOrOne };
        var dryRun = new Option<bool>("--dry-run") { Description = "Check everything; print the resolved config, parameters, memory and shards; train nothing." };
        var workers = new Option<string?>("--workers") { Description = "Workers (cluster.workers). The result is the same for any number.", HelpName = "N" };
        var servers = new Option<string?>("--servers") { Description = "Parameter servers (cluster.servers). The result is the same for any number.", HelpName = "N" };
        var replicas = new Option<string?>("--replicas") { Description = "Copies of each server's parameters (cluster.replicas), 1 or 2, where servers can be lost.", HelpName = "N" };
        var threads = new Option<string?>("--threads") { Description = "Threads on which each worker computes (cluster.threads). The result is the same for any number.", HelpName = "N" };
        var memory = new Option<string?>("--memory") { Description = "What each worker's buffers may take, such as 512MB (cluster.workerMemory). The result is the same for any limit.", HelpName = "LIMIT" };
        var set = new Option<string[]>("--set") { Description = "Set a config key, as often as needed: --set batch.size=32.", HelpName = "KEY=VALUE", AllowMultipleArgumentsPerToken = false };
        var output = new Option<string?>("--out", "-o") { Description = "The run folder. Default: a new folder runs/NAME-N.", HelpName = "FOLDER" };
        var seed = new Option<string?>("--seed") { Description = "The seed of everything random (seed).", HelpName = "N" };
        Option<long?> steps = NumberOption.Of<long>("--steps", "Stop after step N, with a checkpoint, as if interrupted there; --resume goes on.", 0);
        var initFrom = new Option<string?>("--init-from") { Description = "Fine-tuning: start from the model of RUN (initFrom.run); what fits is taken, the rest is new. model.freeze keeps parts as they are.", HelpName = "RUN" };
        var resume = new Option<string?>("--resume") { Description = "Go on from the newest whole checkpoint of RUN; without RUN: of --out, or of this config's newest run.", HelpName = "RUN", Arity = ArgumentArity.ZeroOrOne };
        command.Add(config);
        command.Add(dryRun);
        if (engine is not null)
        {
            command.Add(engine);
        }

        foreach (Option option in new Option[] { workers, threads, servers, replicas, memory, set, output, seed, steps, initFrom, resume })
        {
            command.Add(option);
        }

        command.SetAction((parsed, cancellation) =>
        {
            var assignments = new List<ConfigAssignment>();
            Assign("--engine", "cluster.engine", engine is null ? null : parsed.GetValue(engine));
            Assign("--workers", "cluster.workers", parsed.GetValue(workers));
            Assign("--threads", "cluster.threads", parsed.GetValue(threads));
            Assign("--servers", "cluster.servers", parsed.GetValue(servers));
            Assign("--replicas", "cluster.replicas", parsed.GetValue(replicas));
            Assign("--memory", "cluster.workerMemory", parsed.GetValue(memory));
            Assign("--seed", "seed", parsed.GetValue(seed));
            Assign("--init-from", "initFrom.run", parsed.GetValue(initFrom));
            assignments.AddRange((parsed.GetValue(set) ?? []).Select(ConfigAssignment.Parse));
            bool resumes = parsed.GetResult(resume) is not null;
            var request = new Request(parsed.GetValue(config), assignments, parsed.GetValue(output), parsed.GetValue(steps), resumes, parsed.GetValue(resume));
            return Task.Run(() => RunAsync(terminal, job => choose(parsed, job), request, parsed.GetValue(dryRun), cancellation), CancellationToken.None);

            void Assign(string option, string key, string? value)
            {
                if (value is not null)
                {
                    assignments.Add(new ConfigAssignment($"{option} {value}", key, value));
                }
            }
        });
    }

    /// <summary>Opens a job's data and builds its model; what doesn't fit is said with its place in the config.</summary>
    /// <exception cref="ConfigException">Model or data contradict the config.</exception>
    public static ResolvedJob Open(BoundConfig<JobConfig> bound, DataArtefact? artefact = null)
    {
        try
        {
            return ResolvedJob.Open(bound.Value, Environment.CurrentDirectory, artefact);
        }
        catch (TrainingException error) when (bound.Value.InitFrom is not null)
        {
            throw bound.Error("initFrom.run", error.Message);
        }
        catch (ModelException error)
        {
            throw bound.Error(error.Path.Length == 0 ? "model" : "model." + error.Path, error.Message);
        }
        catch (DataException error) when (error.DataSource.StartsWith("data", StringComparison.Ordinal))
        {
            throw bound.Error(error.DataSource, error.Message);
        }
    }

    /// <summary>The engine of that name, or the first.</summary>
    public static IEngine Choose(IReadOnlyList<IEngine> engines, string? name)
        => (name is null ? engines.FirstOrDefault() : engines.FirstOrDefault(engine => engine.Name == name))
            ?? throw new UsageException(
                name is null ? "this build has no engine to train with"
                    : name == AkkaBuild.EngineName ? $"the engine '{name}' is not in this build: {AkkaBuild.HowToBuild}"
                    : $"this build has no engine '{name}'; `clusterrnn engines` lists those it has");

    private static async Task<int> RunAsync(Terminal terminal, Func<JobConfig, IEngine> choose, Request request, bool isDryRun, CancellationToken cancellation)
    {
        BoundConfig<JobConfig> bound = Load(request);
        (bound, DataArtefact? artefact) = Start(terminal, request, bound);
        ResolvedJob job = Open(bound, artefact);
        JobConfig config = job.Config;

        // Contradictions between the settings show here, before anything is written.
        job.Job.CreatePolicy();
        foreach (string note in job.Data.Notes)
        {
            terminal.Say(note);
        }

        if (config.Cluster.Workers > job.Job.Shards)
        {
            terminal.Warn($"{config.Cluster.Workers} workers, but batch.shards is {job.Job.Shards}: {config.Cluster.Workers - job.Job.Shards} of them will have nothing to do");
        }

        var memory = WorkerMemory.Of(job.Job, config.Cluster.Workers, config.Cluster.Servers, config.Cluster.WorkerMemoryBytes, config.Cluster.Threads);
        if (!memory.Fits)
        {
            throw bound.Error("cluster.workerMemory", memory.TooSmall);
        }

        if (isDryRun)
        {
            ShowStart(terminal, bound, job, null);
            DryRun.Show(terminal, job);
            return ExitCode.Success;
        }

        IEngine engine = choose(config);
        if (await engine.WaitForTurnAsync(terminal.Say, cancellation).ConfigureAwait(false) is { } elsewhere)
        {
            terminal.Say($"the job has ended under another coordinator: {elsewhere}");
            return ExitCode.Success;
        }

        (RunFolder folder, Checkpoint? from) = Place(terminal, request, job);
        cancellation.ThrowIfCancellationRequested();
        if (from is null)
        {
            ShowStart(terminal, bound, job, folder);
        }

        return await new TrainingRun(terminal, engine, job, folder, from, request.Config, request.Assignments).RunAsync(request.StopAfter, cancellation).ConfigureAwait(false);
    }

    // Fine-tuning: which model a new run starts from, and on going on what the run's own folder says of that.
    private static (BoundConfig<JobConfig> Bound, DataArtefact? Artefact) Start(Terminal terminal, Request request, BoundConfig<JobConfig> bound)
    {
        JobConfig config = bound.Value;
        RunFolder? earlier = !request.Resumes ? null
            : (request.ResumeRun ?? request.Out) is { } path ? new RunFolder(path) : RunFolder.Newest(config.Output.Folder, config.Name);
        if (earlier is not null && File.Exists(earlier.ConfigPath))
        {
            InitFromConfig? first = JobConfig.Load(earlier.ConfigPath).Value.InitFrom;
            if (config.InitFrom is not null && first is null)
            {
                throw new UsageException($"--resume {earlier.Path}: this run did not start from another model. Start a new run without --resume, or leave --init-from out.");
            }

            config = config with { InitFrom = first };
            DataArtefact? artefact = null;
            if (config.InitFrom is not null && new CheckpointStore(earlier.CheckpointsPath, config.Checkpoint).FindNewest().Found is { } newest)
            {
                // Its vocabulary lies with it: what it started from is not needed any more.
                artefact = DataArtefact.FromJson(Encoding.UTF8.GetString(CheckpointStore.ReadArtefacts(newest)[ResolvedJob.ArtefactFile]));
            }

            return (bound with { Value = config }, artefact);
        }

        if (config.InitFrom is { ModelSha256: null } start)
        {
            try
            {
                config = config with { InitFrom = start with { Run = SavedRun.Find(start.Run, best: false, terminal).Checkpoint.Path } };
            }
            catch (UsageException error)
            {
                throw bound.Error("initFrom.run", $"'initFrom.run': {error.Message}");
            }
        }

        return (bound with { Value = config }, null);
    }

    // What is taken from another run's model, said and written down.
    private static void ShowStart(Terminal terminal, BoundConfig<JobConfig> bound, ResolvedJob job, RunFolder? folder)
    {
        if (job.Job.Start is not { } start)
        {
            return;
        }

        IReadOnlyList<TensorStart> plan;
        try
        {
            plan = start.Plan(job.Job.Layout);
        }
        catch (TrainingException error)
        {
            throw bound.Error("initFrom.run", error.Message);
        }

        terminal.WriteLine($"starting from {start.Config.Run}, model {start.Config.ModelSha256}");
        Tables.Write(terminal, ["tensor", "shape", "parameters"], [.. plan.Select(line => new[]
        {
            line.Name, line.To, line.IsFrozen ? $"{line.Text}, frozen" : line.Text,
        })]);
        terminal.WriteLine("");
        if (folder is not null)
        {
            File.WriteAllText(folder.StartPath, JsonSerializer.Serialize(new StartFile(start.Config.Run, start.Config.ModelSha256, plan), ConfigJson.Options) + "\n");
        }
    }

    private static BoundConfig<JobConfig> Load(Request request)
    {
        if (request.Config is not null)
        {
            return JobConfig.Load(request.Config, request.Assignments);
        }

        if (request.ResumeRun is null)
        {
            throw new UsageException("train needs a config file, for example: clusterrnn train configs/quickstart.yaml");
        }

        // The run's own file holds every value spelled out.
        return JobConfig.Load(new RunFolder(request.ResumeRun).ConfigPath, request.Assignments);
    }

    // Where the run goes, and from where it goes on.
    private static (RunFolder Folder, Checkpoint? From) Place(Terminal terminal, Request request, ResolvedJob job)
    {
        if (!request.Resumes)
        {
            return (request.Out is null ? RunFolder.CreateNumbered(job.Config.Output.Folder, job.Config.Name!) : RunFolder.CreateNamed(request.Out), null);
        }

        string? path = request.ResumeRun ?? request.Out;
        RunFolder folder = path is not null
            ? new RunFolder(path)
            : RunFolder.Newest(job.Config.Output.Folder, job.Config.Name)
                ?? throw new UsageException($"--resume: expected a run of {job.Config.Name} in {Path.GetFullPath(job.Config.Output.Folder)}, found none");
        if (!Directory.Exists(folder.Path))
        {
            if (request.ResumeRun is null && request.Out is not null)
            {
                terminal.Say($"{folder.Path} is not there yet: starting from the beginning");
                return (RunFolder.CreateNamed(request.Out), null);
            }

            throw new UsageException($"--resume {folder.Path}: expected a run's folder, found nothing there");
        }

        CheckpointSearch search = new CheckpointStore(folder.CheckpointsPath, job.Config.Checkpoint).FindNewest(job.Job.Expectation);
        foreach (PassedOver passed in search.PassedOver)
        {
            terminal.Warn($"passed over {passed.Path}: {passed.Reason}");
        }

        if (search.Found is null)
        {
            if (search.PassedOver.Count > 0)
            {
                throw new UsageException($"--resume {folder.Path}: none of its {search.PassedOver.Count} checkpoints can be used");
            }

            terminal.Say($"{folder.Path} has no checkpoint yet: starting from the beginning");
            return (folder, null);
        }

        terminal.Say($"going on from {search.Found.Path}, step {search.Found.Info.Version}");
        string[] changes = [.. Changes(search.Found.Info.Config, job.Job.Config)];
        foreach (string key in changes)
        {
            terminal.Warn($"{key} has changed since: the model will not be the one that an unbroken run would give");
        }

        if (changes.Length > 0)
        {
            ThrowUnlessItFits(folder, search.Found, job, changes);
        }

        return (folder, search.Found);
    }

    // The run's own config is replaced by this one: a checkpoint that can't be gone on from with it shows before.
    private static void ThrowUnlessItFits(RunFolder folder, Checkpoint checkpoint, ResolvedJob job, string[] changes)
    {
        try
        {
            using TrainingState state = job.Job.CreateState();
            CheckpointStore.Read(checkpoint, state);
        }
        catch (CheckpointException error)
        {
            throw new UsageException(
                $"{error.Message} The checkpoint is of another {string.Join(", ", changes)}: go on with the run's own config by --resume {folder.Path} alone, or start a new run.");
        }
    }

    // The keys that decide the model and differ between two configs.
    private static IEnumerable<string> Changes(string before, string after)
    {
        JsonNode? old = JsonNode.Parse(before), now = JsonNode.Parse(after);
        return Differences("", old, now).Where(path => DecidesTheModel(path, old) || DecidesTheModel(path, now));

        // Where it runs, how long, what is shown and kept changes no step that is computed; with two exceptions.
        static bool DecidesTheModel(string path, JsonNode? config) => path.Split('.')[0] switch
        {
            "name" or "cluster" or "output" or "generate" or "initFrom" => false,
            "stop" => path is "stop" or "stop.steps" or "stop.epochs" && FollowsTheEnd(config),
            "checkpoint" => path is "checkpoint" or "checkpoint.every" && (string?)config?["nonFinite"] == "rollback",
            _ => path != "data.path",
        };

        // A cosine without a length of its own falls over the length of the training.
        static bool FollowsTheEnd(JsonNode? config) =>
            config?["schedule"] is JsonObject schedule && (string?)schedule["name"] == "cosine" && schedule["length"] is null;

        static IEnumerable<string> Differences(string path, JsonNode? a, JsonNode? b)
        {
            if (a is JsonObject left && b is JsonObject right)
            {
                return left.Select(p => p.Key).Union(right.Select(p => p.Key)).SelectMany(k => Differences(path.Length == 0 ? k : $"{path}.{k}", left[k], right[k]));
            }

            return JsonNode.DeepEquals(a, b) ? [] : [path];
        }
    }

    private sealed record StartFile(string Run, string? ModelSha256, IReadOnlyList<TensorStart> Tensors);

    private sealed record Request(string? Config, IReadOnlyList<ConfigAssignment> Assignments, string? Out, long? StopAfter, bool Resumes, string? ResumeRun);
}
