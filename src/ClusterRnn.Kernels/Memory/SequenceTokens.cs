namespace ClusterRnn.Kernels.Memory;

/// <summary>The ids that every vocabulary of a pair of sequences begins with.</summary>
public static class SequenceTokens
{
    /// <summary>Fills a row after its end.</summary>
    public const int Padding = 0;

    /// <summary>What a decoder reads first.</summary>
    public const int Beginning = 1;

    /// <summary>What a decoder writes last.</summary>
    public const int End = 2;

    /// <summary>A token that is not in the vocabulary.</summary>
    public const int Unknown = 3;

    /// <summary>The first id of a token that is none of these.</summary>
    public const int First = 4;
}
