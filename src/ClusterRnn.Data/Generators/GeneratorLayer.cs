namespace ClusterRnn.Data;

/// <summary>Keeps the generators' random numbers apart. The values are part of what a seed means; never renumber them.</summary>
internal static class GeneratorLayer
{
    public const uint Grammar = 1;
    public const uint NoisySine = 2;
    public const uint Seasonal = 3;
    public const uint RandomWalk = 4;
    public const uint MackeyGlass = 5;
    public const uint Copy = 6;
    public const uint Adding = 7;
    public const uint Digits = 8;
    public const uint DigitStrings = 9;
    public const uint Translation = 10;
    public const uint Air = 11;
    public const uint Sentiment = 30;
    public const uint Tagging = 31;
    public const uint SpokenWords = 32;
    public const uint Melodies = 33;
    public const uint Pictures = 34;
    public const uint Intents = 35;
    public const uint Answers = 36;
    public const uint Sessions = 37;
    public const uint Sensor = 38;
    public const uint Speech = 39;
}
