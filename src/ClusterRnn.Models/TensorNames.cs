using System.IO.Enumeration;

namespace ClusterRnn.Models;

/// <summary>How people name tensors: <c>lstm.weight_hh_l0</c> by itself, all of a layer by its name, several by patterns.</summary>
public static class TensorNames
{
    /// <summary>Whether <paramref name="pattern"/> names the tensor, or a layer it is of: the name, or its part before any dot, with * for any characters and ? for one.</summary>
    public static bool Matches(string pattern, string tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        for (int end = tensor.IndexOf('.'); end >= 0; end = tensor.IndexOf('.', end + 1))
        {
            if (FileSystemName.MatchesSimpleExpression(pattern, tensor.AsSpan(0, end), ignoreCase: false))
            {
                return true;
            }
        }

        return FileSystemName.MatchesSimpleExpression(pattern, tensor, ignoreCase: false);
    }
}
