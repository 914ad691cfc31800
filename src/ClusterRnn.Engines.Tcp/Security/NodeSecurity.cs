// What a node shows and what it asks of others: a certificate of the job's own authority, by role, and the job's token.
//
// Host names play no part: a certificate says `CN=clusterrnn-worker`, any machine may use it, and --scale needs no new
// ones. The authority is the job's own and its key is thrown away when the certificates are made, so nothing else can be
// signed by it. The token never travels: each end proves that it knows it (see TokenProof).
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ClusterRnn.Engines.Tcp.Transport;

namespace ClusterRnn.Engines.Tcp.Security;

/// <summary>A node's certificate, authority and token.</summary>
public sealed class NodeSecurity : IDisposable
{
    private readonly X509Certificate2? _authority;
    private readonly X509Certificate2? _certificate;
    private readonly SslStreamCertificateContext? _context;

    private NodeSecurity(byte[] token, X509Certificate2? authority, X509Certificate2? certificate)
    {
        Token = token;
        _authority = authority;
        _certificate = certificate;
        if (certificate is not null)
        {
            _context = SslStreamCertificateContext.Create(certificate, [], offline: true);
        }
    }

    /// <summary>Whether links are encrypted; without, only loopback may be listened on.</summary>
    public bool UsesTls => _certificate is not null;

    /// <summary>What proves that a peer belongs to the job.</summary>
    internal byte[] Token { get; }

    /// <summary>A token alone, for processes on one machine.</summary>
    public static NodeSecurity OfToken(string token) => new(Encoding.UTF8.GetBytes(token.Trim()), null, null);

    /// <summary>Reads what <see cref="Certificates.Create"/> wrote: the authority, the token, and the certificate and key of one role.</summary>
    /// <exception cref="TransportException">Something is missing, does not belong together, or is out of date.</exception>
    public static NodeSecurity Load(string folder, PeerRole role)
    {
        string authorityFile = Path.Combine(folder, Certificates.AuthorityFile);
        string certificateFile = Path.Combine(folder, Certificates.CertificateFile(role));
        string keyFile = Path.Combine(folder, Certificates.KeyFile(role));
        string tokenFile = Path.Combine(folder, Certificates.TokenFile);
        string[] missing = [.. new[] { authorityFile, certificateFile, keyFile, tokenFile }.Where(f => !File.Exists(f)).Select(f => Path.GetFileName(f))];
        if (missing.Length > 0)
        {
            throw new TransportException($"{folder} lacks {string.Join(", ", missing)}: `clusterrnn certs --out {folder}` makes them");
        }

        X509Certificate2? authority = null, certificate = null;
        try
        {
            string token = File.ReadAllText(tokenFile).Trim();
            if (token.Length < 32)
            {
                throw new TransportException($"{tokenFile} holds {token.Length} characters, expected at least 32: `clusterrnn certs --out {folder} --force` makes a new one");
            }

            authority = X509CertificateLoader.LoadCertificateFromFile(authorityFile);
            certificate = X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
            if (OperatingSystem.IsWindows())
            {
                // Its TLS takes no key that was never in a store or a PKCS 12.
                X509Certificate2 loose = certificate;
                certificate = X509CertificateLoader.LoadPkcs12(loose.Export(X509ContentType.Pkcs12), null);
                loose.Dispose();
            }

            if (WhyRefused(certificate, authority, role, null) is { } why)
            {
                throw new TransportException($"{certificateFile}: {why}: `clusterrnn certs --out {folder} --force` makes a new set for all nodes");
            }

            return new NodeSecurity(Encoding.UTF8.GetBytes(token), authority, certificate);
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException or UnauthorizedAccessException or TransportException)
        {
            authority?.Dispose();
            certificate?.Dispose();
            throw error as TransportException ?? new TransportException($"{folder}: can't read the certificate of the {Certificates.NameOf(role)}: {error.Message}", error);
        }
    }

    /// <summary>TLS for an accepting end. The peer's role and what was wrong with its certificate go to <paramref name="seen"/>.</summary>
    internal SslServerAuthenticationOptions ForAccepting(PeerCertificate seen) => new()
    {
        ServerCertificateContext = _context,
        ClientCertificateRequired = true,
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        RemoteCertificateValidationCallback = (_, certificate, _, _) => Check(certificate, null, ClientPurpose, seen),
    };

    /// <summary>TLS for a dialing end that expects a peer of this role; null for one that calls any node of the job.</summary>
    internal SslClientAuthenticationOptions ForDialing(PeerRole? expected, PeerCertificate seen) => new()
    {
        TargetHost = Certificates.CommonName(expected ?? PeerRole.Coordinator),
        ClientCertificateContext = _context,
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        // A worker's certificate is made for calling; among equals it is called as well.
        RemoteCertificateValidationCallback = (_, certificate, _, _) => Check(certificate, expected, expected is null ? null : ServerPurpose, seen),
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        _authority?.Dispose();
        _certificate?.Dispose();
        CryptographicOperations.ZeroMemory(Token);
    }

    internal const string ServerPurpose = "1.3.6.1.5.5.7.3.1", ClientPurpose = "1.3.6.1.5.5.7.3.2";

    private bool Check(X509Certificate? certificate, PeerRole? expected, string? purpose, PeerCertificate seen)
    {
        if (certificate is null)
        {
            seen.Problem = "it shows no certificate";
            return false;
        }

        using var peer = X509CertificateLoader.LoadCertificate(certificate.GetRawCertData());
        seen.Problem = WhyRefused(peer, _authority!, expected, purpose);
        seen.Role = Certificates.RoleOf(peer);
        return seen.Problem is null;
    }

    private static string? WhyRefused(X509Certificate2 certificate, X509Certificate2 authority, PeerRole? expected, string? purpose)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        if (purpose is not null)
        {
            chain.ChainPolicy.ApplicationPolicy.Add(new Oid(purpose));
        }

        if (!chain.Build(certificate))
        {
            X509ChainStatusFlags status = chain.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, one) => all | one.Status);
            return status.HasFlag(X509ChainStatusFlags.PartialChain) || status.HasFlag(X509ChainStatusFlags.UntrustedRoot)
                ? "its certificate is of another authority"
                : status.HasFlag(X509ChainStatusFlags.NotTimeValid)
                    ? $"its certificate is valid from {certificate.NotBefore:yyyy-MM-dd} to {certificate.NotAfter:yyyy-MM-dd}, and the clock here says {DateTime.Now:yyyy-MM-dd}"
                    : $"its certificate can't be used ({status})";
        }

        PeerRole? role = Certificates.RoleOf(certificate);
        return role is null || (expected is not null && role != expected)
            ? $"its certificate is for '{certificate.GetNameInfo(X509NameType.SimpleName, false)}', expected {(expected is { } wanted ? Certificates.CommonName(wanted) : "one of this program's roles")}"
            : null;
    }
}

/// <summary>What a TLS handshake showed of the peer.</summary>
internal sealed class PeerCertificate
{
    /// <summary>The role its certificate is for.</summary>
    public PeerRole? Role { get; set; }

    /// <summary>What is wrong with the certificate, or null.</summary>
    public string? Problem { get; set; }
}
