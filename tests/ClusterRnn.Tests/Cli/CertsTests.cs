using ClusterRnn.Cli;
using ClusterRnn.Cli.Bench;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;

namespace ClusterRnn.Tests.Cli;

public sealed class CertsTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public void Dispose()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, true);
        }
    }

    [Fact]
    public void A_whole_set_is_made_once_and_again_only_when_forced()
    {
        (int code, string text, string error) = Run("certs", "--out", _folder);
        Assert.True(code == ExitCode.Success, error);
        Assert.Equal(10, Directory.GetFiles(_folder).Length);
        foreach (PeerRole role in Enum.GetValues<PeerRole>())
        {
            using NodeSecurity security = NodeSecurity.Load(_folder, role);
            Assert.True(security.UsesTls);
        }

        string token = File.ReadAllText(Path.Combine(_folder, "token"));
        Assert.DoesNotContain(token.Trim(), text + error, StringComparison.Ordinal);
        (code, text, _) = Run("certs", "--out", _folder);
        Assert.Equal(ExitCode.Success, code);
        Assert.Contains("--force", text, StringComparison.Ordinal);
        Assert.Equal(token, File.ReadAllText(Path.Combine(_folder, "token")));
        Assert.Equal(ExitCode.Success, Run("certs", "--out", _folder, "--force", "--days", "3").Code);
        Assert.NotEqual(token, File.ReadAllText(Path.Combine(_folder, "token")));
    }

    [Fact]
    public void What_was_half_made_is_finished_and_a_folder_of_something_else_is_left_alone()
    {
        Directory.CreateDirectory(_folder);
        File.WriteAllText(Path.Combine(_folder, "worker.key"), "half");
        Assert.Equal(ExitCode.Success, Run("certs", "--out", _folder).Code);
        Assert.True(Certificates.Exist(_folder));
        File.Delete(Path.Combine(_folder, "token"));
        File.WriteAllText(Path.Combine(_folder, "thesis.txt"), "mine");
        (int code, string _, string error) = Run("certs", "--out", _folder);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("it holds other files", error, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Usage, Run("certs").Code);
        Assert.Contains("expected a whole number from 1", Run("certs", "--out", _folder, "--days", "0").Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_measurement_of_the_bulk_path_runs()
    {
        var output = new StringWriter();
        await NetworkBench.RunAsync(Terminal.To(output, new StringWriter()), [1], 1, 1, TestContext.Current.CancellationToken);
        Assert.Contains("1 MiB", output.ToString(), StringComparison.Ordinal);
        Assert.Equal(4, output.ToString().Split('%').Length - 1);
    }

    private static (int Code, string Out, string Error) Run(params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        int code = new CommandLine(Terminal.To(output, error), [new SmallEngine()]).RunAsync(args).GetAwaiter().GetResult();
        return (code, output.ToString(), error.ToString());
    }
}
