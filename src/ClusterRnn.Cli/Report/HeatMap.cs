// A square of weights as inline SVG: the cells are one small picture of the page's own colour, so that thousands of them cost
// little, with what each row and column stands for beside it.
using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using ClusterRnn.Models;

namespace ClusterRnn.Cli.Report;

/// <summary>Draws attention.</summary>
internal static class HeatMap
{
    private const int Cell = 14;
    private const int MostLabels = 48;

    /// <summary>Writes all maps of a model, a row of figures for each layer.</summary>
    /// <param name="html">The page.</param>
    /// <param name="labels">What each time step reads.</param>
    /// <param name="maps">The maps.</param>
    public static void Write(StringBuilder html, IReadOnlyList<string> labels, IReadOnlyList<AttentionMap> maps)
    {
        foreach (IGrouping<string, AttentionMap> layer in maps.GroupBy(map => map.Layer))
        {
            html.Append("<div class=\"pair\">\n");
            foreach (AttentionMap map in layer)
            {
                Write(html, $"{map.Layer}, head {map.Head + 1}", labels, map);
            }

            html.Append("</div>\n");
        }
    }

    private static void Write(StringBuilder html, string title, IReadOnlyList<string> labels, AttentionMap map)
    {
        int side = map.Time * Cell;
        bool isLabelled = map.Time <= MostLabels;
        int margin = isLabelled ? 14 + (7 * labels.Max(label => Shorten(label).Length)) : 8;
        html.Append("<figure><figcaption>").Append(Html.Text(title)).Append("</figcaption>\n");
        html.Append(CultureInfo.InvariantCulture, $"<svg class=\"map\" viewBox=\"0 0 {side + margin + 4} {side + margin + 4}\" role=\"img\" aria-label=\"{Html.Attribute(title)}\">\n");
        html.Append(CultureInfo.InvariantCulture, $"<rect class=\"frame\" x=\"{margin}\" y=\"{margin}\" width=\"{side}\" height=\"{side}\"/>\n");
        html.Append(CultureInfo.InvariantCulture, $"<image x=\"{margin}\" y=\"{margin}\" width=\"{side}\" height=\"{side}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{Convert.ToBase64String(Picture(map))}\"/>\n");
        for (int time = 0; time < map.Time && isLabelled; time++)
        {
            int at = margin + (time * Cell) + (Cell / 2);
            string label = Html.Text(Shorten(labels[time]));
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"y\" x=\"{margin - 6}\" y=\"{at}\">{label}</text><text class=\"y\" transform=\"translate({at} {margin - 6}) rotate(90)\">{label}</text>\n");
        }

        html.Append("</svg></figure>\n");
    }

    private static string Shorten(string label) => label == " " ? "␣" : label.Length <= 6 ? label : label[..5] + "…";

    // A PNG of one pixel a weight: the line colour, as opaque as the weight is large beside its row's largest.
    private static byte[] Picture(AttentionMap map)
    {
        var raw = new MemoryStream();
        for (int query = 0; query < map.Time; query++)
        {
            raw.WriteByte(0); // no filter
            ReadOnlySpan<float> row = map.Weights.AsSpan(query * map.Time, map.Time);
            float largest = 0;
            foreach (float weight in row)
            {
                largest = Math.Max(largest, weight);
            }

            foreach (float weight in row)
            {
                raw.Write([0x4b, 0x86, 0xf5, largest > 0 ? (byte)(255 * weight / largest) : (byte)0]);
            }
        }

        var packed = new MemoryStream();
        using (var zlib = new ZLibStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
        {
            zlib.Write(raw.GetBuffer().AsSpan(0, (int)raw.Length));
        }

        byte[] head = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(head, map.Time);
        BinaryPrimitives.WriteInt32BigEndian(head.AsSpan(4), map.Time);
        (head[8], head[9]) = (8, 6); // eight bits of red, green, blue and alpha
        var png = new MemoryStream();
        png.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a]);
        Chunk(png, "IHDR", head);
        Chunk(png, "IDAT", packed.ToArray());
        Chunk(png, "IEND", []);
        return png.ToArray();
    }

    private static void Chunk(Stream png, string kind, byte[] bytes)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, bytes.Length);
        png.Write(number);
        byte[] body = [.. Encoding.ASCII.GetBytes(kind), .. bytes];
        png.Write(body);
        uint crc = uint.MaxValue; // ISO 3309, as PNG asks for
        foreach (byte value in body)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xedb88320 : crc >> 1;
            }
        }

        BinaryPrimitives.WriteUInt32BigEndian(number, ~crc);
        png.Write(number);
    }
}
