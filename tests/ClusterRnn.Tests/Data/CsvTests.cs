using System.Text;
using ClusterRnn.Data;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Data;

public sealed class CsvTests
{
    [Fact]
    public void Whatever_is_quoted_reads_back()
    {
        Gen<string> cell = Gen.Elements("a", "\"", ",", "\n", "\r\n", " ", "é", "世", "").ArrayOf().Select(parts => string.Concat(parts));
        Gen<string[][]> tables =
            from width in Gen.Choose(1, 4)
            from height in Gen.Choose(1, 6)
            from rows in cell.ArrayOf(width).ArrayOf(height)
            select rows;
        Check.One(Config.QuickThrowOnFailure, Prop.ForAll(tables.ToArbitrary(), rows =>
        {
            string text = string.Concat(rows.Select(row => string.Join(",", row.Select(value => $"\"{value.Replace("\"", "\"\"", StringComparison.Ordinal)}\"")) + "\r\n"));
            Assert.Equal(rows, CsvReader.Read("t", text).Select(row => row.Select(value => value.Text).ToArray()));
        }));
    }

    [Theory]
    [InlineData("a,b\n1,2\n")]
    [InlineData("a,b\r\n1,2")]
    [InlineData("\uFEFFa,b\n1,2\n\n\r\n")]
    [InlineData("\"a\",b\n1,\"2\"")]
    public void Line_ends_byte_order_marks_and_quotes_make_no_difference(string text)
    {
        IReadOnlyList<CsvCell[]> rows = CsvReader.Read("t", text);
        Assert.Equal(2, rows.Count);
        Assert.Equal(["a", "b"], rows[0].Select(cell => cell.Text));
        Assert.Equal(["1", "2"], rows[1].Select(cell => cell.Text));
    }

    [Theory]
    [InlineData("a,b\n1,", 2)]
    [InlineData("a,b\n,\n", 2)]
    [InlineData(",\n", 1)]
    public void Empty_cells_are_cells(string text, int rows)
    {
        Assert.Equal(rows, CsvReader.Read("t", text).Count);
        Assert.All(CsvReader.Read("t", text), row => Assert.Equal(2, row.Length));
    }

    [Theory]
    [InlineData("a,b\n1,2,3\n", 2, null, "2 cells")]
    [InlineData("a,b\n1\n", 2, null, "found 1")]
    [InlineData("a,b\n\"1\nx,2\n", 2, 1, "closing quote")]
    [InlineData("a,b\n1,\"2\"x\n", 2, 6, "'x'")]
    [InlineData("a,b\n1,2\"\n", 2, 4, "quote")]
    [InlineData("a,b\n\n1,2\n", 2, 1, "empty line")]
    [InlineData("a\n\"x\ny\"\n\"", 4, 1, "closing quote")]
    public void Malformed_text_is_refused_with_its_place(string text, int line, int? column, string says)
    {
        DataException fault = Assert.Throws<DataException>(() => CsvReader.Read("file.csv", text));
        Assert.Equal(line, fault.Line);
        Assert.Equal(column, fault.Column);
        Assert.Contains(says, fault.Message);
        Assert.StartsWith($"file.csv:{line}", fault.Message);
    }

    [Fact]
    public void Text_columns_label_and_numeric_ones_are_read_in_any_notation()
    {
        SeriesTable table = Parse("date,a,名前,c\n2020-01-01,1, -2.5e3 ,.5\n2020-01-02,+2,1E-3,7\n");
        Assert.Equal(["a", "名前", "c"], table.Columns);
        Assert.Equal([-2500, 0.001], table.Values[1]);
        Assert.Equal(["2020-01-01", "2020-01-02"], table.Labels);
        Assert.Equal(1, table.IndexOf("名前"));
        Assert.Equal(0, table.IndexOf("2"));
        Assert.Equal(2, table.IndexOf("last"));
        Assert.Contains("text", Assert.Throws<DataException>(() => table.IndexOf("date")).Message);
    }

    [Theory]
    [InlineData("NaN")]
    [InlineData("NA")]
    [InlineData("")]
    [InlineData("Infinity")]
    [InlineData("1e999")]
    [InlineData("1e39")]
    [InlineData("1,5")]
    [InlineData("12 Mio")]
    [InlineData("0x10")]
    public void A_cell_that_is_no_finite_number_is_named(string cell)
    {
        string text = $"day,temperature\n1,2\n2,\"{cell}\"\n";
        DataException fault = Assert.Throws<DataException>(() => Parse(text));
        Assert.Equal((3L, 3L), (fault.Line, fault.Column));
        Assert.Contains("'temperature'", fault.Message);
    }

    [Fact]
    public void A_missing_column_names_the_nearest()
    {
        DataException fault = Assert.Throws<DataException>(() => Parse("day,temperature\n1,2\n", "temprature"));
        Assert.Contains("Did you mean 'temperature'", fault.Message);
        Assert.Contains("day, temperature", fault.Message);
        Assert.Contains("last", Assert.Throws<DataException>(() => Parse("day,temperature\n1,2\n", "9")).Message);
    }

    [Fact]
    public void Missing_cells_take_the_last_value_where_that_is_asked_and_are_counted()
    {
        SeriesTable table = Parse("a,b\nNA,1\n5,2\n,3\nNaN,\n8,5\n", missing: MissingValues.Previous);
        Assert.Equal([5, 5, 5, 8], table.Values[0]);
        Assert.Equal([2, 3, 3, 5], table.Values[1]);
        Assert.Equal(3, table.Notes.Count);
        Assert.Contains("first 1 rows were dropped", table.Notes[0]);
        Assert.Contains("2 missing cells of column 'a'", table.Notes[1]);
        Assert.Contains("none in any row", Assert.Throws<DataException>(() => Parse("a\nNA\n\"\"\n", missing: MissingValues.Previous, required: "a")).Message);
    }

    [Fact]
    public void Files_without_rows_names_or_numbers_are_refused()
    {
        Assert.Contains("empty file", Assert.Throws<DataException>(() => Parse("")).Message);
        Assert.Contains("found none", Assert.Throws<DataException>(() => Parse("a,b\n")).Message);
        Assert.Contains("'a' twice", Assert.Throws<DataException>(() => Parse("a,b,a\n1,2,3\n")).Message);
        Assert.Contains("no number", Assert.Throws<DataException>(() => Parse("a;b\n1;2\n")).Message);
    }

    [Fact]
    public void Without_a_header_columns_are_called_by_number()
    {
        SeriesTable table = SeriesTable.Parse("t", "1;2\n3;4\n", "", header: false, ';', MissingValues.Error, [], takeOthers: true);
        Assert.Equal(["1", "2"], table.Columns);
        Assert.Equal([2, 4], table.Values[1]);
    }

    [Theory]
    [InlineData("airline-passengers.csv", "Passengers", 144)]
    [InlineData("daily-min-temperatures.csv", "Temp", 3650)]
    [InlineData("monthly-sunspots.csv", "Sunspots", 2820)]
    public void Real_series_are_read_whole(string file, string column, int rows)
    {
        byte[] bytes = Corpus.ReadFile(Scratch.Shared(file));
        SeriesTable table = Parse(Encoding.UTF8.GetString(bytes), column);
        Assert.Equal(rows, table.Rows);
        Assert.Equal(column, table.Columns[^1]);
    }

    [Fact]
    public void Air_quality_has_gaps_that_are_filled_and_reported()
    {
        string text = Encoding.UTF8.GetString(Corpus.ReadFile(Scratch.Shared("pollution.csv")));
        Assert.Equal(2, Assert.Throws<DataException>(() => Parse(text, "pm2.5")).Line);
        SeriesTable table = Parse(text, "pm2.5", MissingValues.Previous);
        Assert.Equal(43_800, table.Rows);
        Assert.Equal(3, table.Notes.Count);
        Assert.Contains(table.Notes, note => note.EndsWith("not read, for they hold no numbers: column 'cbwd'", StringComparison.Ordinal));
    }

    private static SeriesTable Parse(string text, string? required = null, MissingValues missing = MissingValues.Error) =>
        SeriesTable.Parse("file.csv", text, "", header: true, ',', missing, required is null ? [] : [required], takeOthers: true);
}
