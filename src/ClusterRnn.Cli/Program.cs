// The program `clusterrnn`. One file per command lies in Commands/; what they print in Output/ and Report/.
//     ./clusterrnn --help
using ClusterRnn.Cli.Commands;
using ClusterRnn.Cli.Output;

namespace ClusterRnn.Cli;

/// <summary>The entry point.</summary>
public static class Program
{
    /// <summary>Runs the command line in <paramref name="args"/>.</summary>
    /// <returns>An <see cref="ExitCode"/>.</returns>
    public static Task<int> Main(string[] args)
    {
        // A prompt, a sample and a table may hold any script; the console's code page must not decide.
        var utf8 = new System.Text.UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        Console.OutputEncoding = utf8;
        return new CommandLine(Terminal.Standard(), LocalCluster.Engines()).RunAsync(args);
    }
}
