// A folder of checkpoints: one folder each, named by its version.
//
//     step-0000001200/model.safetensors       parameters, PyTorch's names and layouts
//                     optimizer.safetensors   the optimizer's vectors, <vector>.<parameter>
//                     streams.safetensors     the recurrent state of every row
//                     state.json              version, policy, seed, shards, hashes, config
//                     artefacts/...           what the task needs to be used again (vocabulary, scalers)
//                     manifest.json           every file with its length and SHA-256; written last
//
// Written to a temporary folder, flushed, renamed, read back. A reader trusts only what the manifest vouches for, so a
// crash at any moment leaves either the whole new checkpoint or none, and the old ones untouched.
using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using ClusterRnn.Models;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Training.Checkpoints;

/// <summary>A checkpoint that was not used.</summary>
/// <param name="Path">Its folder.</param>
/// <param name="Fault">What is wrong with it.</param>
/// <param name="Reason">The same in words, with what was expected and what was found.</param>
public sealed record PassedOver(string Path, CheckpointFault Fault, string Reason);

/// <summary>A whole checkpoint.</summary>
/// <param name="Path">Its folder.</param>
/// <param name="Info">What it says about itself.</param>
/// <param name="Policy">The policy's state.</param>
public sealed record Checkpoint(string Path, CheckpointInfo Info, byte[] Policy)
{
    /// <summary>Its parameters.</summary>
    public string ModelPath => System.IO.Path.Combine(Path, CheckpointStore.ModelFile);
}

/// <summary>What <see cref="CheckpointStore.FindNewest"/> found.</summary>
/// <param name="Found">The newest that is whole and fits, or null.</param>
/// <param name="PassedOver">Newer ones that are not, newest first.</param>
public sealed record CheckpointSearch(Checkpoint? Found, IReadOnlyList<PassedOver> PassedOver);

/// <summary>What a checkpoint must match to be continued; null matches everything.</summary>
/// <param name="Shards">S: shards of the global batch.</param>
/// <param name="DataSha256">The SHA-256 of the training data.</param>
/// <param name="Seed">The seed.</param>
public sealed record CheckpointExpectation(int? Shards = null, string? DataSha256 = null, ulong? Seed = null);

/// <summary>How a write went.</summary>
/// <param name="Path">The checkpoint's folder, or null when it could not be written.</param>
/// <param name="Info">What was written, hashes included.</param>
/// <param name="Warning">What went wrong, or null.</param>
public sealed record CheckpointWrite(string? Path, CheckpointInfo Info, string? Warning);

/// <summary>Writes, finds, reads and thins out checkpoints.</summary>
public sealed unsafe class CheckpointStore
{
    /// <summary>The file of the parameters.</summary>
    public const string ModelFile = "model.safetensors";

    /// <summary>The file of the optimizer's vectors.</summary>
    public const string OptimizerFile = "optimizer.safetensors";

    /// <summary>The file of the recurrent state.</summary>
    public const string StreamsFile = "streams.safetensors";

    /// <summary>The file of everything else.</summary>
    public const string StateFile = "state.json";

    /// <summary>The file that vouches for the others.</summary>
    public const string ManifestFile = "manifest.json";

    /// <summary>The folder of the task's artefacts.</summary>
    public const string ArtefactFolder = "artefacts";

    private const string Prefix = "step-";
    private const string Writing = ".writing-";
    private const string Replaced = ".replaced-";
    private const string Removing = ".removing-";
    private const string Program = "clusterrnn";
    private const long LargestSmallFile = 64L << 20;

    private readonly CheckpointConfig config;
    private readonly CheckpointFiles files;
    private bool hasFolder;

    /// <summary>Opens a folder of checkpoints; it need not exist yet.</summary>
    public CheckpointStore(string folder, CheckpointConfig config, CheckpointFiles? files = null)
    {
        Folder = Path.GetFullPath(folder);
        this.config = config;
        this.files = files ?? new CheckpointFiles();
    }

