// What a config says about the optimizer: `optimizer: { name: adam, learningRate: 0.002 }`.
//
// Formulas and defaults are PyTorch's (torch.optim); LARS and LAMB, which PyTorch lacks, follow You et al., 2017 and
// 2020; both leave biases at the global rate without decay. The update itself is a kernel (ClusterRnn.Kernels.Optimizers); ParameterRange calls it for the blocks it owns.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace ClusterRnn.Training.Optimizers;

/// <summary>An optimizer and its constants.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "name")]
[JsonDerivedType(typeof(SgdConfig), "sgd")]
[JsonDerivedType(typeof(RmsPropConfig), "rmsprop")]
[JsonDerivedType(typeof(AdamConfig), "adam")]
[JsonDerivedType(typeof(AdamWConfig), "adamw")]
[JsonDerivedType(typeof(LarsConfig), "lars")]
[JsonDerivedType(typeof(LambConfig), "lamb")]
public abstract record OptimizerConfig
{
    /// <summary>The largest decay of a moment: with 1, or what rounds to it as a float, a moment would never move and its correction would divide by 0.</summary>
    public const double LargestDecay = 0.9999999;

    /// <summary>The least epsilon: with 0, a parameter whose gradients were all 0 would become 0 / 0; moments below 2^-100 are 0.</summary>
    public const double LeastEpsilon = 1e-30;

    /// <summary>The learning rate before schedule, warm-up and batch scaling; null takes the optimizer's default.</summary>
    [Description("Learning rate before schedule, warm-up and batch scaling")]
    [Range(0.0, 1e6)]
    public double? LearningRate { get; init; }

    /// <summary>The weight decay; null takes the optimizer's default. Added to the gradient, except in adamw and lamb, where it is decoupled.</summary>
    [Description("Weight decay: added to the gradient, decoupled in adamw and lamb")]
    [Range(0.0, 1e6)]
    public double? WeightDecay { get; init; }

    /// <summary>The learning rate used when the config names none.</summary>
    [JsonIgnore]
    public virtual double DefaultLearningRate => 1e-3;

    /// <summary>The weight decay used when the config names none.</summary>
    [JsonIgnore]
    public virtual double DefaultWeightDecay => 0;

    /// <summary>The names of the optimizer's vectors beside the parameters, as PyTorch names them in its state.</summary>
    [JsonIgnore]
    public abstract IReadOnlyList<string> Moments { get; }

    /// <summary>Whether the update needs a whole tensor's norms, so that servers' ranges must be cut at tensor boundaries.</summary>
    [JsonIgnore]
    public virtual bool NeedsWholeTensors => false;

    /// <summary>The learning rate that is used.</summary>
    public double ResolvedLearningRate() => LearningRate ?? DefaultLearningRate;

    /// <summary>The weight decay that is used.</summary>
    public double ResolvedWeightDecay() => WeightDecay ?? DefaultWeightDecay;
}

/// <summary>Stochastic gradient descent (torch.optim.SGD).</summary>
public sealed record SgdConfig : OptimizerConfig, IValidatableObject
{
    /// <summary>How much of the last update is carried on.</summary>
    [Description("Momentum")]
    [Range(0.0, 1.0)]
    public double Momentum { get; init; }

    /// <summary>Whether the momentum looks ahead.</summary>
    [Description("Nesterov momentum")]
    public bool Nesterov { get; init; }

    /// <inheritdoc/>
    public override double DefaultLearningRate => 0.01;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Moments => Momentum > 0 ? ["momentum_buffer"] : [];

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Nesterov && Momentum <= 0)
        {
            yield return new ValidationResult("'nesterov' looks ahead along the momentum, but 'momentum' is 0; set momentum (0.9, say) or leave nesterov out", [nameof(Nesterov)]);
        }
    }
}

/// <summary>RMSprop (torch.optim.RMSprop).</summary>
public sealed record RmsPropConfig : OptimizerConfig
{
    /// <summary>The decay of the mean square.</summary>
    [Description("Decay of the mean square")]
    [Range(0.0, LargestDecay)]
    public double Alpha { get; init; } = 0.99;

    /// <summary>Added to the root of the mean square.</summary>
    [Description("Added to the denominator")]
    [Range(LeastEpsilon, 1.0)]
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>How much of the last update is carried on.</summary>
    [Description("Momentum")]
    [Range(0.0, 1.0)]
    public double Momentum { get; init; }

