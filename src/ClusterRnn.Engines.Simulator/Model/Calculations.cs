// The model's arithmetic, done once. A shard's gradient is a pure function of the parameters, the shard's incoming state and the
// step, so it is computed by the product's ShardComputer when it is first asked for, and kept by the digests of those inputs.
// Other inputs are another key and give another answer: a worker that computes from wrong parameters gets a wrong gradient.
//
// That is what lets a thousand simulated runs a minute train a real model.
using System.Collections.Concurrent;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using ShardReport = ClusterRnn.Protocol.Messages.ShardReport;
using TrainingReport = ClusterRnn.Training.Computing.ShardReport;

namespace ClusterRnn.Engines.Simulator.Model;

/// <summary>The parameters of a version, range by range.</summary>
internal sealed class ParameterSet
{
    public ParameterSet(Block[] ranges)
    {
        Ranges = ranges;
        ulong digest = 0;
        foreach (Block range in ranges)
        {
            digest = ContentDigest.Join(digest, range.Digest);
        }

        Digest = digest;
    }

    /// <summary>One block a range, ascending.</summary>
    public Block[] Ranges { get; }

    /// <summary>The digest of all.</summary>
    public ulong Digest { get; }
}

/// <summary>What a shard of a training step comes to.</summary>
/// <param name="Key">Tells it from others.</param>
/// <param name="Report">What is reported of it.</param>
/// <param name="Gradient">Its gradient: the flat vector.</param>
/// <param name="NextState">The state after it.</param>
internal sealed record ShardAnswer(ulong Key, ShardReport Report, Block Gradient, Block NextState);

/// <summary>What a subtree of shards comes to.</summary>
/// <param name="Key">Tells it from others.</param>
/// <param name="Report">What is reported of it.</param>
/// <param name="Gradient">The sum along the canonical tree.</param>
internal sealed record SubtreeAnswer(ulong Key, SubtreeReport Report, Block Gradient);

/// <summary>A shard whose data is poison: whoever computes it from these parameters finds values that are not finite.</summary>
/// <param name="Version">The step.</param>
/// <param name="Shard">The shard.</param>
internal sealed record PoisonedShard(long Version, int Shard);

/// <summary>Computes shards and sums, and remembers.</summary>
internal sealed unsafe class Calculations
{
    private readonly TrainingJob _job;
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<ulong, ShardAnswer> _answers = [];
    private readonly ConcurrentDictionary<ulong, SubtreeAnswer> _subtrees = [];
    private readonly ConcurrentDictionary<ulong, ShardReport> _evaluations = [];
    private readonly ConcurrentQueue<(ulong Key, bool IsSubtree, long Bytes)> _ages = [];
    private readonly NativeBuffer<float> _parameters;
    private readonly TrainingReport[] _reports;
    private readonly int _layers;
    private readonly long _mostBytes;
    private ShardComputer? _computer;
    private ulong _loaded;
    private bool _isLoaded;
    private long _bytes;

    /// <summary>Nothing is computed yet.</summary>
    /// <param name="job">The job.</param>
    /// <param name="mostBytes">What is kept; the oldest go first.</param>
    public Calculations(TrainingJob job, long mostBytes = 512L << 20)
    {
        _job = job;
        _mostBytes = mostBytes;
        _parameters = new NativeBuffer<float>(job.Layout.Length);
        _reports = ShardComputer.CreateReports(job, 1);
        foreach (ParameterTensor tensor in job.Layout.Tensors)
        {
            _layers = Math.Max(_layers, tensor.Layer + 1);
        }
    }

    /// <summary>A shard whose data is poison, or null.</summary>
    public PoisonedShard? Poison { get; init; }

    /// <summary>The parameters from which it is: those of the first time. Found by the reference run.</summary>
    public ulong? PoisonedParameters { get; set; }

    /// <summary>How many shards were really computed.</summary>
    public long Computed { get; private set; }

