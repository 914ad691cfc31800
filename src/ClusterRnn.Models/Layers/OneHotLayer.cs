using System.Runtime.InteropServices;

namespace ClusterRnn.Models;

/// <summary>Each token as a vector of zeros with a single one; all zeros for a token outside the vocabulary.</summary>
internal sealed unsafe class OneHotLayer(string name, int vocabulary) : Layer(name)
{
    /// <inheritdoc/>
    public override int OutputWidth => vocabulary;

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan) => Output.ReserveValues(plan);

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        NativeMemory.Clear(Output.At(scope.From), (nuint)scope.Cells * (nuint)Output.Stride * sizeof(float));
        for (int cell = scope.FirstCell; cell < scope.FirstCell + scope.Cells; cell++)
        {
            int token = Input.Tokens[cell];
            if ((uint)token < (uint)vocabulary)
            {
                Output.Values[(long)cell * Output.Stride + token] = 1f;
            }
        }
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
    }
}
