// How a link is opened, once bytes flow (and are encrypted, where they are):
//
//     dials    Hello      versions, purpose, who I am, whom I mean, offer, random number
//     accepts  Challenge  random number
//     dials    Proof      HMAC(token, everything said so far)
//     accepts  Accepted   the caller's number, the engine's answer, HMAC(token, everything said so far)
//           or Refused    why
//
// A record is: magic 4 | wire version 2 | kind 1 | 0 | length 4 | body. That much never changes, so that ends of different
// versions can still tell each other so. What a stranger may make us hold is bounded by MaximumHelloBytes.
using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>Both ends of the opening of a link.</summary>
internal sealed class Handshake(Stream stream, byte[] token)
{
    private const uint Magic = 0x484E5243; // "CRNH"
    private const int HeadBytes = 12;
    private const int MaximumNumber = 1 << 30;

    private readonly IncrementalHash _said = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    private enum Kind : byte
    {
        Hello = 1,
        Challenge,
        Proof,
        Accepted,
        Refused,
    }

    /// <summary>Whether the peer was told that it may not come in.</summary>
    public bool HasRefused { get; private set; }

    /// <summary>Opens the link from the dialing end.</summary>
    /// <returns>The number this end was given and the acceptor's answer.</returns>
    /// <exception cref="TransportException">The peer refused, and said why, or could not prove that it belongs to the job.</exception>
    /// <exception cref="WireException">The peer speaks something else.</exception>
    public async Task<(int Number, ReadOnlyMemory<byte> Answer)> DialAsync(LinkPurpose purpose, NodeIdentity self, ActorId target, CancellationToken cancellation)
    {
        if (self.Offer.Length > NodeIdentity.MaximumOfferBytes)
        {
            throw new ArgumentException($"An offer has at most {NodeIdentity.MaximumOfferBytes} bytes, not {self.Offer.Length}.", nameof(self));
        }

        var hello = new ArrayBufferWriter<byte>();
        new WireWriter(hello).Int32(Limits.ProtocolVersion).Byte((byte)purpose).Byte((byte)self.Role).Int32(self.Number).Actor(target)
            .Name(self.AdvertisedBulk).Bytes(self.Offer.Span, NodeIdentity.MaximumOfferBytes).Bytes(RandomNumberGenerator.GetBytes(TokenProof.Bytes), TokenProof.Bytes);
        await WriteAsync(Kind.Hello, hello.WrittenMemory, cancellation).ConfigureAwait(false);
        await ReadAsync(Kind.Challenge, TokenProof.Bytes, cancellation).ConfigureAwait(false);
        await WriteAsync(Kind.Proof, TokenProof.Dialing(token, _said.GetCurrentHash()), cancellation).ConfigureAwait(false);
        byte[] accepted = await ReadAsync(Kind.Accepted, Limits.MaximumControlBytes + 64, cancellation, keep: true).ConfigureAwait(false);
        return ReadAccepted(accepted);
    }

    /// <summary>Hears the dialing end out, from the accepting end.</summary>
    /// <returns>What it wants, after it proved that it knows the token.</returns>
    /// <exception cref="TransportException">It may not come in; it has been told so.</exception>
    /// <exception cref="WireException">It speaks something else.</exception>
    public async Task<LinkOffer> HearAsync(LinkPurpose purpose, PeerRole self, PeerRole? certified, IPEndPoint remote, CancellationToken cancellation)
    {
        byte[] body = await ReadAsync(Kind.Hello, Limits.MaximumHelloBytes, cancellation).ConfigureAwait(false);
        (int version, LinkPurpose wanted, LinkOffer offer) = ReadHello(body, remote);
        string? refusal = version != Limits.ProtocolVersion ? $"expected protocol version {Limits.ProtocolVersion}, found {version}: start all nodes from the same build"
            : !Takes(purpose, wanted, offer.Role) ? $"this is a {purpose.ToString().ToLowerInvariant()} port, found a call for {wanted.ToString().ToLowerInvariant()}"
            // Nodes of an engine's library are equals: who calls there does not know what the other one is.
            : wanted != LinkPurpose.Bytes && (PeerRole)offer.Target.Role != self ? $"this is a {Certificates.NameOf(self)}, not {offer.Target}"
            : certified is { } role && role != offer.Role ? $"it calls itself {Certificates.NameOf(offer.Role)}, but its certificate is for a {Certificates.NameOf(role)}"
            : null;
        if (refusal is not null)
        {
            await RefuseAsync(refusal, cancellation).ConfigureAwait(false);
            throw new TransportException(refusal);
        }

        await WriteAsync(Kind.Challenge, RandomNumberGenerator.GetBytes(TokenProof.Bytes), cancellation).ConfigureAwait(false);
        byte[] expected = TokenProof.Dialing(token, _said.GetCurrentHash());
        byte[] proof = await ReadAsync(Kind.Proof, TokenProof.Bytes, cancellation).ConfigureAwait(false);
        if (!TokenProof.Matches(expected, proof))
        {
            const string Wrong = "its token is not this job's";
            await RefuseAsync(Wrong + ": give every node the same token file, or start it for the other cluster", cancellation).ConfigureAwait(false);
            throw new TransportException(Wrong);
        }

        return offer;
    }

    /// <summary>Lets the dialing end in.</summary>
    public Task AcceptAsync(int number, ReadOnlyMemory<byte> answer, CancellationToken cancellation)
    {
        var accepted = new ArrayBufferWriter<byte>(answer.Length + 64);
        new WireWriter(accepted).Int32(number).Bytes(answer.Span, Limits.MaximumControlBytes);
        Say(Kind.Accepted, accepted.WrittenSpan);
        accepted.Write(TokenProof.Accepting(token, _said.GetCurrentHash()));
        return WriteAsync(Kind.Accepted, accepted.WrittenMemory, cancellation, isSaid: true);
    }

