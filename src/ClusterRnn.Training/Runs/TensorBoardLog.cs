// TensorBoard's event files: records (length, checksum, payload, checksum) of Event messages in protobuf's wire format.
// Only scalars are written, so the few fields are encoded here by hand; the field numbers are those of
// tensorflow/core/util/event.proto and summary.proto.
using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;

namespace ClusterRnn.Training.Runs;

/// <summary>Writes a TensorBoard event file.</summary>
public sealed class TensorBoardLog : IRunObserver, IDisposable
{
    private readonly FileStream _file;
    private readonly double _started; // seconds since 1970
    private readonly List<byte> _event = [];
    private TimeSpan _rateSince;
    private TimeSpan _flushed;
    private long _rateTokens;

    /// <summary>Starts an event file in <paramref name="folder"/>; of earlier files, steps after <paramref name="step"/> no longer count.</summary>
    public TensorBoardLog(string folder, long step, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(time);
        DateTimeOffset now = time.GetUtcNow();
        _started = (now - DateTimeOffset.UnixEpoch).TotalSeconds;
        string name = string.Create(CultureInfo.InvariantCulture, $"events.out.tfevents.{now.ToUnixTimeSeconds():0000000000}.{step}.clusterrnn");
        _file = new FileStream(Path.Combine(folder, name), FileMode.Create, FileAccess.Write, FileShare.Read);
        Begin(TimeSpan.Zero, 0);
        Bytes(_event, 3, Encoding.ASCII.GetBytes("brain.Event:2")); // file_version
        End();
        if (step > 0)
        {
            // session_log { status: START } makes TensorBoard drop what a resumed run computes again.
            Begin(TimeSpan.Zero, step + 1);
            Bytes(_event, 7, [0x08, 0x01]);
            End();
        }
    }

    /// <inheritdoc/>
    public void OnStep(StepReport step)
    {
        Scalar("loss/train", step.Loss, step.Step, step.Elapsed);
        Scalar("learning_rate", step.LearningRate, step.Step, step.Elapsed);
        if (step.GradientNorm is { } norm)
        {
            Scalar("gradient_norm", norm, step.Step, step.Elapsed);
        }

        _rateTokens += step.Tokens;
        if ((step.Elapsed - _rateSince).TotalSeconds >= 1)
        {
            Scalar("tokens_per_second", _rateTokens / (step.Elapsed - _rateSince).TotalSeconds, step.Step, step.Elapsed);
            (_rateSince, _rateTokens) = (step.Elapsed, 0);
        }

        if (step.Elapsed - _flushed > TimeSpan.FromSeconds(0.5))
        {
            _flushed = step.Elapsed;
            _file.Flush();
        }
    }

    /// <inheritdoc/>
    public void OnEvaluation(EvaluationReport evaluation)
    {
        Scalar("loss/validation", evaluation.Loss, evaluation.Step, evaluation.Elapsed);
        foreach ((string name, double value) in evaluation.Metrics)
        {
            Scalar("validation/" + name, value, evaluation.Step, evaluation.Elapsed);
        }

        _file.Flush();
    }

    /// <inheritdoc/>
    public void OnSaving(long step) => _file.Flush(flushToDisk: true);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    /// <summary>The masked CRC-32C of TensorFlow's records.</summary>
    public static uint MaskedChecksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in bytes)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        crc = ~crc;
        return BitOperations.RotateRight(crc, 15) + 0xa282ead8;
    }

    private void Scalar(string tag, double value, long step, TimeSpan elapsed)
    {
        var scalar = new List<byte>();
        Bytes(scalar, 1, Encoding.UTF8.GetBytes(tag)); // Summary.Value.tag
        scalar.Add((2 << 3) | 5); // simple_value, fixed32
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(number, (float)value);
        scalar.AddRange(number);
        var summary = new List<byte>();
        Bytes(summary, 1, [.. scalar]); // Summary.value
        Begin(elapsed, step);
        Bytes(_event, 5, [.. summary]); // Event.summary
        End();
    }

    private void Begin(TimeSpan elapsed, long step)
    {
        _event.Clear();
        _event.Add((1 << 3) | 1); // wall_time, fixed64
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(number, _started + elapsed.TotalSeconds);
        _event.AddRange(number);
        _event.Add(2 << 3); // step, varint
        Varint(_event, (ulong)step);
    }

    private void End()
    {
        byte[] payload = [.. _event];
        Span<byte> head = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], MaskedChecksum(head[..8]));
        _file.Write(head);
        _file.Write(payload);
        Span<byte> tail = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(tail, MaskedChecksum(payload));
        _file.Write(tail);
    }

    private static void Bytes(List<byte> into, int field, byte[] bytes)
    {
        into.Add((byte)((field << 3) | 2));
        Varint(into, (ulong)bytes.Length);
        into.AddRange(bytes);
    }

    private static void Varint(List<byte> into, ulong value)
    {
        while (value >= 0x80)
        {
            into.Add((byte)(value | 0x80));
            value >>= 7;
        }

        into.Add((byte)value);
    }
}
