using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Node.Api;

/// <summary>Data that a program holds in memory; it has no place in a config file.</summary>
internal sealed record ArrayData : DataConfig;

/// <summary>Examples in memory: one sequence of values each, with targets at its last time step.</summary>
internal sealed unsafe class ArrayExamples : IExamples
{
    private readonly float[,,] inputs; // [examples, time, features]
    private readonly float[,] targets; // [examples, outputs]

    public ArrayExamples(float[,,] inputs, float[,] targets)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        ArgumentNullException.ThrowIfNull(targets);
        if (inputs.Length == 0 || targets.Length == 0)
        {
            throw new ArgumentException("There must be at least one example, time step, feature and target.", nameof(inputs));
        }

        if (inputs.GetLength(0) != targets.GetLength(0))
        {
            throw new ArgumentException($"There are {inputs.GetLength(0)} inputs and {targets.GetLength(0)} targets; each example needs both.", nameof(targets));
        }

        this.inputs = inputs;
        this.targets = targets;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(ref inputs[0, 0, 0], inputs.Length)));
        hash.AppendData(MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(ref targets[0, 0], targets.Length)));
        Sha256 = Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    public long Count => inputs.GetLength(0);

    public int Time => inputs.GetLength(1);

    public int TargetTime => 1;

    public int FeatureWidth => inputs.GetLength(2);

    public int TargetWidth => targets.GetLength(1);

    public string Sha256 { get; }

    public int Read(long example, SpanBatch into, int row)
    {
        for (int time = 0; time < Time; time++)
        {
            for (int i = 0; i < FeatureWidth; i++)
            {
                into.Features[((((long)time * into.Rows) + row) * FeatureWidth) + i] = inputs[example, time, i];
            }
        }

        for (int i = 0; i < TargetWidth; i++)
        {
            into.TargetValues[((long)row * TargetWidth) + i] = targets[example, i];
        }

        return Time;
    }
}
