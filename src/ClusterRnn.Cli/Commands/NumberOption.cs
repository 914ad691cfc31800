using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace ClusterRnn.Cli.Commands;

/// <summary>An option whose value is a number within limits; anything else is refused in words.</summary>
internal static class NumberOption
{
    public static Option<T?> Of<T>(string name, string description, T minimum, T? maximum = null, string value = "N")
        where T : struct, INumber<T> => new(name)
        {
            Description = description,
            HelpName = value,
            CustomParser = result => Read(result, name, minimum, maximum),
        };

    private static T? Read<T>(ArgumentResult result, string name, T minimum, T? maximum)
        where T : struct, INumber<T>
    {
        string text = result.Tokens.Count == 0 ? "" : result.Tokens[^1].Value;
        bool isWhole = T.IsInteger(T.One / (T.One + T.One));
        NumberStyles styles = isWhole ? NumberStyles.AllowLeadingSign : NumberStyles.Float;
        if (T.TryParse(text, styles, CultureInfo.InvariantCulture, out T number)
            && T.IsFinite(number) && number >= minimum && (maximum is null || number <= maximum))
        {
            return number;
        }

        string limits = maximum is null
            ? string.Create(CultureInfo.InvariantCulture, $"from {minimum}")
            : string.Create(CultureInfo.InvariantCulture, $"from {minimum} to {maximum}");
        result.AddError($"{name} {text}: expected a {(isWhole ? "whole " : "")}number {limits}");
        return null;
    }
}
