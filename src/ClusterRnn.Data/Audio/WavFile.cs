// WAV files: a RIFF container with a chunk that says how samples are stored ("fmt ") and one that has them ("data"). Read are
// whole numbers of 8 to 32 bits and 32-bit floats, any number of channels (their mean is taken); written are 16 bits, one
// channel. Whatever doesn't fit together is an error with the byte where it was found.
using System.Buffers.Binary;
using System.Globalization;

namespace ClusterRnn.Data;

/// <summary>A recording: one channel of samples from -1 to 1.</summary>
/// <param name="SampleRate">Samples a second.</param>
/// <param name="Samples">The samples.</param>
public sealed record WavFile(int SampleRate, float[] Samples)
{
    private const int Pcm = 1;
    private const int Float = 3;
    private const int Extensible = 0xFFFE;
    private const int HeaderBytes = 44;

    /// <summary>Reads a file's bytes.</summary>
    /// <param name="name">The file, for messages.</param>
    /// <param name="bytes">Its contents.</param>
    /// <exception cref="DataException">They are no WAV file that can be read, or it breaks off.</exception>
    public static WavFile Parse(string name, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 12 || !bytes[..4].SequenceEqual("RIFF"u8) || !bytes.Slice(8, 4).SequenceEqual("WAVE"u8))
        {
            throw Fault(name, "a WAV file, which begins with RIFF and WAVE", bytes.Length < 12 ? $"{bytes.Length} bytes" : Convert.ToHexStringLower(bytes[..12]), "Convert the recording (ffmpeg -i ... out.wav)", 0);
        }

        int encoding = 0, channels = 0, rate = 0, bits = 0;
        for (int at = 12; at < bytes.Length;)
        {
            if (bytes.Length - at < 8)
            {
                throw Fault(name, "a chunk's name and length (8 bytes)", $"{bytes.Length - at} bytes before the end", "Fetch the file again", at);
            }

            ReadOnlySpan<byte> kind = bytes.Slice(at, 4);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes[(at + 4)..]);
            int start = at + 8;
            if (length > bytes.Length - start)
            {
                throw Fault(name, $"{length} bytes in the chunk '{System.Text.Encoding.Latin1.GetString(kind)}'", $"{bytes.Length - start} before the end: the file breaks off", "Fetch the file again", at);
            }

            ReadOnlySpan<byte> content = bytes.Slice(start, (int)length);
            if (kind.SequenceEqual("fmt "u8))
            {
                if (content.Length < 16)
                {
                    throw Fault(name, "at least 16 bytes in the chunk 'fmt '", $"{content.Length}", "Fetch the file again", at);
                }

                encoding = BinaryPrimitives.ReadUInt16LittleEndian(content);
                channels = BinaryPrimitives.ReadUInt16LittleEndian(content[2..]);
                rate = BinaryPrimitives.ReadInt32LittleEndian(content[4..]);
                bits = BinaryPrimitives.ReadUInt16LittleEndian(content[14..]);
                encoding = encoding == Extensible && content.Length >= 26 ? BinaryPrimitives.ReadUInt16LittleEndian(content[24..]) : encoding;
                if (!(encoding == Pcm && bits is 8 or 16 or 24 or 32) && !(encoding == Float && bits == 32))
                {
                    throw Fault(name, "samples of 8, 16, 24 or 32 bits (encoding 1), or 32-bit floats (encoding 3)", $"encoding {encoding} of {bits} bits", "Convert the recording (ffmpeg -i ... -c:a pcm_s16le out.wav)", start);
                }

                if (channels < 1 || rate < 1)
                {
                    throw Fault(name, "at least one channel and one sample a second", $"{channels} channels, {rate} samples a second", "Fetch the file again", start + 2);
                }
            }
            else if (kind.SequenceEqual("data"u8))
            {
                if (channels == 0)
                {
                    throw Fault(name, "the chunk 'fmt ' before the samples", "samples", "Fetch the file again", at);
                }

                int frame = channels * (bits / 8);
                if (content.Length % frame != 0)
                {
                    throw Fault(name, $"samples of {frame} bytes", $"{content.Length % frame} bytes more than whole ones", "Fetch the file again", start + content.Length - (content.Length % frame));
                }

                return content.Length > 0 ? new WavFile(rate, Samples(name, content, encoding, bits, channels, start)) : throw Fault(name, "samples", "none", "Take a recording that has some", at);
            }

            at = (int)Math.Min(bytes.Length, start + (long)length + (length & 1));
        }

        throw Fault(name, "a chunk 'data' with the samples", "the file's end", "Fetch the file again", bytes.Length);

        static float[] Samples(string name, ReadOnlySpan<byte> content, int encoding, int bits, int channels, int start)
        {
            int size = bits / 8;
            float[] samples = new float[content.Length / (size * channels)];
            for (int i = 0, at = 0; i < samples.Length; i++)
            {
                double sum = 0;
                for (int channel = 0; channel < channels; channel++, at += size)
                {
                    double value = (encoding, bits) switch
                    {
                        (Float, _) => BinaryPrimitives.ReadSingleLittleEndian(content[at..]),
                        (_, 8) => (content[at] - 128) / 128.0,
                        (_, 16) => BinaryPrimitives.ReadInt16LittleEndian(content[at..]) / 32768.0,
                        (_, 24) => ((content[at] << 8 | content[at + 1] << 16 | content[at + 2] << 24) >> 8) / 8388608.0,
                        _ => BinaryPrimitives.ReadInt32LittleEndian(content[at..]) / 2147483648.0,
                    };
                    sum += double.IsFinite(value) ? value : throw Fault(name, "a finite sample", value.ToString(CultureInfo.InvariantCulture), "Convert the recording again", start + at);
                }

                samples[i] = (float)(sum / channels);
            }

            return samples;
        }
    }

    /// <summary>The file's bytes: 16 bits a sample, one channel; what is louder than 1 is cut.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[HeaderBytes + (2 * Samples.Length)];
        Span<byte> into = bytes;
        "RIFF"u8.CopyTo(into);
        BinaryPrimitives.WriteInt32LittleEndian(into[4..], bytes.Length - 8);
        "WAVEfmt "u8.CopyTo(into[8..]);
        BinaryPrimitives.WriteInt32LittleEndian(into[16..], 16);
        BinaryPrimitives.WriteInt16LittleEndian(into[20..], Pcm);
        BinaryPrimitives.WriteInt16LittleEndian(into[22..], 1);
        BinaryPrimitives.WriteInt32LittleEndian(into[24..], SampleRate);
        BinaryPrimitives.WriteInt32LittleEndian(into[28..], 2 * SampleRate);
        BinaryPrimitives.WriteInt16LittleEndian(into[32..], 2);
        BinaryPrimitives.WriteInt16LittleEndian(into[34..], 16);
        "data"u8.CopyTo(into[36..]);
        BinaryPrimitives.WriteInt32LittleEndian(into[40..], 2 * Samples.Length);
        for (int i = 0; i < Samples.Length; i++)
        {
            BinaryPrimitives.WriteInt16LittleEndian(into[(HeaderBytes + (2 * i))..], (short)Math.Clamp(Math.Round(Samples[i] * 32767.0), short.MinValue, short.MaxValue));
        }

        return bytes;
    }

    private static DataException Fault(string name, string expected, string found, string remedy, long position) => new(name, expected, found, remedy, position: position);
}
