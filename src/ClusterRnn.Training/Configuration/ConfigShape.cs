// What a configuration may contain, read off the records themselves: System.Text.Json's metadata gives names, required
// members and variants; System.ComponentModel's attributes give descriptions and ranges. The loader, the writer, the
// JSON Schema and the help all look here, so a key is declared in one place, its record.
using System.Collections.Concurrent;
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace ClusterRnn.Training.Configuration;

/// <summary>What kind of value a key takes.</summary>
public enum ConfigKind
{
    /// <summary>true or false.</summary>
    Boolean,

    /// <summary>A whole number.</summary>
    Integer,

    /// <summary>A number.</summary>
    Number,

    /// <summary>Text.</summary>
    Text,

    /// <summary>One of a few names.</summary>
    Choice,

    /// <summary>A list of values of one kind.</summary>
    List,

    /// <summary>Free keys with values of one kind.</summary>
    Map,

    /// <summary>The keys of a record.</summary>
    Record,

    /// <summary>The keys of one of several records, chosen by a discriminating key.</summary>
    Variant,
}

/// <summary>A key of a record.</summary>
/// <param name="Name">The key as written in a file.</param>
/// <param name="MemberName">The property's name in C#.</param>
/// <param name="Shape">What its value may be.</param>
/// <param name="Required">Whether it must be given.</param>
/// <param name="Nullable">Whether null (nothing) is allowed.</param>
/// <param name="Description">What it is for.</param>
/// <param name="Range">The numbers allowed, or null.</param>
/// <param name="MinimumLength">The fewest items of a list or characters of a text.</param>
/// <param name="Default">The value when it is not given, or null.</param>
public sealed record ConfigKey(
    string Name,
    string MemberName,
    ConfigShape Shape,
    bool Required,
    bool Nullable,
    string? Description,
    RangeAttribute? Range,
    int MinimumLength,
    JsonNode? Default)
{
    /// <summary>What a text must look like, with the same in words as its error message; or null.</summary>
    public RegularExpressionAttribute? Pattern { get; init; }

    /// <summary>The variant that is meant when the discriminating key is left out, or null when it must be given.</summary>
    public string? DefaultVariant => Shape.Kind == ConfigKind.Variant && Default is JsonObject json ? json[Shape.Discriminator!]?.GetValue<string>() : null;
}

/// <summary>What a value may be.</summary>
public sealed class ConfigShape
{
    private static readonly ConcurrentDictionary<Type, ConfigShape> Known = new();
    private readonly Lazy<IReadOnlyList<ConfigKey>> _keys;
    private readonly Lazy<ConfigShape?> _element;
    private readonly Lazy<IReadOnlyDictionary<string, ConfigShape>> _variants;

    private ConfigShape(Type type)
    {
        Type = type;
        JsonTypeInfo info = ConfigJson.Options.GetTypeInfo(type);
        TypeCode code = Type.GetTypeCode(type);
        if (type.IsEnum)
        {
            Kind = ConfigKind.Choice;
            Choices = [.. Enum.GetValues(type).Cast<object>().Select(v => JsonSerializer.SerializeToNode(v, type, ConfigJson.Options)!.GetValue<string>())];
        }
        else if (code == TypeCode.Boolean)
        {
            Kind = ConfigKind.Boolean;
        }
        else if (code is >= TypeCode.SByte and <= TypeCode.UInt64)
        {
            Kind = ConfigKind.Integer;
        }
        else if (code is TypeCode.Single or TypeCode.Double or TypeCode.Decimal)
        {
            Kind = ConfigKind.Number;
        }
        else if (code == TypeCode.String)
        {
            Kind = ConfigKind.Text;
        }
        else if (info.Kind == JsonTypeInfoKind.Enumerable)
        {
            Kind = ConfigKind.List;
        }
        else if (info.Kind == JsonTypeInfoKind.Dictionary)
        {
            Kind = ConfigKind.Map;
        }
        else if (info.PolymorphismOptions is { } polymorphism)
        {
            Kind = ConfigKind.Variant;
            Discriminator = polymorphism.TypeDiscriminatorPropertyName;
        }
        else if (info.Kind == JsonTypeInfoKind.Object)
        {
            Kind = ConfigKind.Record;
        }
        else
        {
            throw new NotSupportedException($"{type} can't be a member of a configuration record: its kind is {info.Kind}.");
        }

        _keys = new(() => ReadKeys(info));
        _element = new(() => info.ElementType is { } element ? Of(element) : null);
        _variants = new(() => info.PolymorphismOptions!.DerivedTypes.ToDictionary(d => (string)d.TypeDiscriminator!, d => d.DerivedType == type ? new ConfigShape(type, info) : Of(d.DerivedType)));
    }

    private ConfigShape(Type type, JsonTypeInfo info)
    {
        Type = type;
        Kind = ConfigKind.Record;
        _keys = new(() => ReadKeys(info));
        _element = new(() => null);
        _variants = new(() => new Dictionary<string, ConfigShape>());
    }

    /// <summary>The type whose values these are.</summary>
    public Type Type { get; }

    /// <summary>What kind of value it is.</summary>
    public ConfigKind Kind { get; }

    /// <summary>The names of a <see cref="ConfigKind.Choice"/>.</summary>
    public IReadOnlyList<string> Choices { get; } = [];

    /// <summary>The key that chooses among <see cref="Variants"/>, or null.</summary>
    public string? Discriminator { get; }

    /// <summary>The keys of a record, in the order of declaration.</summary>
    public IReadOnlyList<ConfigKey> Keys => _keys.Value;

    /// <summary>What the items of a list or map may be.</summary>
    public ConfigShape? Element => _element.Value;

