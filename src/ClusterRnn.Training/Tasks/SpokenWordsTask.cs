// Recordings of a word each, told apart by their spectra. How many are right stands beside always naming the most frequent word.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>Words of recordings.</summary>
public sealed class SpokenWordsTask : LabelledTask
{
    private protected override TaskOutcome Judge(LabelledPart part, Dataset data) => new([part.Accuracy("words")], [part.ClassTable()], [], null);

    private protected override IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request) => request.Input is { } input
        ? LabelledInput.Recordings(input, (SpokenWordsData)trained.Job.Data, trained.Artefact)
        : throw new DataException("predict", "a recording, a folder or a glob of them", "none", "Put it after the run: predict RUN word.wav");

    private protected override Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation) =>
        NamesOf(asked, "Words", "recording", "word", example => Path.GetFileName(example.Name), cancellation);
}
