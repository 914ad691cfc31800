using System.Collections;
using System.Collections.Concurrent;
using System.Globalization;
using System.Reflection;
using System.Text;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Events;

/// <summary>Writes messages and effects as text.</summary>
internal static class TraceText
{
    private const int MostElements = 24;

    private static readonly ConcurrentDictionary<Type, PropertyInfo[]> s_properties = [];

    /// <summary>The text.</summary>
    public static string Of(object? value)
    {
        var text = new StringBuilder();
        Write(value, text);
        return text.ToString();
    }

    private static void Write(object? value, StringBuilder into)
    {
        switch (value)
        {
            case null:
                into.Append('-');
                break;
            case string or ActorId or Enum or bool:
                into.Append(value);
                break;
            case RangeMap map:
                into.Append(CultureInfo.InvariantCulture, $"revision {map.Revision} origin {map.Origin}");
                foreach (RangeOwner range in map.Ranges)
                {
                    into.Append(CultureInfo.InvariantCulture, $" [{range.Range}: {range.Owner}, fence {range.Fence}, since {range.Since}, replica {Of(range.Replica)} since {range.ReplicaSince}]");
                }

                break;
            case ReadOnlyMemory<byte> bytes:
                into.Append(CultureInfo.InvariantCulture, $"{bytes.Length} bytes");
                break;
            case IFormattable number when value.GetType().IsPrimitive:
                into.Append(number.ToString(null, CultureInfo.InvariantCulture));
                break;
            case Kernels.Reduction.ShardRange range:
                into.Append(CultureInfo.InvariantCulture, $"[{range.Start},{range.End})");
                break;
            case IEnumerable elements:
                WriteElements(elements, into);
                break;
            default:
                WriteRecord(value, into);
                break;
        }
    }

    private static void WriteElements(IEnumerable elements, StringBuilder into)
    {
        into.Append('[');
        int count = 0;
        foreach (object? element in elements)
        {
            if (count == MostElements)
            {
                into.Append(" ...");
                break;
            }

            into.Append(count++ == 0 ? "" : " ");
            Write(element, into);
        }

        into.Append(']');
    }

    private static void WriteRecord(object value, StringBuilder into)
    {
        PropertyInfo[] properties = s_properties.GetOrAdd(
            value.GetType(), type => [.. type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.GetIndexParameters().Length == 0 && p.Name != "EqualityContract")]);
        if (properties.Length == 0 || value.GetType().Namespace?.StartsWith("ClusterRnn", StringComparison.Ordinal) != true || value is Faults.FaultEvent)
        {
            into.Append(value);
            return;
        }

        into.Append(value.GetType().Name).Append(" {");
        foreach (PropertyInfo property in properties)
        {
            into.Append(' ').Append(property.Name).Append(' ');
            Write(property.GetValue(value), into);
        }

        into.Append(" }");
    }
}
