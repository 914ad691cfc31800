using System.Security.Cryptography;
using System.Text;

namespace ClusterRnn.Engines.Tcp.Security;

/// <summary>
/// Shows that one knows the job's token without sending it: an HMAC-SHA-256, keyed by it, over what both ends said so far,
/// each end's random number included. The two ends' proofs differ, so that one can't be sent back as the other.
/// </summary>
internal static class TokenProof
{
    /// <summary>The bytes of a proof and of each end's random number.</summary>
    public const int Bytes = 32;

    /// <summary>The dialing end's proof.</summary>
    public static byte[] Dialing(ReadOnlySpan<byte> token, ReadOnlySpan<byte> said) => Make(token, "clusterrnn dials", said);

    /// <summary>The accepting end's proof.</summary>
    public static byte[] Accepting(ReadOnlySpan<byte> token, ReadOnlySpan<byte> said) => Make(token, "clusterrnn accepts", said);

    /// <summary>Compares in the same time whatever the bytes are.</summary>
    public static bool Matches(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> found) => CryptographicOperations.FixedTimeEquals(expected, found);

    private static byte[] Make(ReadOnlySpan<byte> token, string label, ReadOnlySpan<byte> said)
    {
        using var mac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, token);
        mac.AppendData(Encoding.ASCII.GetBytes(label));
        mac.AppendData(said);
        return mac.GetHashAndReset();
    }
}
