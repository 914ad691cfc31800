// The Docker engine of this machine, by its own command line. Every call has a deadline; one that fails says what was asked and
// what Docker answered.
using System.Diagnostics;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>Calls the Docker engine.</summary>
internal static class DockerEngine
{
    /// <summary>The command.</summary>
    public const string Program = "docker";

    /// <summary>How long a call may take.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan s_shortDeadline = TimeSpan.FromSeconds(10);

    /// <summary>Why nothing can be run, with what to do; null when an engine answers and has the image.</summary>
    /// <param name="image">The image.</param>
    public static string? WhyNot(string image)
    {
        if (!OperatingSystem.IsLinux())
        {
            return "the nodes' addresses can be reached from here on Linux only; run it with --on processes or --on simulator";
        }

        DockerAnswer version = Ask(s_shortDeadline, "version", "--format", "{{.Server.Version}}");
        if (!version.IsGood)
        {
            return $"no Docker engine answers here ({version.LastLine}): start one, or run it with --on processes";
        }

        return Ask(s_shortDeadline, "image", "inspect", "--format", "{{.Id}}", image).IsGood
            ? null
            : $"the engine has no image '{image}': `docker compose build` in a clone makes 'clusterrnn' (deploy/README.md says how where none can be pulled), --image names another";
    }

    /// <summary>Calls it and waits.</summary>
    /// <exception cref="TrainingException">It failed, or took too long.</exception>
    public static string Call(params string[] arguments)
    {
        DockerAnswer answer = Ask(Deadline, arguments);
        return answer.IsGood ? answer.Output.Trim() : throw new TrainingException($"docker {string.Join(' ', arguments)}: {answer.LastLine}");
    }

    /// <summary>Calls it and waits; a failure is an answer.</summary>
    public static DockerAnswer Ask(TimeSpan deadline, params string[] arguments)
    {
        var start = new ProcessStartInfo(Program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false };
        try
        {
            using Process process = Process.Start(start)!;
            process.StandardInput.Close();
            Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(deadline))
            {
                process.Kill(entireProcessTree: true);
                return new DockerAnswer(false, "", $"no answer within {deadline.TotalSeconds:0} s");
            }

            return Task.WaitAll([output, error], deadline)
                ? new DockerAnswer(process.ExitCode == 0, output.Result, error.Result)
                : new DockerAnswer(false, "", $"its output did not end within {deadline.TotalSeconds:0} s");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return new DockerAnswer(false, "", "there is no program 'docker' here");
        }
    }
}

/// <summary>What the engine answered.</summary>
/// <param name="IsGood">Whether it did what was asked.</param>
/// <param name="Output">What it wrote.</param>
/// <param name="Error">What it complained about.</param>
internal readonly record struct DockerAnswer(bool IsGood, string Output, string Error)
{
    /// <summary>The last line of the complaint.</summary>
    public string LastLine => Error.Trim().Split('\n')[^1] is { Length: > 0 } line ? line : "it does not say why";
}
