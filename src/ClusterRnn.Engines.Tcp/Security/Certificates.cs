// Makes an authority, a certificate for each role, and a token; once for a job or a cluster.
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ClusterRnn.Engines.Tcp.Transport;

namespace ClusterRnn.Engines.Tcp.Security;

/// <summary>The files of a cluster's security and how they are made.</summary>
public static class Certificates
{
    /// <summary>The authority's certificate.</summary>
    public const string AuthorityFile = "ca.pem";

    /// <summary>The job's token.</summary>
    public const string TokenFile = "token";

    /// <summary>The file of a role's certificate.</summary>
    public static string CertificateFile(PeerRole role) => NameOf(role) + ".pem";

    /// <summary>The file of a role's key.</summary>
    public static string KeyFile(PeerRole role) => NameOf(role) + ".key";

    /// <summary>Whether a folder holds a whole set.</summary>
    public static bool Exist(string folder) => AllFiles().All(f => File.Exists(Path.Combine(folder, f)));

    /// <summary>Whether a folder holds a file of a set and nothing else.</summary>
    public static bool HasPart(string folder)
        => Directory.EnumerateFileSystemEntries(folder).Select(f => Path.GetFileName(f)).ToArray() is { Length: > 0 } found && found.All(f => AllFiles().Contains(f));

    /// <summary>Writes an authority, certificates and keys of every role, and a token. Files that are there are replaced.</summary>
    /// <param name="folder">Where to; made if it is missing.</param>
    /// <param name="days">For how many days they are valid.</param>
    public static void Create(string folder, int days)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(days, 1);
        Directory.CreateDirectory(folder);
        // A node's clock may be behind this one's.
        DateTimeOffset from = DateTimeOffset.UtcNow.AddDays(-1), to = DateTimeOffset.UtcNow.AddDays(days);
        using ECDsa authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN=clusterrnn-authority-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}", authorityKey, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        using X509Certificate2 authority = request.CreateSelfSigned(from, to);
        // The token goes last: a folder in which it lies is whole.
        File.Delete(Path.Combine(folder, TokenFile));
        foreach (PeerRole role in Enum.GetValues<PeerRole>())
        {
            CreateFor(role, folder, authority, from, to);
        }

        Write(Path.Combine(folder, AuthorityFile), authority.ExportCertificatePem() + "\n", isSecret: false);
        Write(Path.Combine(folder, TokenFile), Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) + "\n", isSecret: true);
    }

    /// <summary>A role's name in files and messages.</summary>
    internal static string NameOf(PeerRole role) => role switch
    {
        PeerRole.Coordinator => "coordinator",
        PeerRole.Worker => "worker",
        PeerRole.Server => "server",
        PeerRole.Client => "client",
        _ => throw new ArgumentOutOfRangeException(nameof(role), role, "not a role"),
    };

    /// <summary>The name on a role's certificate.</summary>
    internal static string CommonName(PeerRole role) => "clusterrnn-" + NameOf(role);

    /// <summary>The role a certificate is for, or null.</summary>
    internal static PeerRole? RoleOf(X509Certificate2 certificate)
    {
        foreach (PeerRole role in Enum.GetValues<PeerRole>())
        {
            if (certificate.SubjectName.Name == "CN=" + CommonName(role))
            {
                return role;
            }
        }

        return null;
    }

    private static void CreateFor(PeerRole role, string folder, X509Certificate2 authority, DateTimeOffset from, DateTimeOffset to)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + CommonName(role), key, HashAlgorithmName.SHA256);
        var purposes = new OidCollection { new Oid(NodeSecurity.ClientPurpose) };
        if (role is PeerRole.Coordinator or PeerRole.Server)
        {
            // Only these are called by others.
            purposes.Add(new Oid(NodeSecurity.ServerPurpose));
        }

        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(purposes, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, true, false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(CommonName(role));
        request.CertificateExtensions.Add(names.Build());
        byte[] serial = RandomNumberGenerator.GetBytes(16);
        serial[0] &= 0x7F;
        using X509Certificate2 certificate = request.Create(authority, from, to, serial);
        Write(Path.Combine(folder, CertificateFile(role)), certificate.ExportCertificatePem() + "\n", isSecret: false);
        Write(Path.Combine(folder, KeyFile(role)), key.ExportPkcs8PrivateKeyPem() + "\n", isSecret: true);
    }

    private static void Write(string path, string text, bool isSecret)
    {
        File.Delete(path);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = isSecret ? UnixFileMode.UserRead | UnixFileMode.UserWrite : UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        }

        using var writer = new StreamWriter(path, options);
        writer.Write(text);
    }

    private static IEnumerable<string> AllFiles()
        => Enum.GetValues<PeerRole>().SelectMany(r => new[] { CertificateFile(r), KeyFile(r) }).Append(AuthorityFile).Append(TokenFile);
}
