namespace ClusterRnn.Data;

/// <summary>The name somebody probably meant.</summary>
public static class Nearest
{
    /// <summary>
    /// The candidate with the fewest edits (insert, delete, replace; case doesn't count) from <paramref name="name"/>,
    /// or null when none is nearer than half its length; ties go to the first in ordinal order.
    /// </summary>
    public static string? Of(string name, IEnumerable<string> candidates)
    {
        string? best = null;
        int bestEdits = Math.Max(name.Length, 2) / 2 + 1;
        foreach (string candidate in candidates.Order(StringComparer.Ordinal))
        {
            int edits = Edits(name.ToLowerInvariant(), candidate.ToLowerInvariant());
            if (edits < bestEdits)
            {
                best = candidate;
                bestEdits = edits;
            }
        }

        return best;
    }

    // Levenshtein's distance by the two-row recurrence.
    private static int Edits(string a, string b)
    {
        int[] previous = new int[b.Length + 1];
        int[] current = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++)
        {
            previous[j] = j;
        }

        for (int i = 1; i <= a.Length; i++)
        {
            current[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                current[j] = Math.Min(replaced, Math.Min(previous[j], current[j - 1]) + 1);
            }

            (previous, current) = (current, previous);
        }

        return previous[b.Length];
    }
}