    /// <summary>Where the checkpoints are.</summary>
    public string Folder { get; }

    /// <summary>Writes a checkpoint, reads it back and removes those that are no longer kept.</summary>
    /// <returns>Where it is; when it could not be written (a full disk, say), a warning, and the others are untouched.</returns>
    public CheckpointWrite Save(TrainingState state, CheckpointInfo info, IReadOnlyDictionary<string, byte[]>? artefacts = null)
    {
        info = info with { ModelSha256 = state.ModelSha256(), StateSha256 = state.StateSha256() };
        string final = FolderOf(info.Version);
        string temporary = Path.Combine(Folder, Writing + Path.GetFileName(final));
        string replaced = Path.Combine(Folder, Replaced + Path.GetFileName(final));
        bool inPlace = false;
        try
        {
            RestoreReplaced();
            if (IsSame(final, info))
            {
                return new CheckpointWrite(final, info, null);
            }

            CreateFolder();
            RemoveFolder(temporary);
            if (Directory.Exists(replaced) && !IsWhole(final))
            {
                RemoveFolder(final);
                files.Rename(replaced, final);
            }

            RemoveFolder(replaced);
            Directory.CreateDirectory(temporary);
            WriteFiles(temporary, state, info, artefacts);
            files.FlushFolder(temporary);
            if (Directory.Exists(final))
            {
                files.Rename(final, replaced);
            }

            files.Rename(temporary, final);
            inPlace = true;
            files.FlushFolder(Folder);
            Verify(final);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CheckpointException)
        {
            return new CheckpointWrite(null, info, $"The checkpoint of step {info.Version} could not be written to {final}: {e.Message} The earlier checkpoints are untouched.{Abandon(temporary, replaced, final, inPlace)}");
        }

        return new CheckpointWrite(final, info, Thin(info, replaced));
    }

    /// <summary>Finds the newest checkpoint that is whole and fits.</summary>
    /// <param name="expected">What it must match.</param>
    /// <param name="upTo">The highest version that is looked at.</param>
    public CheckpointSearch FindNewest(CheckpointExpectation? expected = null, long upTo = long.MaxValue)
    {
        var passedOver = new List<PassedOver>();
        foreach ((string path, long version) in List())
        {
            if (version > upTo)
            {
                continue;
            }

            try
            {
                Checkpoint checkpoint = Open(path, expected);
                return checkpoint.Info.Version == version
                    ? new CheckpointSearch(checkpoint, passedOver)
                    : throw new CheckpointException(
                        CheckpointFault.Foreign, $"{path}: expected the checkpoint of step {version}, found that of step {checkpoint.Info.Version}: the folder was renamed.");
            }
            catch (CheckpointException e)
            {
                passedOver.Add(new PassedOver(path, e.Fault, e.Message));
            }
        }

        return new CheckpointSearch(null, passedOver);
    }

    /// <summary>Opens the checkpoint of one version.</summary>
    /// <exception cref="CheckpointException">There is none, it is not whole, or it doesn't fit.</exception>
    public Checkpoint OpenVersion(long version, CheckpointExpectation? expected = null)
    {
        foreach ((string path, long found) in List())
        {
            if (found == version)
            {
                Checkpoint checkpoint = Open(path, expected);
                return checkpoint.Info.Version == version
                    ? checkpoint
                    : throw new CheckpointException(CheckpointFault.Foreign, $"{path}: expected the checkpoint of step {version}, found that of step {checkpoint.Info.Version}: the folder was renamed.");
            }
        }

        throw new CheckpointException(CheckpointFault.Unreadable, $"{FolderOf(version)}: expected the checkpoint of step {version}, found nothing there.");
    }

