// What the coordinator knows of a step (or an evaluation) that is under way: who was given what, who answered what, and
// which shards are settled. It only judges; the coordinator acts.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>Why an assignment was made.</summary>
internal enum AssignmentCause : byte
{
    First,
    Lost,
    Late,
    Dispute,
}

/// <summary>One assignment and its fate.</summary>
internal sealed class AssignmentEntry
{
    public required long Id;
    public required ActorId Worker;
    public required ShardRange Range;
    public required AssignmentCause Cause;
    public required Instant At;
    public Instant RetryAt = Instant.Never;
    public Instant NotLateBefore; // nobody was idle the last time
    public int Attempts;
    public bool IgnoresCachedState; // its worker may hold a state nobody vouched for
    public bool Lost; // the worker is gone, or gave it back
    public bool Discarded; // its answer was found wrong, or nobody vouches for it
    public bool GivenUp; // discarded because it came too late and others had answered; should it come, it is compared
    public bool Rejected; // discarded because what came was not an answer to it
    public bool Speculated; // another worker was given the same shards
    public ShardsReported? Report;

    /// <summary>Whether an answer may still come.</summary>
    public bool IsOutstanding => Report is null && !Lost && !Discarded;

    /// <summary>Whether it counts as an answer.</summary>
    public bool IsAnswer => Report is not null && !Discarded;

    public ShardReport ReportOf(int shard) => Report!.Shards[shard - Range.Start];
}

/// <summary>How a shard stands.</summary>
internal enum Standing : byte
{
    /// <summary>No answer yet.</summary>
    Open,

    /// <summary>An answer nobody contradicts.</summary>
    Settled,

    /// <summary>Answered twice with the same bits that are not finite.</summary>
    Poisoned,

    /// <summary>An answer that is not finite: another worker has to confirm it.</summary>
    Unconfirmed,

    /// <summary>Answers differ and no two of them agree.</summary>
    Disputed,
}

/// <summary>A step or an evaluation under way.</summary>
internal sealed class OpenWork
{
    private readonly Standing[] _standing;

    private readonly PlantedFault _planted;

    public OpenWork(WorkKind kind, long version, int shards, int ranges, Instant now, PlantedFault planted = PlantedFault.None)
    {
        _planted = planted;
        Kind = kind;
        Version = version;
        Shards = shards;
        OpenedAt = now;
        _standing = new Standing[shards];
        Unsettled = shards;
        Prepared = new Prepared?[ranges];
    }

    public WorkKind Kind { get; }

    public long Version { get; }

    public int Shards { get; }

    public Instant OpenedAt { get; }

    public Instant AllSettledAt { get; set; } = Instant.Never;

    public int Attempt { get; set; }

    public List<AssignmentEntry> Entries { get; } = [];

    public List<long> DiscardedIds { get; } = [];

    public Prepared?[] Prepared { get; }

    public int Unsettled { get; private set; }

    public Standing this[int shard] => _standing[shard];

    public AssignmentEntry? Find(long id)
    {
        for (int i = Entries.Count - 1; i >= 0; i--)
        {
            if (Entries[i].Id == id)
            {
                return Entries[i];
            }
        }

        return null;
    }