    /// <summary>Sends the dialing end away.</summary>
    public Task RefuseAsync(string reason, CancellationToken cancellation)
    {
        HasRefused = true;
        byte[] text = Encoding.UTF8.GetBytes(reason.Length > 4096 ? reason[..4096] : reason);
        return WriteAsync(Kind.Refused, text, cancellation, isSaid: true);
    }

    /// <summary>Reads the body of a Hello.</summary>
    /// <exception cref="WireException">The bytes are none.</exception>
    internal static (int Version, LinkPurpose Purpose, LinkOffer Offer) ReadHello(ReadOnlySpan<byte> body, IPEndPoint remote)
    {
        var reader = new WireReader(body);
        int version = reader.Int32();
        if (version != Limits.ProtocolVersion)
        {
            // What follows may mean something else there.
            return (version, default, new LinkOffer(default, -1, default, "", default, remote));
        }

        byte purpose = reader.Byte(), role = reader.Byte();
        if (purpose > (byte)LinkPurpose.Bytes || role > (byte)PeerRole.Client)
        {
            throw new WireException($"expected a purpose up to {(byte)LinkPurpose.Bytes} and a role up to {(byte)PeerRole.Client}, found {purpose} and {role}");
        }

        int number = reader.Int32();
        if (number is < -1 or >= MaximumNumber)
        {
            throw new WireException($"expected a number from -1 to below {MaximumNumber}, found {number}");
        }

        ActorId target = reader.Actor();
        string advertised = reader.Text();
        byte[] offer = reader.Bytes(NodeIdentity.MaximumOfferBytes);
        if (reader.Bytes(TokenProof.Bytes).Length != TokenProof.Bytes)
        {
            throw new WireException($"expected {TokenProof.Bytes} random bytes");
        }

        reader.End();
        return (version, (LinkPurpose)purpose, new LinkOffer((PeerRole)role, number, target, advertised, offer, remote));
    }

    // A client asks a node of an engine's library for the status as it would ask any coordinator.
    private static bool Takes(LinkPurpose purpose, LinkPurpose wanted, PeerRole caller)
        => wanted == purpose || (purpose == LinkPurpose.Bytes && wanted == LinkPurpose.Control && caller == PeerRole.Client);

    private (int Number, ReadOnlyMemory<byte> Answer) ReadAccepted(byte[] body)
    {
        if (body.Length < TokenProof.Bytes)
        {
            throw new WireException($"expected at least {TokenProof.Bytes} bytes of acceptance, found {body.Length}");
        }

        ReadOnlySpan<byte> plain = body.AsSpan(0, body.Length - TokenProof.Bytes);
        Say(Kind.Accepted, plain);
        if (!TokenProof.Matches(TokenProof.Accepting(token, _said.GetCurrentHash()), body.AsSpan(plain.Length)))
        {
            throw new TransportException("it accepts us, but does not know this job's token: give every node the same token file");
        }

        var reader = new WireReader(plain);
        int number = reader.Int32();
        byte[] answer = reader.Bytes(Limits.MaximumControlBytes);
        reader.End();
        return (number, answer);
    }

    private async Task WriteAsync(Kind kind, ReadOnlyMemory<byte> body, CancellationToken cancellation, bool isSaid = false)
    {
        byte[] record = new byte[HeadBytes + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(record, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(4), Limits.WireVersion);
        record[6] = (byte)kind;
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(8), body.Length);
        body.CopyTo(record.AsMemory(HeadBytes));
        if (!isSaid)
        {
            Say(kind, body.Span);
        }

        await stream.WriteAsync(record, cancellation).ConfigureAwait(false);
        await stream.FlushAsync(cancellation).ConfigureAwait(false);
    }

    private async Task<byte[]> ReadAsync(Kind expected, int mostBytes, CancellationToken cancellation, bool keep = false)
    {
        byte[] head = new byte[HeadBytes];
        await stream.ReadExactlyAsync(head, cancellation).ConfigureAwait(false);
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) is var magic && magic != Magic)
        {
            throw new WireException($"expected a handshake, found bytes that begin with {magic:x8}");
        }

        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(4));
        var kind = (Kind)head[6];
        if (version != Limits.WireVersion && kind != Kind.Refused)
        {
            string why = $"expected wire version {Limits.WireVersion}, found {version}: start all nodes from the same build";
            if (expected == Kind.Hello)
            {
                await RefuseAsync(why, cancellation).ConfigureAwait(false);
            }

            throw new TransportException(why);
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(8));
        uint most = (uint)(kind == Kind.Refused ? Limits.MaximumTextBytes : mostBytes);
        if ((kind != expected && kind != Kind.Refused) || (kind == Kind.Refused && expected is Kind.Hello or Kind.Proof) || length > most)
        {
            throw new WireException($"expected a {expected} of at most {most} bytes, found kind {(byte)kind} with {length}");
        }

        byte[] body = new byte[length];
        await stream.ReadExactlyAsync(body, cancellation).ConfigureAwait(false);
        if (kind == Kind.Refused)
        {
            throw new TransportException($"it refuses us: {Encoding.UTF8.GetString(body)}") { IsRefusal = true };
        }

        if (!keep)
        {
            Say(kind, body);
        }

        return body;
    }

    private void Say(Kind kind, ReadOnlySpan<byte> body)
    {
        Span<byte> head = stackalloc byte[5];
        head[0] = (byte)kind;
        BinaryPrimitives.WriteInt32LittleEndian(head[1..], body.Length);
        _said.AppendData(head);
        _said.AppendData(body);
    }
}