    /// <summary>Removes the checkpoints of later versions: the training goes on otherwise from this one, and nobody may go on from them.</summary>
    /// <exception cref="IOException">One can't be removed.</exception>
    public void RemoveAfter(long version)
    {
        foreach ((string path, long found) in List())
        {
            if (found > version)
            {
                string doomed = Path.Combine(Folder, Removing + Path.GetFileName(path));
                RemoveFolder(doomed);
                files.Rename(path, doomed);
                files.FlushFolder(Folder);
                RemoveFolder(doomed);
            }
        }
    }

    /// <summary>The checkpoints' folders and versions, newest first, whole or not.</summary>
    public IReadOnlyList<(string Path, long Version)> List()
    {
        if (!Directory.Exists(Folder))
        {
            return [];
        }

        try
        {
            RestoreReplaced();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A folder that can't be written to is listed as it is.
        }

        var found = new List<(string Path, long Version)>();
        foreach (string path in Directory.EnumerateDirectories(Folder, Prefix + "*"))
        {
            if (long.TryParse(Path.GetFileName(path).AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long version))
            {
                found.Add((path, version));
            }
        }

        found.Sort((a, b) => b.Version != a.Version ? b.Version.CompareTo(a.Version) : string.CompareOrdinal(a.Path, b.Path));
        return found;
    }

    /// <summary>Checks every file of a checkpoint against its manifest and reads what it says about itself.</summary>
    /// <exception cref="CheckpointException">It is not whole, or doesn't fit.</exception>
    public static Checkpoint Open(string path, CheckpointExpectation? expected = null)
    {
        Verify(path);
        string statePath = Path.Combine(path, StateFile);
        (CheckpointInfo info, byte[] policy) = CheckpointInfo.FromJson(statePath, ReadSmall(statePath));
        if (expected?.Shards is { } shards && shards != info.Shards)
        {
            throw new CheckpointException(
                CheckpointFault.OtherShards,
                $"{path}: expected batch.shards {shards}, found {info.Shards}: another number of shards would train another model. Set batch.shards to {info.Shards} or start a new run.");
        }

        if (expected?.DataSha256 is { } data && data != info.DataSha256)
        {
            throw new CheckpointException(
                CheckpointFault.OtherData,
                $"{path}: expected data with SHA-256 {data}, found {info.DataSha256}: the data has changed since. Restore it or start a new run.");
        }

        if (expected?.Seed is { } seed && seed != info.Seed)
        {
            throw new CheckpointException(
                CheckpointFault.OtherJob, $"{path}: expected seed {seed}, found {info.Seed}. Set seed to {info.Seed} or start a new run.");
        }

        return new Checkpoint(path, info, policy);
    }

    /// <summary>Reads a checkpoint's tensors and policy into a state of the same job.</summary>
    /// <exception cref="CheckpointException">The tensors are not those of the job, or their hash is not the recorded one.</exception>
    public static void Read(Checkpoint checkpoint, TrainingState into)
    {
        ReadParameters(checkpoint.ModelPath, into.Layout, into.Parameters);
        using (SafetensorsFile optimizer = SafetensorsFile.Open(Path.Combine(checkpoint.Path, OptimizerFile)))
        {
            for (int i = 1; i < into.SectionNames.Count; i++)
            {
                foreach (ParameterTensor tensor in into.Layout.Tensors)
                {
                    optimizer.Read($"{into.SectionNames[i]}.{tensor.Name}", tensor.Shape.Span, into.Section(i) + tensor.Offset);
                }
            }
        }

        using (SafetensorsFile streams = SafetensorsFile.Open(Path.Combine(checkpoint.Path, StreamsFile)))
        {
            if (into.Rows > 0 && into.StateWidth > 0)
            {
                streams.Read("state", [into.Rows, into.StateWidth], into.Streams);
            }
        }

        into.Policy = checkpoint.Policy;
        string found = into.StateSha256();
        if (found != checkpoint.Info.StateSha256)
        {
            throw new CheckpointException(
                CheckpointFault.Foreign, $"{checkpoint.Path}: expected stateSha256 {checkpoint.Info.StateSha256}, found {found}: the checkpoint is of another job.");
        }
    }

