// Who is at the ends of a link, and on what terms it is opened.
using System.Net;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>What a process is to the others. The first three are actors, in the order of <see cref="ActorRole"/>.</summary>
public enum PeerRole : byte
{
    /// <summary>Splits steps and decides them.</summary>
    Coordinator,

    /// <summary>Computes gradients.</summary>
    Worker,

    /// <summary>Owns parameters.</summary>
    Server,

    /// <summary>Asks for the status and does nothing else.</summary>
    Client,
}

/// <summary>What a link is for.</summary>
public enum LinkPurpose : byte
{
    /// <summary>Small messages.</summary>
    Control,

    /// <summary>Blocks.</summary>
    Bulk,

    /// <summary>What an engine's own library sends, whatever it is.</summary>
    Bytes,
}

/// <summary>What the dialing end says of itself.</summary>
/// <param name="Role">What it is.</param>
/// <param name="Number">Its number, or the one it would like; -1 when any will do.</param>
/// <param name="AdvertisedBulk">HOST:PORT at which the others reach its bulk port, or empty when it has none.</param>
/// <param name="Offer">Whatever the engine adds, at most <see cref="MaximumOfferBytes"/>.</param>
public sealed record NodeIdentity(PeerRole Role, int Number, string AdvertisedBulk = "", ReadOnlyMemory<byte> Offer = default)
{
    /// <summary>The most bytes of an offer.</summary>
    public const int MaximumOfferBytes = Limits.MaximumHelloBytes / 2;
}

/// <summary>What the accepting end learns of a peer that has proved that it belongs to the job.</summary>
/// <param name="Role">What the peer is; with TLS, what its certificate says.</param>
/// <param name="Number">Its number, or the one it would like; -1 when any will do.</param>
/// <param name="Target">Whom it means to reach.</param>
/// <param name="AdvertisedBulk">HOST:PORT at which the others reach its bulk port, or empty.</param>
/// <param name="Offer">What its engine added.</param>
/// <param name="Remote">Where it calls from.</param>
public sealed record LinkOffer(PeerRole Role, int Number, ActorId Target, string AdvertisedBulk, ReadOnlyMemory<byte> Offer, IPEndPoint Remote);

/// <summary>Whether a peer is let in.</summary>
/// <typeparam name="THandler">What takes the link's messages.</typeparam>
public sealed class LinkAdmission<THandler>
    where THandler : class
{
    private LinkAdmission(THandler? handler, int number, ReadOnlyMemory<byte> answer, string reason)
    {
        Handler = handler;
        Number = number;
        Answer = answer;
        Reason = reason;
    }

    /// <summary>What takes the link's messages, or null when the peer is refused.</summary>
    internal THandler? Handler { get; }

    /// <summary>The peer's number.</summary>
    internal int Number { get; }

    /// <summary>What the engine tells the peer.</summary>
    internal ReadOnlyMemory<byte> Answer { get; }

    /// <summary>Why the peer is refused.</summary>
    internal string Reason { get; }

    /// <summary>Lets the peer in.</summary>
    /// <param name="handler">What takes the link's messages.</param>
    /// <param name="number">The peer's number.</param>
    /// <param name="answer">What the engine tells the peer, at most <see cref="Limits.MaximumControlBytes"/>.</param>
    public static LinkAdmission<THandler> Accept(THandler handler, int number, ReadOnlyMemory<byte> answer = default) => new(handler, number, answer, "");

    /// <summary>Sends the peer away; it is told why, and the listener logs it.</summary>
    public static LinkAdmission<THandler> Refuse(string reason) => new(null, 0, default, reason);
}

/// <summary>Takes what comes over control links. Called by one thread at a time for each link; must not wait for the peer.</summary>
public interface IControlHandler
{
    /// <summary>The link is open; before anything else.</summary>
    void Opened(ControlLink link);

    /// <summary>A message has arrived.</summary>
    void Received(ControlLink link, in Envelope envelope);

    /// <summary>The link is closed, once and last.</summary>
    /// <param name="link">The link.</param>
    /// <param name="reason">Why, naming the peer.</param>
    void Closed(ControlLink link, string reason);
}

/// <summary>Takes what comes over bulk links. Called by one thread at a time for each link; must not wait for the peer.</summary>
public unsafe interface IBulkHandler
{
    /// <summary>The link is open; before anything else.</summary>
    void Opened(BulkLink link);

    /// <summary>A block is about to arrive: where does it go?</summary>
    /// <param name="link">The link.</param>
    /// <param name="envelope">The message before the block; its payload number is 0.</param>
    /// <param name="epoch">The epoch the sender put on the frame.</param>
    /// <param name="step">The step the sender put on the frame.</param>
    /// <param name="floats">How many floats the block has, at least 1.</param>
    /// <returns>Memory for them, left alone until <see cref="Arrived"/> or <see cref="Dropped"/>; null drops the block.</returns>
    float* Reserve(BulkLink link, in Envelope envelope, long epoch, long step, long floats);

    /// <summary>A message, and its block if it has one, is there and matches its checksum.</summary>
    /// <param name="link">The link.</param>
    /// <param name="envelope">The message.</param>
    /// <param name="payload">What <see cref="Reserve"/> gave, or null when there is no block.</param>
    /// <param name="floats">How many floats there are.</param>
    void Arrived(BulkLink link, in Envelope envelope, float* payload, long floats);

    /// <summary>A block for which memory was reserved won't come: it was damaged, or the link closed meanwhile.</summary>
    /// <param name="link">The link.</param>
    /// <param name="envelope">The message.</param>
    /// <param name="payload">What <see cref="Reserve"/> gave.</param>
    /// <param name="floats">How many floats were expected.</param>
    /// <param name="damaged">Whether its checksum was wrong.</param>
    void Dropped(BulkLink link, in Envelope envelope, float* payload, long floats, bool damaged);

    /// <summary>The link is closed, once and last; every send has been completed or refused before.</summary>
    /// <param name="link">The link.</param>
    /// <param name="reason">Why, naming the peer.</param>
    void Closed(BulkLink link, string reason);
}

/// <summary>Takes what comes over byte links. Called by one thread at a time for each link; must not wait for the peer.</summary>
internal interface IBytesHandler
{
    /// <summary>The link is open; before anything else.</summary>
    void Opened(ByteLink link);

    /// <summary>A message has arrived; its bytes are the callee's until it returns.</summary>
    void Received(ByteLink link, ReadOnlySpan<byte> message);

    /// <summary>The link is closed, once and last.</summary>
    /// <param name="link">The link.</param>
    /// <param name="reason">Why, naming the peer.</param>
    void Closed(ByteLink link, string reason);
}