    /// <summary>Whether an answer to this shard is on its way.</summary>
    public bool IsAwaited(int shard)
    {
        foreach (AssignmentEntry entry in Entries)
        {
            if (entry.IsOutstanding && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>How many answers to this shard there were, discarded ones included.</summary>
    public int AnswersOf(int shard)
    {
        int answers = 0;
        foreach (AssignmentEntry entry in Entries)
        {
            answers += entry.Report is not null && entry.Range.Start <= shard && shard < entry.Range.End ? 1 : 0;
        }

        return answers;
    }

    /// <summary>Whether this worker has answered, or is to answer, for the shard.</summary>
    public bool HasWorker(int shard, ActorId worker)
    {
        foreach (AssignmentEntry entry in Entries)
        {
            if (entry.Worker == worker && (entry.IsOutstanding || entry.Report is not null) && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether this worker's answer to the shard was none.</summary>
    public bool WasRejected(int shard, ActorId worker)
    {
        foreach (AssignmentEntry entry in Entries)
        {
            if (entry.Rejected && entry.Worker == worker && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Judges the shards of <paramref name="range"/> anew. <paramref name="odd"/> receives the answers that are outvoted: by two workers that agree,
    /// or by a finite answer when they are not finite.
    /// </summary>
    /// <param name="range">The shards whose answers changed.</param>
    /// <param name="confirmers">How many workers could confirm an answer: with one, it confirms its own.</param>
    /// <param name="odd">Receives the entries to discard.</param>
    public void Judge(ShardRange range, int confirmers, List<AssignmentEntry> odd)
    {
        for (int shard = range.Start; shard < range.End; shard++)
        {
            Standing before = _standing[shard];
            _standing[shard] = JudgeShard(shard, confirmers, odd);
            Unsettled += (IsSettled(before) ? 1 : 0) - (IsSettled(_standing[shard]) ? 1 : 0);
        }
    }

    /// <summary>Whether the answers of a shard that is not finite were confirmed.</summary>
    public bool AnyPoisoned() => Array.IndexOf(_standing, Standing.Poisoned) >= 0;

    private static bool IsSettled(Standing standing) => standing is Standing.Settled or Standing.Poisoned;

    /// <summary>The reports that count, one a shard, in shard order. Only when nothing is unsettled.</summary>
    public ShardReport[] SettledReports()
    {
        var reports = new ShardReport[Shards];
        for (int shard = 0; shard < Shards; shard++)
        {
            foreach (AssignmentEntry entry in Entries)
            {
                if (entry.IsAnswer && entry.Range.Start <= shard && shard < entry.Range.End)
                {
                    reports[shard] = entry.ReportOf(shard);
                    break;
                }
            }
        }

        return reports;
    }

    /// <summary>Whether an answer says something else than another one that counts.</summary>
    public bool IsContradicted(AssignmentEntry entry)
    {
        foreach (AssignmentEntry other in Entries)
        {
            int end = Math.Min(other.Range.End, entry.Range.End);
            for (int shard = Math.Max(other.Range.Start, entry.Range.Start); other != entry && other.IsAnswer && shard < end; shard++)
            {
                if (!Agree(other, entry, shard))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Whether two answers say the same of a shard they share.</summary>
    public static bool Agree(AssignmentEntry left, AssignmentEntry right, int shard)
    {
        ShardReport report = left.ReportOf(shard);
        if (!report.SameAnswer(right.ReportOf(shard)))
        {
            return false;
        }

        // Gradients can be compared where both summed the same subtree; otherwise loss and state speak for the shard.
        foreach (SubtreeReport mine in left.Report!.Subtrees)
        {
            foreach (SubtreeReport other in right.Report!.Subtrees)
            {
                if (mine.Subtree == other.Subtree && mine.Subtree.Start <= shard && shard < mine.Subtree.End
                    && (mine.Finite != other.Finite || !mine.Digests.AsSpan().SequenceEqual(other.Digests)))
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Whether an answer to a shard is finite, and the gradient of the subtree it is part of.</summary>
    public bool IsFinite(AssignmentEntry entry, int shard)
    {
        if (_planted == PlantedFault.PoisonCountedAsFinite)
        {
            return true;
        }

        if (!entry.ReportOf(shard).Finite)
        {
            return false;
        }

        foreach (SubtreeReport subtree in entry.Report!.Subtrees)
        {
            if (subtree.Subtree.Start <= shard && shard < subtree.Subtree.End)
            {
                return subtree.Finite;
            }
        }

        return true;
    }

    private Standing JudgeShard(int shard, int confirmers, List<AssignmentEntry> odd)
    {
        AssignmentEntry? first = null;
        bool differ = false, anyFinite = false, anyNot = false, confirmed = false;
        foreach (AssignmentEntry entry in Entries)
        {
            if (!entry.IsAnswer || shard < entry.Range.Start || entry.Range.End <= shard)
            {
                continue;
            }

            bool finite = IsFinite(entry, shard);
            anyFinite |= finite;
            anyNot |= !finite;
            if (first is null)
            {
                first = entry;
            }
            else if (_planted != PlantedFault.FirstAnswerWins && !Agree(first, entry, shard))
            {
                differ = true;
            }
            else
            {
                confirmed |= entry.Worker != first.Worker || confirmers <= 1;
            }
        }

        if (first is null)
        {
            return Standing.Open;
        }

        if (!differ)
        {
            return anyFinite ? Standing.Settled : confirmed ? Standing.Poisoned : Standing.Unconfirmed;
        }

        AssignmentEntry? winner = Winner(shard, confirmers, finiteOnly: anyFinite && anyNot);
        if (winner is null)
        {
            return Standing.Disputed;
        }

        foreach (AssignmentEntry entry in Entries)
        {
            if (entry.IsAnswer && entry.Range.Start <= shard && shard < entry.Range.End && !Agree(winner, entry, shard) && !odd.Contains(entry))
            {
                odd.Add(entry);
            }
        }

        return IsFinite(winner, shard) ? Standing.Settled : Standing.Poisoned;
    }

    /// <summary>The answer that two workers agree on; or, among answers that are not finite, the one kind that is.</summary>
    private AssignmentEntry? Winner(int shard, int confirmers, bool finiteOnly)
    {
        AssignmentEntry? onlyFinite = null;
        bool finiteDiffer = false;
        for (int i = 0; i < Entries.Count; i++)
        {
            AssignmentEntry entry = Entries[i];
            if (!entry.IsAnswer || shard < entry.Range.Start || entry.Range.End <= shard || (finiteOnly && !IsFinite(entry, shard)))
            {
                continue;
            }

            if (onlyFinite is null)
            {
                onlyFinite = entry;
            }
            else
            {
                finiteDiffer |= !Agree(onlyFinite, entry, shard);
            }

            for (int j = 0; j < i; j++)
            {
                AssignmentEntry other = Entries[j];
                if (other.IsAnswer && other.Range.Start <= shard && shard < other.Range.End
                    && (other.Worker != entry.Worker || confirmers <= 1) && Agree(other, entry, shard))
                {
                    return other;
                }
            }
        }

        return finiteOnly && !finiteDiffer ? onlyFinite : null;
    }
}
