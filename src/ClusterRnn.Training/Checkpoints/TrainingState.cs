// Everything that moves with a step, gathered in one place: parameters, the optimizer's vectors, the recurrent state of
// every row, and the policy (version, cursor, schedule, patience, best, accumulators of the pass). The key of all
// randomness is the seed with the version, so there is no generator to save.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Training.Checkpoints;

/// <summary>The state of a training between two steps, in native memory.</summary>
public sealed unsafe class TrainingState : IDisposable
{
    private readonly NativeBuffer<float>[] sections;
    private readonly NativeBuffer<float> streams;

    /// <summary>Reserves room for the state of a job; everything is zero.</summary>
    /// <param name="layout">The parameters.</param>
    /// <param name="sectionNames">The optimizer's vectors: see <see cref="ParameterRange.SectionNamesOf"/>.</param>
    /// <param name="rows">B: rows of the global batch, 0 when no state is carried.</param>
    /// <param name="stateWidth">Floats of recurrent state a row.</param>
    public TrainingState(ParameterLayout layout, IReadOnlyList<string> sectionNames, int rows, int stateWidth)
    {
        Layout = layout;
        SectionNames = sectionNames;
        Rows = rows;
        StateWidth = stateWidth;
        sections = new NativeBuffer<float>[sectionNames.Count];
        for (int i = 0; i < sections.Length; i++)
        {
            sections[i] = new NativeBuffer<float>(layout.Length);
        }

        streams = new NativeBuffer<float>((long)rows * stateWidth);
    }

    /// <summary>Where the parameters lie.</summary>
    public ParameterLayout Layout { get; }

    /// <summary>The names of the vectors: <c>parameters</c>, then the optimizer's.</summary>
    public IReadOnlyList<string> SectionNames { get; }

    /// <summary>B: rows of the global batch, 0 when no state is carried.</summary>
    public int Rows { get; }

    /// <summary>Floats of recurrent state a row.</summary>
    public int StateWidth { get; }

    /// <summary>The parameters.</summary>
    public float* Parameters => sections[0].Pointer; // [Layout.Length]

    /// <summary>The recurrent state at the start of the next step.</summary>
    public float* Streams => streams.Pointer; // [Rows, StateWidth]

    /// <summary>What <see cref="Policy.TrainingPolicy.Save"/> gave.</summary>
    public byte[] Policy { get; set; } = [];

    /// <summary>One of the vectors in <see cref="SectionNames"/>.</summary>
    public float* Section(int index) => sections[index].Pointer; // [Layout.Length]

    /// <summary>Takes over what a range holds.</summary>
    public void CopyFrom(ParameterRange range)
    {
        for (int i = 0; i < sections.Length; i++)
        {
            Copy(range.Section(i), sections[i].Pointer + range.Blocks.FirstFloat, range.Floats);
        }
    }

    /// <summary>Takes over what <see cref="ParameterRange.Save"/> wrote for the blocks of a range.</summary>
    public void CopyFrom(BlockRange blocks, float* snapshot)
    {
        for (int i = 0; i < sections.Length; i++)
        {
            Copy(snapshot + i * blocks.Floats, sections[i].Pointer + blocks.FirstFloat, blocks.Floats);
        }
    }

    /// <summary>Writes what <see cref="ParameterRange.Load"/> reads for the blocks of a range.</summary>
    public void CopyTo(BlockRange blocks, float* snapshot)
    {
        for (int i = 0; i < sections.Length; i++)
        {
            Copy(sections[i].Pointer + blocks.FirstFloat, snapshot + i * blocks.Floats, blocks.Floats);
        }
    }

    /// <summary>Sets what a range holds.</summary>
    public void CopyTo(ParameterRange range)
    {
        for (int i = 0; i < sections.Length; i++)
        {
            Copy(sections[i].Pointer + range.Blocks.FirstFloat, range.Section(i), range.Floats);
        }
    }

    /// <summary><c>modelSha256</c>: the hash of names, shapes and parameters.</summary>
    public string ModelSha256()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        AppendTensors(hash, 0);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>
    /// <c>stateSha256</c>: what <see cref="ModelSha256"/> hashes, then each of the optimizer's vectors (its UTF-8 name, a
    /// zero byte, its tensors like the parameters), the streams (rows and width as little-endian int64, then values) and
    /// the policy's bytes, which hold version (the data's cursor), schedule, patience, best and the pass's accumulators.
    /// </summary>
    public string StateSha256()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        AppendTensors(hash, 0);
        for (int i = 1; i < sections.Length; i++)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(SectionNames[i]));
            hash.AppendData([0]);
            AppendTensors(hash, i);
        }

        AppendNumber(hash, Rows);
        AppendNumber(hash, StateWidth);
        AppendFloats(hash, streams.Pointer, streams.Length);
        hash.AppendData(Policy);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NativeBuffer<float> section in sections)
        {
            section.Dispose();
        }

        streams.Dispose();
    }

    private static void Copy(float* from, float* into, long floats) =>
        Buffer.MemoryCopy(from, into, floats * sizeof(float), floats * sizeof(float));

    private static void AppendNumber(IncrementalHash hash, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        hash.AppendData(bytes);
    }

    private static void AppendFloats(IncrementalHash hash, float* values, long count)
    {
        const int Chunk = 1 << 20;
        for (long done = 0; done < count; done += Chunk)
        {
            var span = new ReadOnlySpan<float>(values + done, (int)Math.Min(Chunk, count - done));
            if (BitConverter.IsLittleEndian)
            {
                hash.AppendData(MemoryMarshal.AsBytes(span));
            }
            else
            {
                byte[] bytes = new byte[span.Length * sizeof(float)];
                for (int i = 0; i < span.Length; i++)
                {
                    BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), span[i]);
                }

                hash.AppendData(bytes);
            }
        }
    }

    private void AppendTensors(IncrementalHash hash, int section)
    {
        foreach (ParameterTensor tensor in Layout.Tensors)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(tensor.Name));
            hash.AppendData([0]);
            AppendNumber(hash, tensor.Shape.Length);
            foreach (long dimension in tensor.Shape.Span)
            {
                AppendNumber(hash, dimension);
            }

            AppendFloats(hash, sections[section].Pointer + tensor.Offset, tensor.Count);
        }
    }
}
