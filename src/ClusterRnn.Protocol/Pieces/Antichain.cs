// Which pieces of a gradient an owner will sum.
//
// Workers send the sums of whole subtrees of the canonical tree. After failures and speculation the same shard can arrive
// in several pieces; two nodes of a tree are nested or apart, so the rule is short: a piece inside a held one is dropped,
// one that contains held ones replaces them. Nothing is ever subtracted, and no shard is summed twice.
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Protocol.Pieces;

/// <summary>The disjoint subtrees held for one segment of one step.</summary>
public sealed class Antichain
{
    private readonly int _shards;
    private readonly List<HeldPiece> _held = []; // ascending, disjoint
    private int _covered;
    private readonly PlantedFault _planted;

    /// <summary>An empty antichain of the tree over <paramref name="shards"/>.</summary>
    public Antichain(int shards)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shards, 1);
        _shards = shards;
    }

    internal Antichain(int shards, PlantedFault planted)
        : this(shards)
    {
        _planted = planted;
    }

    /// <summary>Whether all shards are covered.</summary>
    public bool IsComplete => _covered == _shards;

    /// <summary>What is held, ascending.</summary>
    public IReadOnlyList<HeldPiece> Held => _held;

    /// <summary>Takes a piece in. Those it makes superfluous are added to <paramref name="released"/>, itself included when it was not needed.</summary>
    /// <returns>Whether it is held now.</returns>
    /// <exception cref="ArgumentException">The piece is no node of the tree.</exception>
    public bool Add(in HeldPiece piece, List<HeldPiece> released)
    {
        if (!CanonicalTree.IsNode(piece.Subtree, _shards))
        {
            throw new ArgumentException($"{piece.Subtree} is no node of the tree over {_shards} shards.", nameof(piece));
        }

        int place = 0;
        while (place < _held.Count && _held[place].Subtree.End <= piece.Subtree.Start)
        {
            place++;
        }

        if (_planted == PlantedFault.ContainedSubtreeSummed && !IsComplete && place < _held.Count && _held[place].Subtree.Contains(piece.Subtree))
        {
            _held.Insert(place + 1, piece);
            return true;
        }

        if (IsComplete || (place < _held.Count && _held[place].Subtree.Contains(piece.Subtree)))
        {
            released.Add(piece);
            return false;
        }

        while (place < _held.Count && piece.Subtree.Contains(_held[place].Subtree))
        {
            _covered -= _held[place].Subtree.Count;
            released.Add(_held[place]);
            _held.RemoveAt(place);
        }

        _held.Insert(place, piece);
        _covered += piece.Subtree.Count;
        return true;
    }

    /// <summary>Takes the pieces of these assignments out.</summary>
    /// <returns>Whether there were any.</returns>
    public bool Discard(IReadOnlyList<long> assignments, List<HeldPiece> released)
    {
        bool any = false;
        for (int i = _held.Count - 1; i >= 0; i--)
        {
            for (int j = 0; j < assignments.Count; j++)
            {
                if (_held[i].Assignment == assignments[j])
                {
                    _covered -= _held[i].Subtree.Count;
                    released.Add(_held[i]);
                    _held.RemoveAt(i);
                    any = true;
                    break;
                }
            }
        }

        return any;
    }

    /// <summary>Marks the shards that are covered.</summary>
    /// <param name="covered">One flag a shard; those of missing shards are cleared.</param>
    public void ClearMissing(Span<bool> covered)
    {
        int next = 0;
        foreach (HeldPiece piece in _held)
        {
            covered[next..piece.Subtree.Start].Clear();
            next = piece.Subtree.End;
        }

        covered[next.._shards].Clear();
    }

    /// <summary>Lets everything go.</summary>
    public void Clear(List<HeldPiece> released)
    {
        released.AddRange(_held);
        _held.Clear();
        _covered = 0;
    }
}