    /// <summary>The records of a variant by the discriminating name.</summary>
    public IReadOnlyDictionary<string, ConfigShape> Variants => _variants.Value;

    /// <summary>What the record is for, from its [Description].</summary>
    public string? Description => Type.GetCustomAttribute<DescriptionAttribute>()?.Description;

    /// <summary>The shape of <paramref name="type"/> (nullable value types as their plain type).</summary>
    public static ConfigShape Of(Type type) => Known.GetOrAdd(Nullable.GetUnderlyingType(type) ?? type, static t => new ConfigShape(t));

    /// <summary>The value's kind in words: "a whole number", "one of sum, mean".</summary>
    public string Words(RangeAttribute? range = null) => Kind switch
    {
        ConfigKind.Boolean => "true or false",
        ConfigKind.Integer => "a whole number" + RangeWords(range),
        ConfigKind.Number => "a number" + RangeWords(range),
        ConfigKind.Text => "text",
        ConfigKind.Choice => "one of " + string.Join(", ", Choices),
        ConfigKind.List => $"a list in which each item is {Element!.Words()}",
        ConfigKind.Map => $"keys whose values are each {Element!.Words()}",
        ConfigKind.Variant => $"keys of which '{Discriminator}' is one of {string.Join(", ", Variants.Keys)}",
        _ => "keys (" + string.Join(", ", Keys.Select(k => k.Name)) + ")",
    };

    /// <summary>The limits in words, or nothing.</summary>
    public static string RangeWords(RangeAttribute? range)
    {
        if (range is null)
        {
            return "";
        }

        (double minimum, double maximum) = Limits(range);
        string lower = (range.MinimumIsExclusive ? "above " : "at least ") + Text(minimum);
        string upper = (range.MaximumIsExclusive ? "below " : "at most ") + Text(maximum);
        bool openBelow = double.IsNegativeInfinity(minimum) || minimum is double.MinValue or float.MinValue or int.MinValue or long.MinValue;
        bool openAbove = double.IsPositiveInfinity(maximum) || maximum is double.MaxValue or float.MaxValue or int.MaxValue or long.MaxValue;
        return (openBelow, openAbove) switch
        {
            (true, true) => "",
            (true, false) => ", " + upper,
            (false, true) => ", " + lower,
            _ => $", {lower} and {upper}",
        };

        static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);
    }

    /// <summary>The limits as numbers.</summary>
    public static (double Minimum, double Maximum) Limits(RangeAttribute range) =>
        (Convert.ToDouble(range.Minimum, CultureInfo.InvariantCulture), Convert.ToDouble(range.Maximum, CultureInfo.InvariantCulture));

    private static List<ConfigKey> ReadKeys(JsonTypeInfo info)
    {
        object? blank = Blank(info.Type);
        var keys = new List<ConfigKey>(info.Properties.Count);
        foreach (JsonPropertyInfo property in info.Properties)
        {
            var member = property.AttributeProvider as MemberInfo;
            bool required = property.IsRequired || member?.GetCustomAttribute<RequiredAttribute>() is not null;
            object? value = blank is not null && !required && property.Get is { } get ? get(blank) : null;
            bool nullable = property.PropertyType.IsValueType
                ? Nullable.GetUnderlyingType(property.PropertyType) is not null
                : property.IsSetNullable;
            keys.Add(new ConfigKey(
                property.Name,
                member?.Name ?? property.Name,
                Of(property.PropertyType),
                required,
                nullable,
                member?.GetCustomAttribute<DescriptionAttribute>()?.Description,
                member?.GetCustomAttribute<RangeAttribute>(),
                member?.GetCustomAttribute<MinLengthAttribute>()?.Length ?? 0,
                value is null ? null : JsonSerializer.SerializeToNode(value, property.PropertyType, ConfigJson.Options))
            {
                Pattern = member?.GetCustomAttribute<RegularExpressionAttribute>(),
            });
        }

        return keys;
    }

    /// <summary>An instance with every default, to read the defaults from; null where the type can't be made without arguments.</summary>
    private static object? Blank(Type type)
    {
        if (type.IsAbstract)
        {
            return null;
        }

        // Reflection does not enforce required members, which is what is wanted here.
        if (type.GetConstructor(Type.EmptyTypes) is { } constructor)
        {
            return constructor.Invoke(null);
        }

        ConstructorInfo? primary = type.GetConstructors().MaxBy(c => c.GetParameters().Length);
        return primary?.Invoke([.. primary.GetParameters().Select(p => p.HasDefaultValue ? p.DefaultValue : p.ParameterType.IsValueType ? Activator.CreateInstance(p.ParameterType) : null)]);
    }
}

/// <summary>How configurations are written as JSON: in checkpoints, and on the way from YAML to records.</summary>
public static class ConfigJson
{
    /// <summary>camelCase keys, kebab-case names of choices, unknown keys refused.</summary>
    public static JsonSerializerOptions Options { get; } = Make();

    // What a record computes from its members is no member of the file.
    private static void LeaveOutComputed(JsonTypeInfo info)
    {
        for (int i = info.Properties.Count - 1; i >= 0; i--)
        {
            if (info.Properties[i].Set is null && info.Properties[i].AttributeProvider is PropertyInfo { CanWrite: false })
            {
                info.Properties.RemoveAt(i);
            }
        }
    }

    private static JsonSerializerOptions Make()
    {
        var options = new JsonSerializerOptions
        {
            PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
            WriteIndented = true,
            NewLine = "\n",
            AllowOutOfOrderMetadataProperties = true,
            DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
            UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
            RespectNullableAnnotations = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            TypeInfoResolver = new DefaultJsonTypeInfoResolver { Modifiers = { LeaveOutComputed } },
        };
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false));
        options.MakeReadOnly();
        return options;
    }
}
