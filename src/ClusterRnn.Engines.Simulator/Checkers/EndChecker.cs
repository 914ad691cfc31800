using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Protocol;
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>The job ends as the undisturbed one does, with the same bits; or it stops with the evidence when a worker computed wrong ones.</summary>
/// <param name="simulation">The run.</param>
internal sealed class EndChecker(Simulation simulation) : Checker(simulation, "end")
{
    /// <inheritdoc/>
    public override void Finished(EndJob end, SavedState? final)
    {
        ReferenceRun reference = Simulation.Plan.Job.Reference;
        if (end.Failed)
        {
            bool hasEvidence = end.Reason.Contains("differs", StringComparison.Ordinal) || end.Reason.Contains("no two answers that agree", StringComparison.Ordinal)
                || end.Reason.Contains("must give the same bits", StringComparison.Ordinal); // a wrong answer to a step executed again
            if (hasEvidence && Simulation.Plan.Faults.Any(fault => fault.Kind is FaultKind.WrongBits or FaultKind.NotFinite))
            {
                Simulation.Count("stopped with evidence");
                return;
            }

            if (reference.Failure is null || !end.Reason.Contains(reference.Failure, StringComparison.Ordinal))
            {
                throw Fail($"the job failed at step {end.Version}: {end.Reason}");
            }

            Simulation.Count("failed as the undisturbed run does");
            return;
        }

        if (reference.Failure is not null || end.Version != reference.Steps)
        {
            throw Fail($"the job ended at step {end.Version} ({end.Reason}), the undisturbed run at {reference.Steps} ({reference.Failure ?? "done"}).");
        }

        if (final is null)
        {
            if (!end.Reason.Contains("could not be saved", StringComparison.Ordinal))
            {
                throw Fail($"the job ended ({end.Reason}), and its last state was not gathered.");
            }

            Simulation.Count("ended unsaved");
            return;
        }

        using TrainingState state = Simulation.Plan.Job.Assemble(final.Contents, final.Policy);
        string hash = state.StateSha256();
        if (hash != reference.StateSha256)
        {
            throw Fail($"the job ended with stateSha256 {hash}, the undisturbed run with {reference.StateSha256}.");
        }
    }
}
