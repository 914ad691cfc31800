// Visits to a shop: items of twenty themes in three qualities each. A visitor likes one quality, goes on within a theme, looks at what
// goes with the last item, seldom at the same again, and at times turns to one of two related themes; to which, the theme before
// tells. The last item says much, the visit as a whole more.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Generated sessions.</summary>
internal static class ShopVisits
{
    private const int Qualities = 3;
    private const int ItemsOfAQuality = 10;

    private static readonly string[] Themes =
    [
        "camping", "kitchen", "garden", "running", "cycling", "baking", "painting", "office", "baby", "dog",
        "cat", "fishing", "sewing", "gaming", "travel", "beach", "skiing", "yoga", "music", "photo",
    ];

    /// <summary>The items of a session, in order.</summary>
    public static string[] Make(RandomKey key, int number)
    {
        int length = 3 + (int)key.Below(number, 0, 0, 12), quality = (int)key.Below(number, 0, 1, Qualities);
        int theme = Skewed(0, 2, Themes.Length), before = theme;
        var items = new List<(int Theme, int Quality, int Item)>(length);
        for (int step = 1; step <= length; step++)
        {
            if (step > 1 && key.Below(number, step, 0, 6) == 0)
            {
                (theme, before) = ((theme * (before < theme ? 7 : 3)) + 3, theme);
                theme %= Themes.Length;
            }

            (int Theme, int Quality, int Item) item;
            int attempt = 0;
            do
            {
                int worn = key.Below(number, step, 1 + (4 * attempt), 6) == 0 ? (int)key.Below(number, step, 2 + (4 * attempt), Qualities) : quality;
                bool goesWith = attempt == 0 && items.Count > 0 && items[^1].Theme == theme && key.Below(number, step, 3, 3) == 0;
                item = (theme, worn, goesWith ? (items[^1].Item + 1) % ItemsOfAQuality : Skewed(step, 4 + (4 * attempt), ItemsOfAQuality));
                attempt++;
            }
            while (attempt < 5 && items.Contains(item));
            items.Add(item);
        }

        return [.. items.Select(item => $"{Themes[item.Theme]}-{(item.Item * Qualities) + item.Quality + 1}")];

        // The first ones are the most popular.
        int Skewed(int time, int element, int bound)
        {
            double share = key.UniformDouble(number, time, element);
            return (int)(share * share * bound);
        }
    }
}