    /// <summary>Reads a model's parameters from a safetensors file, ours or PyTorch's.</summary>
    /// <param name="path">The file.</param>
    /// <param name="layout">The model's layout.</param>
    /// <param name="into">The flat vector; padding is left as it is.</param>
    /// <exception cref="CheckpointException">The file is not whole, or has not the model's tensors.</exception>
    public static void ReadParameters(string path, ParameterLayout layout, float* into)
    {
        using SafetensorsFile model = SafetensorsFile.Open(path);
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            model.Read(tensor.Name, tensor.Shape.Span, into + tensor.Offset);
        }
    }

    /// <summary>The task's artefacts of a checkpoint, by name.</summary>
    /// <exception cref="CheckpointException">One can't be read.</exception>
    public static IReadOnlyDictionary<string, byte[]> ReadArtefacts(Checkpoint checkpoint)
    {
        var artefacts = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        string folder = Path.Combine(checkpoint.Path, ArtefactFolder);
        if (Directory.Exists(folder))
        {
            foreach (string file in Directory.EnumerateFiles(folder))
            {
                artefacts.Add(Path.GetFileName(file), ReadSmall(file));
            }
        }

        return artefacts;
    }

    private string FolderOf(long version) =>
        Path.Combine(Folder, Prefix + version.ToString("D10", CultureInfo.InvariantCulture));

    private void WriteFiles(string folder, TrainingState state, CheckpointInfo info, IReadOnlyDictionary<string, byte[]>? artefacts)
    {
        var written = new SortedDictionary<string, (long Bytes, string Sha256)>(StringComparer.Ordinal);
        var metadata = new Dictionary<string, string>
        {
            ["format"] = "pt",
            ["program"] = Program,
            ["version"] = info.Version.ToString(CultureInfo.InvariantCulture),
        };
        var model = new List<TensorToWrite>();
        var optimizer = new List<TensorToWrite>();
        for (int i = 0; i < state.SectionNames.Count; i++)
        {
            foreach (ParameterTensor tensor in state.Layout.Tensors)
            {
                string name = i == 0 ? tensor.Name : $"{state.SectionNames[i]}.{tensor.Name}";
                (i == 0 ? model : optimizer).Add(new TensorToWrite(name, tensor.Shape.ToArray(), (nint)(state.Section(i) + tensor.Offset)));
            }
        }

        TensorToWrite[] streams = state.Rows > 0 && state.StateWidth > 0
            ? [new TensorToWrite("state", [state.Rows, state.StateWidth], (nint)state.Streams)]
            : [];
        Put(ModelFile, stream => SafetensorsFile.Write(stream, model, metadata));
        Put(OptimizerFile, stream => SafetensorsFile.Write(stream, optimizer, metadata));
        Put(StreamsFile, stream => SafetensorsFile.Write(stream, streams, metadata));
        PutBytes(StateFile, info.ToJson(state.Policy));
        if (artefacts is { Count: > 0 })
        {
            Directory.CreateDirectory(Path.Combine(folder, ArtefactFolder));
            foreach ((string name, byte[] bytes) in artefacts)
            {
                PutBytes($"{ArtefactFolder}/{name}", bytes);
            }

            files.FlushFolder(Path.Combine(folder, ArtefactFolder));
        }

        byte[] manifest = Manifest(info.Version, written);
        Put(ManifestFile, stream =>
        {
            stream.Write(manifest);
            return (manifest.Length, "");
        });

        void PutBytes(string name, byte[] bytes)
        {
            // What can't be read back must not be written.
            if (bytes.Length > LargestSmallFile)
            {
                throw new CheckpointException(CheckpointFault.Foreign, $"{name} has {bytes.Length} bytes, expected at most {LargestSmallFile}.");
            }

            Put(name, stream =>
            {
                stream.Write(bytes);
                return (bytes.Length, Convert.ToHexStringLower(SHA256.HashData(bytes)));
            });
        }

        void Put(string name, Func<Stream, (long Bytes, string Sha256)> write)
        {
            using Stream stream = files.Create(Path.Combine(folder, name));
            written[name] = write(stream);
            files.Flush(stream);
        }
    }

    private static byte[] Manifest(long version, SortedDictionary<string, (long Bytes, string Sha256)> written)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteString("program", Program);
            json.WriteNumber("format", CheckpointInfo.Format);
            json.WriteNumber("version", version);
            json.WriteStartObject("files");
            foreach ((string name, (long bytes, string sha256)) in written)
            {
                json.WriteStartObject(name);
                json.WriteNumber("bytes", bytes);
                json.WriteString("sha256", sha256);
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static void Verify(string folder)
    {
        string path = Path.Combine(folder, ManifestFile);
        byte[] manifest = ReadSmall(path);
        var listed = new HashSet<string>(StringComparer.Ordinal);
        try
        {
            using JsonDocument document = JsonDocument.Parse(manifest, new JsonDocumentOptions { AllowDuplicateProperties = false });
            JsonElement json = document.RootElement;
            if (json.GetProperty("program").GetString() != Program || json.GetProperty("format").GetInt32() != CheckpointInfo.Format)
            {
                throw new CheckpointException(
                    CheckpointFault.Foreign,
                    $"{path}: expected program {Program} and format {CheckpointInfo.Format}, found {json.GetProperty("program")} and {json.GetProperty("format")}.");
            }

            foreach (JsonProperty file in json.GetProperty("files").EnumerateObject())
            {
                listed.Add(file.Name);
                VerifyFile(folder, file.Name, file.Value.GetProperty("bytes").GetInt64(), file.Value.GetProperty("sha256").GetString() ?? "");
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw new CheckpointException(
                IsBeginningOfJson(manifest) ? CheckpointFault.Truncated : CheckpointFault.Corrupted, $"{path}: not the manifest of a checkpoint: {e.Message}", e);
        }

        foreach (string name in new[] { ModelFile, OptimizerFile, StreamsFile, StateFile })
        {
            if (!listed.Contains(name))
            {
                throw new CheckpointException(CheckpointFault.Corrupted, $"{path}: expected an entry for {name}, found {string.Join(", ", listed)}.");
            }
        }
    }

    // Whether nothing is wrong with the text but that it ends too early.
    private static bool IsBeginningOfJson(ReadOnlySpan<byte> text)
    {
        var reader = new Utf8JsonReader(text, isFinalBlock: false, default);
        try
        {
            while (reader.Read())
            {
            }

            return reader is not { TokenType: JsonTokenType.EndObject, CurrentDepth: 0 };
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static void VerifyFile(string folder, string name, long bytes, string sha256)
    {
        if (name.Contains("..", StringComparison.Ordinal) || Path.IsPathRooted(name))
        {
            throw new CheckpointException(CheckpointFault.Foreign, $"{folder}: the manifest names {name}, which lies outside the checkpoint.");
        }

        string path = Path.Combine(folder, name);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
            if (stream.Length != bytes)
            {
                throw new CheckpointException(
                    stream.Length < bytes ? CheckpointFault.Truncated : CheckpointFault.Corrupted,
                    $"{path}: expected {bytes} bytes, found {stream.Length}.");
            }

            string found = Convert.ToHexStringLower(SHA256.HashData(stream));
            if (found != sha256)
            {
                throw new CheckpointException(CheckpointFault.Corrupted, $"{path}: expected SHA-256 {sha256}, found {found}.");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(CheckpointFault.Unreadable, $"{path}: can't be read: {e.Message}", e);
        }
    }

    private static byte[] ReadSmall(string path)
    {
        try
        {
            long bytes = new FileInfo(path).Length;
            return bytes <= LargestSmallFile
                ? File.ReadAllBytes(path)
                : throw new CheckpointException(CheckpointFault.Foreign, $"{path}: expected at most {LargestSmallFile} bytes, found {bytes}.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(CheckpointFault.Unreadable, $"{path}: can't be read: {e.Message}", e);
        }
    }

    // A checkpoint is only as durable as the entries of the folders above it: this one's, and the run's, which may be as new.
    private void CreateFolder()
    {
        if (hasFolder)
        {
            return;
        }

        var toFlush = new List<string>();
        bool isNew = true;
        for (string? above = Path.GetDirectoryName(Folder); above is not null && (isNew || toFlush.Count < 2); above = Path.GetDirectoryName(above))
        {
            isNew = !Directory.Exists(above);
            toFlush.Add(above);
        }

        Directory.CreateDirectory(Folder);
        foreach (string above in toFlush)
        {
            files.FlushFolder(above);
        }

        hasFolder = true;
    }

    // A write that was killed between its two renames left the only copy of a version aside: it goes back to its place.
    private void RestoreReplaced()
    {
        if (!Directory.Exists(Folder))
        {
            return;
        }

        foreach (string aside in Directory.GetDirectories(Folder, Replaced + Prefix + "*"))
        {
            string place = Path.Combine(Folder, Path.GetFileName(aside)[Replaced.Length..]);
            if (!Directory.Exists(place))
            {
                files.Rename(aside, place);
            }
        }
    }

    private static bool IsWhole(string folder)
    {
        try
        {
            Verify(folder);
            return true;
        }
        catch (CheckpointException)
        {
            return false;
        }
    }

    // Whether a checkpoint already is what is to be written, so that nothing whole is ever replaced by the same.
    private static bool IsSame(string folder, CheckpointInfo info)
    {
        try
        {
            return Directory.Exists(folder) && Open(folder).Info.StateSha256 == info.StateSha256;
        }
        catch (CheckpointException)
        {
            return false;
        }
    }

    // Undoes what a failed write left; what can't be undone is told, never thrown.
    private static string Abandon(string temporary, string replaced, string final, bool inPlace)
    {
        try
        {
            if (inPlace)
            {
                RemoveFolder(final);
            }

            if (Directory.Exists(replaced))
            {
                Directory.Move(replaced, final);
            }

            RemoveFolder(temporary);
            return "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $" What was left could not be removed: {e.Message}";
        }
    }

    private string? Thin(CheckpointInfo info, string replaced)
    {
        try
        {
            RemoveFolder(replaced);
            RemoveLeftovers();
            int kept = 0;
            foreach ((string path, long version) in List())
            {
                // Later versions are damaged, or left from before a rollback: they will be written again, not counted.
                bool keep = version > info.Version || kept++ < config.Keep || (config.KeepBest && version == info.BestVersion)
                    || version == info.RollbackVersion;
                if (!keep)
                {
                    string doomed = Path.Combine(Folder, Removing + Path.GetFileName(path));
                    RemoveFolder(doomed);
                    files.Rename(path, doomed);
                    RemoveFolder(doomed);
                }
            }

            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"An old checkpoint could not be removed from {Folder}: {e.Message}";
        }
    }

    // What runs that were killed left half written or half removed; what was set aside goes only
    // when the checkpoint that took its name is whole.
    private void RemoveLeftovers()
    {
        foreach (string begins in new[] { Writing, Replaced, Removing })
        {
            foreach (string path in Directory.EnumerateDirectories(Folder, begins + Prefix + "*"))
            {
                if (begins != Replaced || IsWhole(Path.Combine(Folder, Path.GetFileName(path)[Replaced.Length..])))
                {
                    RemoveFolder(path);
                }
            }
        }
    }

    private static void RemoveFolder(string path)
    {
        if (Directory.Exists(path))
        {
            Directory.Delete(path, recursive: true);
        }
    }
}
