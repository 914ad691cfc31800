// Weights as inline SVG: the cells are one small picture of the page's own colour, so that thousands of them cost
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
    private const int MostLetters = 10;
    private const int MostPixels = 480; // on the page, whatever its cells
    private const int MostScale = 2; // of a map of few cells

    /// <summary>What to say above the maps.</summary>
    public static string HowToRead(IReadOnlyList<AttentionMap> maps) =>
        (maps.Any(map => map.QuerySide == SequenceSide.Target)
            ? "The darker a cell, the more the token of its row rests on that of its column: where rows are the target's tokens, each as it is written, and columns the source's, it is what each token was made from."
            : "Each row is a time step, and the darker a cell, the more it attends to the time step of that column.")
        + " Each row is scaled to its largest weight.";

    /// <summary>Writes all maps of a model, a row of figures for each layer; those from target to source first.</summary>
    /// <param name="html">The page.</param>
    /// <param name="read">What each time step of the source reads.</param>
    /// <param name="written">What each time step of the target writes.</param>
    /// <param name="maps">The maps.</param>
    public static void Write(StringBuilder html, IReadOnlyList<string> read, IReadOnlyList<string> written, IReadOnlyList<AttentionMap> maps)
    {
        string[] readAgain = written.Count == 0 ? [] : ["<bos>", .. written.SkipLast(1)];
        foreach (IGrouping<(string Layer, bool IsAcross), AttentionMap> layer in maps.GroupBy(map => (map.Layer, map.QuerySide != map.KeySide)).OrderBy(layer => !layer.Key.Item2))
        {
            html.Append("<div class=\"pair\">\n");
            foreach (AttentionMap map in layer)
            {
                string head = layer.Count() > 1 ? $", head {map.Head + 1}" : "", sides = layer.Key.IsAcross ? ": from target to source" : "";
                Write(html, $"{map.Layer}{head}{sides}", map.QuerySide == SequenceSide.Source ? read : written, map.KeySide == SequenceSide.Source ? read : readAgain, map);
            }

            html.Append("</div>\n");
        }
    }

    private static void Write(StringBuilder html, string title, IReadOnlyList<string> rows, IReadOnlyList<string> columns, AttentionMap map)
    {
        int width = map.Keys * Cell, height = map.Queries * Cell;
        int left = MarginOf(rows), top = MarginOf(columns);
        html.Append("<figure><figcaption>").Append(Html.Text(title)).Append("</figcaption>\n");
        html.Append(CultureInfo.InvariantCulture, $"<svg class=\"map\" style=\"max-width:{Math.Min(MostPixels, MostScale * (width + left + 4))}px\" viewBox=\"0 0 {width + left + 4} {height + top + 4}\" role=\"img\" aria-label=\"{Html.Attribute(title)}\">\n");
        html.Append(CultureInfo.InvariantCulture, $"<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\n");
        html.Append(CultureInfo.InvariantCulture, $"<image x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{Convert.ToBase64String(Picture(map))}\"/>\n");
        for (int row = 0; row < map.Queries && rows.Count <= MostLabels; row++)
        {
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"y\" x=\"{left - 6}\" y=\"{top + (row * Cell) + (Cell / 2)}\">{Html.Text(Shorten(rows[row]))}</text>\n");
        }

        for (int column = 0; column < map.Keys && columns.Count <= MostLabels; column++)
        {
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"y\" transform=\"translate({left + (column * Cell) + (Cell / 2)} {top - 6}) rotate(90)\">{Html.Text(Shorten(columns[column]))}</text>\n");
        }

        html.Append("</svg></figure>\n");
    }

    private static int MarginOf(IReadOnlyList<string> labels) => labels.Count <= MostLabels ? 14 + (7 * labels.Max(label => Shorten(label).Length)) : 8;

    private static string Shorten(string label) => label == " " ? "␣" : label.Length <= MostLetters ? label : label[..(MostLetters - 1)] + "…";

    // A PNG of one pixel a weight: the line colour, as opaque as the weight is large beside its row's largest.
    private static byte[] Picture(AttentionMap map)
    {
        var raw = new MemoryStream();
        for (int query = 0; query < map.Queries; query++)
        {
            raw.WriteByte(0); // no filter
            ReadOnlySpan<float> row = map.Weights.AsSpan(query * map.Keys, map.Keys);
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
        BinaryPrimitives.WriteInt32BigEndian(head, map.Keys);
        BinaryPrimitives.WriteInt32BigEndian(head.AsSpan(4), map.Queries);
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
