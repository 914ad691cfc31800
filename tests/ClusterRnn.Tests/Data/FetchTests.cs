// Fetching data sets from a server that does what real ones do: broken connections, other versions, errors, silence, wrong bytes, archives
// that must not be unpacked; and the list of data sets that comes with the program.
using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Cli;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Data.Fetching;
using ClusterRnn.Tests.Cli;
using ClusterRnn.Training.Configuration;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Data;

public sealed class FetchTests : IDisposable
{
    private static readonly FetchOptions s_soon = new() { Deadline = TimeSpan.FromSeconds(20), FirstDelay = TimeSpan.FromMilliseconds(1), LongestDelay = TimeSpan.FromMilliseconds(5), Attempts = 3 };
    private static readonly byte[] s_file = [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7 / 3))];

    private readonly Scratch _scratch = new();
    private readonly List<string> _said = [];

    public void Dispose() => _scratch.Dispose();

    private string Folder => Path.Combine(_scratch.Folder, "set");

    private static string Sha256(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static CatalogueFile File(FileServer server, string? sha256 = null) => new() { Url = new Uri(server.Address + "/a.bin"), Name = "a.bin", Bytes = s_file.Length, Sha256 = sha256 };

    private Task FetchAsync(CatalogueFile file, FetchOptions? options = null, CancellationToken? cancellation = null) => DataFetch.RunAsync(
        new CatalogueEntry { Name = "set", What = "bytes", Licence = "none", Files = [file], Train = [] }, Folder, options ?? s_soon, _said.Add, cancellation ?? TestContext.Current.CancellationToken);

    private byte[] Got(string name = "a.bin") => System.IO.File.ReadAllBytes(Path.Combine(Folder, name));

    private string[] There() => [.. Directory.EnumerateFileSystemEntries(Folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AFileComesOnceAndIsHeldAgainstItsHash(bool isPinned)
    {
        await using var server = new FileServer(request => FileServer.Of(request, s_file, "\"1\""));
        CatalogueFile file = File(server, isPinned ? Sha256(s_file) : null);
        await FetchAsync(file);
        Assert.Equal(s_file, Got());
        Assert.Equal(["a.bin", DataFetch.ManifestFile], There());
        Assert.Contains(isPinned ? $"SHA-256 {Sha256(s_file)} as pinned" : $"SHA-256 {Sha256(s_file)} (not pinned", _said[0]);
        await FetchAsync(file);
        Assert.Single(server.Requests);
        Assert.Equal("a.bin: there already", _said[^1]);

        System.IO.File.WriteAllBytes(Path.Combine(Folder, "a.bin"), [1, 2, 3]); // somebody has changed it
        await FetchAsync(file);
        Assert.Equal((2, true), (server.Requests.Count, Got().SequenceEqual(s_file)));
    }

    /// <summary>A connection that is reset has another fault than one that is closed too early.</summary>
    [Fact]
    public async Task AResetConnectionIsTriedAgain()
    {
        int asked = 0;
        await using var server = new FileServer(request => FileServer.Of(request, s_file, "\"1\"") with { ResetAfter = asked++ == 0 ? 1234 : null });
        await FetchAsync(File(server, Sha256(s_file)));
        Assert.Equal(s_file, Got());
        Assert.Equal(2, server.Requests.Count);
    }

    [Fact]
    public async Task ACutConnectionGoesOnWhereItWas()
    {
        await using var server = new FileServer(request => FileServer.Of(request, s_file, "\"1\"") with { CutAfter = request["range"] is null ? 1234 : null });
        await FetchAsync(File(server, Sha256(s_file)));
        Assert.Equal(s_file, Got());
        Assert.Equal([null, "bytes=1234-"], server.Requests.Select(request => request["range"]));
        Assert.Equal("\"1\"", server.Requests[1]["if-range"]);
        Assert.Contains("1234 bytes are there", _said[0]);
    }

    /// <summary>Wherever connections break, and however often, the file is whole in the end and no byte is fetched twice.</summary>
    [Fact]
    public void AnyCutsComeToTheWholeFile() => Check.One(Config.QuickThrowOnFailure.WithMaxTest(15), Prop.ForAll(
        Gen.Choose(1, 2500).ListOf(3).ToArbitrary(),
        cuts =>
        {
            int sent = 0;
            var server = new FileServer(request =>
            {
                FileAnswer answer = FileServer.Of(request, s_file, "\"1\"");
                int cut = Math.Min(answer.Body.Length, sent < cuts.Count ? cuts[sent] : int.MaxValue);
                sent++;
                return answer with { CutAfter = cut };
            });
            try
            {
                FetchAsync(File(server, Sha256(s_file))).GetAwaiter().GetResult();
                Assert.Equal(s_file, Got());
                Assert.All(server.Requests.Skip(1), request => Assert.NotNull(request["range"]));
            }
            finally
            {
                server.DisposeAsync().AsTask().GetAwaiter().GetResult();
                Directory.Delete(Folder, recursive: true);
            }
        }));

    [Fact]
    public async Task WhatCameIsThereForTheNextTime()
    {
        bool isDown = true;
        await using var server = new FileServer(request => isDown && request["range"] is not null ? new FileAnswer(503, []) : FileServer.Of(request, s_file, "\"1\"") with { CutAfter = isDown ? 2000 : null });
        FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(File(server, Sha256(s_file))));
        Assert.Contains("503", error.Message);
        Assert.Contains("the same command goes on from there", error.Message);
        Assert.Equal(["a.bin.part", "a.bin.part.json"], There());
        isDown = false;
        await FetchAsync(File(server, Sha256(s_file)));
        Assert.Equal(s_file, Got());
        Assert.Equal("bytes=2000-", server.Requests[^1]["range"]);
    }

    /// <summary>A file that was changed between two connections is never pieced together, whatever the server makes of ranges.</summary>
    [Theory]
    [InlineData("\"1\"", "\"2\"", "bytes=1000-")] // If-Range doesn't hold: 200
    [InlineData(null, null, null)] // no version: the rest is not asked for
    [InlineData("W/\"1\"", "W/\"1\"", null)] // a weak tag doesn't promise the same bytes
    public async Task AnotherVersionIsFetchedWhole(string? before, string? after, string? range)
    {
        byte[] other = [.. s_file.Reverse()];
        int asked = 0;
        await using var server = new FileServer(request => asked++ == 0 ? FileServer.Of(request, s_file, before) with { CutAfter = 1000 } : FileServer.Of(request, other, after));
        await FetchAsync(File(server));
        Assert.Equal(other, Got());
        Assert.Equal(range, server.Requests[1]["range"]);
    }

    [Fact]
    public async Task PartsThatDoNotFitAreFetchedAgainWhole()
    {
        byte[] other = [.. s_file.Reverse()];
        int asked = 0; // a server that changes a file under one tag
        await using var server = new FileServer(request => asked++ == 0 ? FileServer.Of(request, other, "\"1\"") with { CutAfter = 1000 } : FileServer.Of(request, s_file, "\"1\""));
        await FetchAsync(File(server, Sha256(s_file)));
        Assert.Equal(s_file, Got());
        Assert.Equal([null, "bytes=1000-", null], server.Requests.Select(request => request["range"]));
    }

    [Fact]
    public async Task WrongBytesAreRefusedAndNotKept()
    {
        byte[] wrong = [.. s_file];
        wrong[77] ^= 1;
        await using var server = new FileServer(request => FileServer.Of(request, wrong, "\"1\""));
        FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(File(server, Sha256(s_file))));
        Assert.Contains($"expected a file with SHA-256 {Sha256(s_file)}, found {Sha256(wrong)}", error.Message);
        Assert.Empty(There());
        Assert.Single(server.Requests);
    }

    [Theory]
    [InlineData(404, 1)]
    [InlineData(403, 1)]
    [InlineData(503, 3)]
    [InlineData(429, 3)]
    public async Task ErrorsAreTriedAgainWhereThatCanHelp(int status, int requests)
    {
        await using var server = new FileServer(_ => new FileAnswer(status, []));
        FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(File(server)));
        Assert.Contains($"{status} ", error.Message);
        Assert.Equal(requests, server.Requests.Count);
    }

    [Fact]
    public async Task SilenceIsTriedAgainUntilTheTimeIsOver()
    {
        await using var server = new FileServer(request => FileServer.Of(request, s_file, "\"1\"") with { HangAfter = request["range"] is null ? 300 : 0 });
        FetchOptions options = s_soon with { Deadline = TimeSpan.FromSeconds(1), Stall = TimeSpan.FromSeconds(0.2), Attempts = 100 };
        FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(File(server), options));
        Assert.Contains("expected the file within 00:00:01, found 300 of 5000 bytes", error.Message);
        Assert.Contains("nothing came for 0.2 s", _said[0]);
        Assert.True(server.Requests.Count >= 2);
        Assert.Equal(300, new FileInfo(Path.Combine(Folder, "a.bin.part")).Length);
    }

    [Fact]
    public async Task SomebodyWhoGivesUpLosesNothing()
    {
        using var patience = new CancellationTokenSource();
        await using var server = new FileServer(request => FileServer.Of(request, s_file, "\"1\"") with { HangAfter = 400 });
        Task fetching = FetchAsync(File(server), cancellation: patience.Token);
        string part = Path.Combine(Folder, "a.bin.part");
        for (int i = 0; i < 500 && !(System.IO.File.Exists(part) && server.Requests.Count > 0); i++)
        {
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => fetching);
        Assert.Contains("a.bin.part", There());
    }

    [Fact]
    public async Task MoreThanTheListSaysIsRefused()
    {
        byte[] tooLong = new byte[(2 << 20) + 1]; // twice what the list says, and a little
        await using var server = new FileServer(request => new FileAnswer(200, request.Target == "/a.bin" ? [.. s_file, 7] : tooLong));
        FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(File(server, Sha256(s_file))));
        Assert.Contains("expected 5000 bytes, found 5001", error.Message);
        error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(File(server) with { Url = new Uri(server.Address + "/b"), Bytes = 1 << 19 }));
        Assert.Contains($"expected about {1 << 19} bytes, found {tooLong.Length}", error.Message);
        Assert.Empty(There());
    }

    [Theory]
    [InlineData(Packing.Gzip)]
    [InlineData(Packing.Zip)]
    [InlineData(Packing.Tar)]
    public async Task ArchivesAreUnpackedAndHeldAgainstTheHashOfTheirContents(Packing packing)
    {
        byte[] one = Encoding.UTF8.GetBytes("one\n"), two = Encoding.UTF8.GetBytes("two\n");
        byte[] archive = packing switch
        {
            Packing.Gzip => Gzip(one),
            Packing.Zip => Zip(("x/in/b.txt", two), ("x/in/a.txt", one), ("x/other/c.txt", two), ("x/in/", [])),
            _ => Gzip(Tar(("x/in/b.txt", two, TarEntryType.RegularFile), ("x/in/a.txt", one, TarEntryType.RegularFile), ("x/out.txt", two, TarEntryType.RegularFile))),
        };
        string name = packing == Packing.Gzip ? "a.txt.gz" : "all.bin", contents = Sha256(packing == Packing.Gzip ? one : [.. one, .. two]);
        await using var server = new FileServer(request => FileServer.Of(request, archive, "\"1\""));
        CatalogueFile file = File(server) with { Name = name, Bytes = archive.Length, Packing = packing, Pick = packing == Packing.Gzip ? null : "*/in/*.txt", UnpackedSha256 = contents };
        await FetchAsync(file);
        Assert.Equal(packing == Packing.Gzip ? ["a.txt", DataFetch.ManifestFile] : ["a.txt", "b.txt", DataFetch.ManifestFile], There());
        Assert.Equal(one, Got("a.txt"));
        Assert.EndsWith($"SHA-256 of the contents {contents} as pinned", _said[^1]);
        await FetchAsync(file);
        Assert.Single(server.Requests);

        Directory.Delete(Folder, recursive: true);
        FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(file with { UnpackedSha256 = Sha256([]) }));
        Assert.Contains($"expected contents with SHA-256 {Sha256([])}, found {contents}", error.Message);
        Assert.Empty(There());
    }

    /// <summary>What comes out of an archive may be called as the archive itself.</summary>
    [Fact]
    public async Task AFileTakesTheNameOfItsArchive()
    {
        byte[] archive = Gzip(s_file);
        await using var server = new FileServer(request => FileServer.Of(request, archive, null));
        await FetchAsync(File(server) with { Bytes = archive.Length, Packing = Packing.Gzip });
        Assert.Equal(["a.bin", DataFetch.ManifestFile], There());
        Assert.Equal(s_file, Got());
    }

    /// <summary>Nothing of these leaves a trace outside the folder, or in it.</summary>
    [Fact]
    public async Task ArchivesThatMustNotBeUnpackedAreNot()
    {
        byte[] one = [1, 2, 3];
        byte[] zip = Zip(("in/a.txt", one));
        (Packing Packing, byte[] Archive, string Pick, string What)[] cases =
        [
            (Packing.Tar, Tar(("in/a.txt", [], TarEntryType.SymbolicLink)), "in/*", "plain files in the archive, found 'in/a.txt', a SymbolicLink"),
            (Packing.Tar, Tar(("in/..", one, TarEntryType.RegularFile)), "in/*", "files of different names in the archive, found '..'"),
            (Packing.Tar, Tar(("in/c:x", one, TarEntryType.RegularFile)), "in/*", "found 'c:x'"),
            (Packing.Tar, Tar(("in/a", one, TarEntryType.RegularFile), ("of/A", one, TarEntryType.RegularFile)), "*/*", "found 'A' twice"),
            (Packing.Tar, [.. Gzip(new byte[600])[..10], 255, 255, 255], "*", "damaged"),
            (Packing.Tar, Tar(("in/a.txt", new byte[2000], TarEntryType.RegularFile)), "in/*", "at most 1000 bytes unpacked in the archive, found more"),
            (Packing.Gzip, Gzip(new byte[1001]), "*", "at most 1000 bytes unpacked"),
            (Packing.Gzip, one, "*", "damaged"),
            (Packing.Zip, zip, "out/*", "files that fit 'out/*' in the archive, found none"),
            (Packing.Zip, zip[..^5], "in/*", "damaged"),
            (Packing.Zip, Zip(("../../evil.txt", one)), "*/*/*", "files of different names"),
        ];
        foreach ((Packing packing, byte[] archive, string pick, string what) in cases[..^1])
        {
            await using var server = new FileServer(request => FileServer.Of(request, archive, null));
            CatalogueFile file = File(server) with { Bytes = archive.Length, Packing = packing, Pick = pick, UnpackedBytes = 1000 };
            FetchException error = await Assert.ThrowsAsync<FetchException>(() => FetchAsync(file));
            Assert.Contains(what, error.Message);
            Assert.Empty(There());
        }

        // A name that leads out of the folder loses its way: the file lies in the folder.
        await using var leading = new FileServer(request => FileServer.Of(request, cases[^1].Archive, null));
        await FetchAsync(File(leading) with { Packing = Packing.Zip, Pick = "*/*/*", UnpackedBytes = 1000 });
        Assert.Equal(["evil.txt", DataFetch.ManifestFile], There());
        Assert.Equal(["set"], Directory.EnumerateFileSystemEntries(_scratch.Folder).Select(Path.GetFileName));
    }

    /// <summary>A process with HTTP_PROXY asks the proxy for everything, whole addresses included.</summary>
    [Fact]
    public async Task AProxyIsAsked()
    {
        await using var proxy = new FileServer(request => FileServer.Of(request, s_file, "\"1\""));
        string list = _scratch.Write("list.json", $$"""[{ "name": "far", "what": "x", "licence": "y", "files": [{ "url": "http://data.invalid/a.bin", "name": "a.bin", "bytes": 5000, "sha256": "{{Sha256(s_file)}}" }], "train": ["x.yaml --set data.path={folder}/a.bin"] }]""");
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "clusterrnn.dll"), "data", "get", "far", "--catalog", list, "--out", Folder, "--deadline", "30"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["HTTP_PROXY"] = start.Environment["http_proxy"] = proxy.Address;
        start.Environment["NO_PROXY"] = start.Environment["no_proxy"] = "";
        using Process program = Process.Start(start)!;
        Task<string> error = program.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await program.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await program.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(program.ExitCode == 0, await error);
        Assert.Equal("http://data.invalid/a.bin", Assert.Single(proxy.Requests).Target);
        Assert.Equal($"clusterrnn train x.yaml --set data.path={Folder}/a.bin", output.TrimEnd());
        Assert.Equal(s_file, Got());
    }

    [Fact]
    public async Task TheCommandSaysWhatItDoes()
    {
        (int code, string text, _) = Run("data", "list");
        Assert.Equal(0, code);
        Assert.All(Catalogue.BuiltIn().Entries, entry => Assert.Contains(entry.Name, text));

        await using var server = new FileServer(request => request.Target == "/a.bin" ? FileServer.Of(request, s_file, null) : new FileAnswer(404, []));
        string list = _scratch.Write("list.json", $$"""
            [{ "name": "one", "what": "x", "licence": "y", "files": [{ "url": "{{server.Address}}/a.bin", "name": "a.bin", "bytes": 5000 }], "train": ["x.yaml --set data.path={folder}/a.bin --set a=1"] },
             { "name": "gone", "what": "x", "licence": "y", "files": [{ "url": "{{server.Address}}/gone", "name": "a.bin", "bytes": 5000 }], "train": [] }]
            """);
        (code, text, string error) = Run("data", "get", "one", "--catalog", list, "--out", Folder + " of mine");
        Assert.True(code == 0, error);
        Assert.Equal($"clusterrnn train x.yaml --set 'data.path={Folder} of mine/a.bin' --set a=1", text.TrimEnd());
        Assert.Contains(Sha256(s_file) + " (not pinned", error);
        (code, _, error) = Run("data", "get", "gone", "--catalog", list, "--out", Folder);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("expected the file, found 404", error);
        Assert.DoesNotContain("   at ", error);
    }

    [Theory]
    [InlineData("did you mean mnist?", "data", "get", "mnis")]
    [InlineData("data get needs a name: tinyshakespeare, mnist", "data", "get")]
    [InlineData("error: data needs ACTION: list says which data sets there are", "data")]
    [InlineData("data fetch: expected list or get", "data", "fetch")]
    [InlineData("clusterrnn data get mnist", "data", "list", "mnist")]
    [InlineData("--catalog no-such.json", "data", "list", "--catalog", "no-such.json")]
    [InlineData("--deadline 0: expected a number from 0.1", "data", "get", "mnist", "--deadline", "0")]
    public void WhatWasTypedWrongIsSaid(string message, params string[] args)
    {
        (int code, string text, string error) = Run(args);
        Assert.Equal((ExitCode.Usage, ""), (code, text));
        Assert.Contains(message, error);
    }

    [Theory]
    [InlineData("", "a JSON array")]
    [InlineData("[]", "at least one data set, found none")]
    [InlineData("[null]", "at least one data set, found none")]
    [InlineData("{}", "a JSON array")]
    [InlineData("[{\"name\":\"a\"}]", "a JSON array")]
    [InlineData("[{\"name\":\"../a\",\"what\":\"\",\"licence\":\"\",\"files\":[],\"train\":[]}]", "a name that can be a folder's, found '../a'")]
    [InlineData("[{\"name\":\"a\",\"what\":\"\",\"licence\":\"\",\"files\":[],\"train\":[]}]", "files of 'a', found none")]
    [InlineData("[{\"name\":\"a\",\"what\":\"\",\"licence\":\"\",\"files\":[null],\"train\":[]}]", "files of 'a', found none")]
    [InlineData("[{\"name\":\"a\",\"what\":\"\",\"licence\":\"\",\"files\":[{\"url\":\"http://x/y\",\"name\":\"b\",\"bytes\":1}],\"train\":[null]}]", "commands that train on 'a', found null")]
    [InlineData("[{\"name\":\"a\",\"what\":\"\",\"licence\":\"\",\"files\":[{\"url\":\"file:///etc/passwd\",\"name\":\"b\",\"bytes\":1}],\"train\":[]}]", "begins with http or https in 'a', found 'file:///etc/passwd'")]
    [InlineData("[{\"name\":\"a\",\"what\":\"\",\"licence\":\"\",\"files\":[{\"url\":\"http://x/y\",\"name\":\"b/c\",\"bytes\":1}],\"train\":[]}]", "without folders in 'a', found 'b/c'")]
    [InlineData("[{\"name\":\"a\",\"what\":\"\",\"licence\":\"\",\"files\":[{\"url\":\"http://x/y\",\"name\":\"b\",\"bytes\":1,\"sha256\":\"12\"}],\"train\":[]}]", "64 lower-case hexadecimal digits in 'a', found '12'")]
    public void AListThatCanNotBeMeantIsRefused(string json, string what) => Assert.Contains(what, Assert.Throws<DataException>(() => Catalogue.Parse("list.json", json)).Message);

    /// <summary>Every command of the program's list names a config and keys that there are.</summary>
    [Fact]
    public void TheListsCommandsAreCommands()
    {
        foreach (CatalogueEntry entry in Catalogue.BuiltIn().Entries)
        {
            Assert.NotEmpty(entry.Train);
            Assert.All(entry.Files, file => Assert.Equal("https", file.Url.Scheme));
            foreach (string line in entry.Train)
            {
                string[] parts = line.Replace("'", "", StringComparison.Ordinal).Replace(CatalogueEntry.FolderMark, "folder", StringComparison.Ordinal).Split(" --set ");
                var config = ConfigLoader.Load<JobConfig>(Path.Combine(Repository.Root, parts[0]), parts[1..].Select(ConfigAssignment.Parse));
                foreach (string set in parts[1..].Where(set => set.Contains("=folder/", StringComparison.Ordinal)))
                {
                    string name = set[(set.IndexOf('/', StringComparison.Ordinal) + 1)..];
                    Assert.Contains(entry.Files, file => file.Pick is null ? name == (file.Packing == Packing.Gzip ? file.Name[..^3] : file.Name) : file.Pick.EndsWith("/" + name, StringComparison.Ordinal));
                }

                Assert.NotNull(config.Value.Data.Path);
            }
        }
    }

    /// <summary>What the list pins is what files known to be those have.</summary>
    [Theory]
    [InlineData("tinyshakespeare", "tinyshakespeare.txt", "tinyshakespeare.txt")]
    [InlineData("mnist", "t10k-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz")]
    [InlineData("mnist", "t10k-labels-idx1-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz")]
    [InlineData("sst2", "train.tsv", "sst2/train.tsv")]
    [InlineData("sst2", "dev.tsv", "sst2/dev.tsv")]
    [InlineData("airline-passengers", "airline-passengers.csv", "airline-passengers.csv")]
    [InlineData("daily-min-temperatures", "daily-min-temperatures.csv", "daily-min-temperatures.csv")]
    [InlineData("monthly-sunspots", "monthly-sunspots.csv", "monthly-sunspots.csv")]
    [InlineData("pollution", "pollution.csv", "pollution.csv")]
    public void PinnedHashesAreThoseOfTheFiles(string set, string name, string shared)
    {
        byte[] bytes = System.IO.File.ReadAllBytes(Scratch.Shared(shared));
        CatalogueFile file = Catalogue.BuiltIn().Entries.Single(entry => entry.Name == set).Files.Single(file => file.Name == name);
        Assert.Equal((Sha256(bytes), (long)bytes.Length), (file.Sha256, file.Bytes));
    }

    private static (int Code, string Out, string Error) Run(params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [new SmallEngine()]).RunAsync(args).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }

    private static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(bytes);
        }

        return packed.ToArray();
    }

    private static byte[] Zip(params (string Name, byte[] Bytes)[] entries)
    {
        using var packed = new MemoryStream();
        using (var zip = new ZipArchive(packed, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach ((string name, byte[] bytes) in entries)
            {
                using Stream into = zip.CreateEntry(name).Open();
                into.Write(bytes);
            }
        }

        return packed.ToArray();
    }

    private static byte[] Tar(params (string Name, byte[] Bytes, TarEntryType Kind)[] entries)
    {
        using var packed = new MemoryStream();
        using (var tar = new TarWriter(packed, leaveOpen: true))
        {
            foreach ((string name, byte[] bytes, TarEntryType kind) in entries)
            {
                var entry = new PaxTarEntry(kind, name);
                if (kind == TarEntryType.SymbolicLink)
                {
                    entry.LinkName = "/etc/passwd";
                }
                else
                {
                    entry.DataStream = new MemoryStream(bytes);
                }

                tar.WriteEntry(entry);
            }
        }

        return packed.ToArray();
    }
}