    /// <inheritdoc/>
    public override double DefaultLearningRate => 0.01;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Moments => ["square_avg", "momentum_buffer"];
}

/// <summary>Adam (torch.optim.Adam); weight decay is added to the gradient.</summary>
public sealed record AdamConfig : OptimizerConfig
{
    /// <summary>The decay of the first moment.</summary>
    [Description("Decay of the first moment")]
    [Range(0.0, LargestDecay)]
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay of the second moment.</summary>
    [Description("Decay of the second moment")]
    [Range(0.0, LargestDecay)]
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment.</summary>
    [Description("Added to the denominator")]
    [Range(LeastEpsilon, 1.0)]
    public double Epsilon { get; init; } = 1e-8;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Moments => ["exp_avg", "exp_avg_sq"];
}

/// <summary>AdamW (torch.optim.AdamW): Adam with decoupled weight decay.</summary>
public sealed record AdamWConfig : OptimizerConfig
{
    /// <summary>The decay of the first moment.</summary>
    [Description("Decay of the first moment")]
    [Range(0.0, LargestDecay)]
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay of the second moment.</summary>
    [Description("Decay of the second moment")]
    [Range(0.0, LargestDecay)]
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment.</summary>
    [Description("Added to the denominator")]
    [Range(LeastEpsilon, 1.0)]
    public double Epsilon { get; init; } = 1e-8;

    /// <inheritdoc/>
    public override double DefaultWeightDecay => 0.01;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Moments => ["exp_avg", "exp_avg_sq"];
}

/// <summary>LARS (You et al., 2017): SGD with momentum, each tensor's gradient scaled to the tensor's own norm.</summary>
public sealed record LarsConfig : OptimizerConfig
{
    /// <summary>How much of the last update is carried on.</summary>
    [Description("Momentum")]
    [Range(0.0, 1.0)]
    public double Momentum { get; init; } = 0.9;

    /// <summary>The trust coefficient: the length of an update relative to the tensor's norm.</summary>
    [Description("Trust coefficient")]
    [Range(0.0, 1e6)]
    public double Trust { get; init; } = 1e-3;

    /// <summary>Added to the norms' denominator.</summary>
    [Description("Added to the denominator of the trust ratio")]
    [Range(LeastEpsilon, 1.0)]
    public double Epsilon { get; init; } = 1e-8;

    /// <inheritdoc/>
    public override double DefaultLearningRate => 1.0;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Moments => ["momentum_buffer"];

    /// <inheritdoc/>
    public override bool NeedsWholeTensors => true;
}

/// <summary>LAMB (You et al., 2019): Adam whose update is scaled to each tensor's norm; weight decay is decoupled.</summary>
public sealed record LambConfig : OptimizerConfig
{
    /// <summary>The decay of the first moment.</summary>
    [Description("Decay of the first moment")]
    [Range(0.0, LargestDecay)]
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay of the second moment.</summary>
    [Description("Decay of the second moment")]
    [Range(0.0, LargestDecay)]
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment.</summary>
    [Description("Added to the denominator")]
    [Range(LeastEpsilon, 1.0)]
    public double Epsilon { get; init; } = 1e-6;

    /// <inheritdoc/>
    public override double DefaultWeightDecay => 0.01;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Moments => ["exp_avg", "exp_avg_sq"];

    /// <inheritdoc/>
    public override bool NeedsWholeTensors => true;
}

/// <summary>Penalties on the parameters, added to the gradient after clipping: <c>l1 * sign(w) + l2 * w</c>.</summary>
public sealed record RegularizationConfig
{
    /// <summary>The weight of the sum of absolute values.</summary>
    [Description("Adds l1 * sign(w) to the gradient")]
    [Range(0.0, 1e6)]
    public double L1 { get; init; }

    /// <summary>The weight of half the sum of squares (PyTorch's weight_decay).</summary>
    [Description("Adds l2 * w to the gradient, as PyTorch's weight_decay does")]
    [Range(0.0, 1e6)]
    public double L2 { get; init; }
}

/// <summary>Limits on the averaged gradient; the norm is limited first.</summary>
public sealed record ClipConfig
{
    /// <summary>The largest global norm, or null for none (torch.nn.utils.clip_grad_norm_).</summary>
    [Description("Largest global norm of the gradient")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double? Norm { get; init; }

    /// <summary>The largest absolute value of an element, or null for none (torch.nn.utils.clip_grad_value_).</summary>
    [Description("Largest absolute value of an element of the gradient")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double? Value { get; init; }
}