    /// <summary>A shard of the step from a version.</summary>
    /// <param name="parameters">The parameters.</param>
    /// <param name="version">The version.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="state">Its committed state; null where none is carried.</param>
    public ShardAnswer Train(ParameterSet parameters, long version, int shard, Block? state)
    {
        bool reads = _job.CarriesState && !_job.Train.Plan(version).ResetState;
        ulong key = ContentDigest.Join(ContentDigest.Join(parameters.Digest, reads ? state!.Digest : 1), ((ulong)version << 16) | (uint)shard);
        if (_answers.TryGetValue(key, out ShardAnswer? known))
        {
            return known;
        }

        lock (_gate)
        {
            if (_answers.TryGetValue(key, out known))
            {
                return known;
            }

            Load(parameters);
            var gradient = new Block(_job.Layout.Length, pinned: true);
            var next = new Block(_job.StateFloats(shard), pinned: true);
            float* into = gradient.Pointer, stateOut = next.Pointer;
            fixed (float* stateIn = reads ? state!.Values : null)
            {
                float* held = stateIn;
                bool carries = _job.CarriesState;
                _computer!.Train(version, new ShardRange(shard, shard + 1), carries ? &held : null, carries ? &stateOut : null, &into, _reports.AsSpan());
            }

            Computed++;
            ShardReport report = ReportOf(_reports[0]);
            if (Poison == new PoisonedShard(version, shard) && (PoisonedParameters is null || PoisonedParameters == parameters.Digest))
            {
                gradient.Values[0] = float.NaN;
                next.Values.AsSpan(0, Math.Min(next.Values.Length, _job.Model.StateWidth)).Fill(float.NaN);
                report = report with { Sums = [double.NaN, .. report.Sums.AsSpan(1)], StateDigest = next.Values.Length > 0 ? next.Digest : 0, Finite = false };
            }

            var answer = new ShardAnswer(key, report, gradient, next);
            _answers[key] = answer;
            Age(key, false, gradient.Bytes + next.Bytes);
            return answer;
        }
    }

    /// <summary>The sum of a subtree's shards.</summary>
    /// <param name="subtree">A node of the canonical tree.</param>
    /// <param name="answers">Its shards, ascending.</param>
    public SubtreeAnswer Sum(ShardRange subtree, ReadOnlySpan<ShardAnswer> answers)
    {
        ulong key = ContentDigest.Join((ulong)(uint)subtree.Start << 32 | (uint)subtree.End, answers[0].Key);
        for (int i = 1; i < answers.Length; i++)
        {
            key = ContentDigest.Join(key, answers[i].Key);
        }

        if (_subtrees.TryGetValue(key, out SubtreeAnswer? known))
        {
            return known;
        }

        Block sum;
        if (answers.Length == 1)
        {
            sum = answers[0].Gradient;
        }
        else
        {
            int left = CanonicalTree.Split(subtree.Start, subtree.End) - subtree.Start;
            SubtreeAnswer lower = Sum(new ShardRange(subtree.Start, subtree.Start + left), answers[..left]);
            SubtreeAnswer upper = Sum(new ShardRange(subtree.Start + left, subtree.End), answers[left..]);
            sum = new Block(_job.Layout.Length, pinned: true);
            ElementwiseFunctions.Add(_job.Layout.Length, lower.Gradient.Pointer, upper.Gradient.Pointer, sum.Pointer);
        }

        var answer = new SubtreeAnswer(key, Describe(subtree, sum), sum);
        _subtrees[key] = answer;
        Age(key, true, answers.Length == 1 ? 0 : sum.Bytes);
        return answer;
    }

    /// <summary>What is reported of a subtree's gradient.</summary>
    public SubtreeReport Describe(ShardRange subtree, Block gradient)
    {
        ulong[] digests = new ulong[_layers];
        bool finite = ShardComputer.DigestGradient(_job.Layout, gradient.Pointer, digests);
        return new SubtreeReport(subtree, digests, finite);
    }

    /// <summary>A shard of the evaluation.</summary>
    public ShardReport Evaluate(ParameterSet parameters, int shard)
    {
        ulong key = ContentDigest.Join(parameters.Digest, (ulong)shard);
        if (_evaluations.TryGetValue(key, out ShardReport known))
        {
            return known;
        }

        lock (_gate)
        {
            Load(parameters);
            _computer!.Evaluate(new ShardRange(shard, shard + 1), _reports.AsSpan());
            return _evaluations[key] = ReportOf(_reports[0]);
        }
    }

    private static ShardReport ReportOf(TrainingReport report)
        => new(report.Shard, [.. report.Sums], [.. report.Counts], report.RowsDigest, report.StateDigest, report.Finite);

    private void Load(ParameterSet parameters)
    {
        _computer ??= _job.CreateComputer(1);
        if (_isLoaded && _loaded == parameters.Digest)
        {
            return;
        }

        long at = 0;
        foreach (Block range in parameters.Ranges)
        {
            range.Values.CopyTo(new Span<float>(_parameters.Pointer + at, range.Values.Length));
            at += range.Values.Length;
        }

        _computer.LoadParameters(_parameters.Pointer);
        (_loaded, _isLoaded) = (parameters.Digest, true);
    }

    private void Age(ulong key, bool isSubtree, long bytes)
    {
        _ages.Enqueue((key, isSubtree, bytes));
        long held = Interlocked.Add(ref _bytes, bytes);
        while (held > _mostBytes && _ages.TryDequeue(out (ulong Key, bool IsSubtree, long Bytes) oldest))
        {
            held = Interlocked.Add(ref _bytes, -oldest.Bytes);
            if (oldest.IsSubtree)
            {
                _subtrees.TryRemove(oldest.Key, out _);
            }
            else
            {
                _answers.TryRemove(oldest.Key, out _);
            }
        }
    }
}
