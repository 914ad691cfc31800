namespace ClusterRnn.Kernels.Gates;

/// <summary>A function applied to each element.</summary>
public enum Activation
{
    /// <summary>x.</summary>
    Identity,

    /// <summary>The hyperbolic tangent.</summary>
    Tanh,

    /// <summary>x where x is positive or NaN, else +0.</summary>
    Relu,

    /// <summary>1 / (1 + exp(-x)).</summary>
    Sigmoid,
}
