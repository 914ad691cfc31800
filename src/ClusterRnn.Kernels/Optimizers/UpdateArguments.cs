namespace ClusterRnn.Kernels.Optimizers;

/// <summary>The operands of an optimizer's kernel: a range of parameters and what belongs to them. Which numbers count is said at each optimizer.</summary>
public unsafe struct UpdateArguments
{
    /// <summary>Parameters in the range.</summary>
    public long Count;

    /// <summary>The parameters, updated in place.</summary>
    public float* Parameters; // [count]

    /// <summary>Their gradients; <see cref="GradientPreparation"/> and LAMB's first half overwrite them.</summary>
    public float* Gradients; // [count]

    /// <summary>The first moment or momentum buffer, updated in place; null where there is none.</summary>
    public float* First; // [count]

    /// <summary>The second moment, updated in place; null where there is none.</summary>
    public float* Second; // [count]

    /// <summary>The gradient is multiplied by this first (clipping by norm; 1 leaves it).</summary>
    public float Scale;

    /// <summary>The learning rate.</summary>
    public float LearningRate;

    /// <summary>Weight decay.</summary>
    public float WeightDecay;

    /// <summary>Momentum, alpha or beta 1.</summary>
    public float Decay1;

    /// <summary>1 minus beta 1, rounded from double.</summary>
    public float Complement1;

    /// <summary>Beta 2.</summary>
    public float Decay2;

    /// <summary>1 minus beta 2, rounded from double.</summary>
    public float Complement2;

    /// <summary>Bias correction of the first moment: 1 - beta1^t.</summary>
    public float Correction1;

    /// <summary>The root of the bias correction of the second moment: sqrt(1 - beta2^t).</summary>
    public float RootCorrection2;

    /// <summary>Added to denominators.</summary>
    public float Epsilon;

    /// <summary>Whether Nesterov's form of momentum is used.</summary>
    public bool Nesterov;
}
