using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Security;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn certs</c>: the certificates and the token of a cluster.</summary>
internal static class CertsCommand
{
    private const int UsualDays = 825;

    public static Command Make(Terminal terminal)
    {
        var folder = new Option<string>("--out") { Description = "The folder to write to.", HelpName = "FOLDER", Required = true };
        Option<int?> days = NumberOption.Of("--days", $"For how many days they are valid. Default: {UsualDays}.", 1, (int?)36_500, "DAYS");
        var force = new Option<bool>("--force") { Description = "Replace what is there; nodes with the old set can't talk to nodes with the new one." };
        var command = new GroupedCommand("certs", "Make a cluster's certificates and token, once for all its nodes.", CommandGroup.Cluster) { folder, days, force };
        command.Examples.Add(("certs --out certs", "Then copy the folder to every node and start each with --certs certs."));
        command.SetAction(parsed =>
        {
            string path = parsed.GetValue(folder)!;
            if (Certificates.Exist(path) && !parsed.GetValue(force))
            {
                terminal.WriteLine($"{path} holds a whole set already; --force makes a new one");
                return;
            }

            if (Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any() && !Certificates.HasPart(path))
            {
                throw new UsageException($"--out {path}: it holds other files; expected a new or empty folder, or one that this command made");
            }

            Certificates.Create(path, parsed.GetValue(days) ?? UsualDays);
            terminal.WriteLine($"{path}: an authority, certificates by role (coordinator, worker, server, client) and a token");
            terminal.Say("Copy the folder to every node and start each with --certs. Who has it can join the cluster; a node needs ca.pem, token and its own role's files only.");
        });
        return command;
    }
}
