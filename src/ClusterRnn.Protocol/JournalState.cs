// What a chain of journals says, folded record by record in the order in which they were written.
//
// The host reads the files: it begins at the highest journal.<epoch>, whose first record names the predecessor and how many of
// its bytes count, goes back to the first, and adds the records oldest first. A torn or damaged tail of the last journal ends
// the reading; a commit that was torn is decided again and comes to the same bits.
namespace ClusterRnn.Protocol;

/// <summary>Stands where a journal's bytes are not those that were written: nobody knows what they said. Never written itself.</summary>
/// <param name="Journal">The journal.</param>
/// <param name="Offset">Where they begin, in bytes.</param>
/// <param name="Count">How many there are.</param>
public sealed record DamagedRecord(string Journal, long Offset, long Count) : JournalRecord
{
    /// <summary>What to tell a person.</summary>
    public string What => $"{Journal}: {Count} bytes from byte {Offset} on are not what was written (their checksum says so); what they recorded is not known";
}

/// <summary>A course of the job that begins at a checkpoint because a step after it was refused: the policy's state there is another one than the checkpoint's.</summary>
/// <param name="Version">The checkpoint's version.</param>
/// <param name="PolicyState">The policy's state from which the job goes on.</param>
public sealed record Course(long Version, ReadOnlyMemory<byte> PolicyState);

/// <summary>
/// The courses that a job is on: what it came to from the last one's version on holds for that course alone. Going back to before
/// a course began leaves it: the step that was refused comes again, and so does the course.
/// </summary>
public sealed class CourseHistory
{
    private readonly List<Course> _courses = []; // by version, each begun on the one before

    /// <summary>A course begins.</summary>
    /// <returns>The first step of which nothing is known any more.</returns>
    public long Begin(Course course)
    {
        ArgumentNullException.ThrowIfNull(course);
        _courses.RemoveAll(before => before.Version >= course.Version);
        _courses.Add(course);
        return course.Version;
    }

    /// <summary>The job goes back to a checkpoint.</summary>
    /// <returns>The first step of which nothing is known any more: the first of a course that began later; <see cref="long.MaxValue"/> when there is none.</returns>
    public long GoBackTo(long version)
    {
        long first = long.MaxValue;
        for (int i = _courses.Count - 1; i >= 0 && _courses[i].Version > version; i--)
        {
            first = _courses[i].Version;
            _courses.RemoveAt(i);
        }

        return first;
    }

    /// <summary>The course that began at a version, or null.</summary>
    public Course? At(long version) => _courses.Find(course => course.Version == version);
}

/// <summary>What a new coordinator has to know of its predecessors.</summary>
public sealed class JournalState
{
    private bool _mayLack; // what comes next may not follow what was before

    /// <summary>The epoch of the last journal, -1 before the first record.</summary>
    public long Epoch { get; private set; } = -1;

    /// <summary>The last verdict that counts, or null when no step of the present history is committed.</summary>
    public Messages.Verdict? Verdict { get; private set; }

    /// <summary>The version of the last whole checkpoint that a record tells of, -1 when there is none.</summary>
    public long CheckpointVersion { get; private set; } = -1;

    /// <summary>Who owned what at last, or null when nobody did.</summary>
    public RangeMap? Map { get; private set; }

    /// <summary>
    /// The version of the checkpoint to which the job went back when nobody has been given its content yet: what servers hold is of
    /// before. -1 when they hold what the map says.
    /// </summary>
    public long WentBackTo { get; private set; } = -1;

    /// <summary>How many records there were.</summary>
    public long Records { get; private set; }

    /// <summary>How often the job went back to a checkpoint.</summary>
    public long Rollbacks { get; private set; }

    /// <summary>Where the policy began another course.</summary>
    public CourseHistory Courses { get; } = new();

    /// <summary>What committed steps came to, by step. A rollback keeps them, since the steps executed again must come to the same; steps of another course do not.</summary>
    public StepDigests Digests { get; } = new();

    /// <summary>Folds records, oldest first.</summary>
    public static JournalState Of(IEnumerable<JournalRecord> records)
    {
        var state = new JournalState();
        foreach (JournalRecord record in records)
        {
            state.Add(record);
        }

        return state;
    }

    /// <summary>Takes in the next record.</summary>
    /// <exception cref="ArgumentException">An epoch is not higher than the one before, or a step is not the one after the last.</exception>
    public void Add(JournalRecord record)
    {
        Records++;
        switch (record)
        {
            case EpochRecord epoch:
                if (epoch.Epoch <= Epoch)
                {
                    throw new ArgumentException($"Epoch {epoch.Epoch} follows epoch {Epoch}: these are not the journals of one chain, oldest first.", nameof(record));
                }

                Epoch = epoch.Epoch;
                break;
            case VerdictRecord committed:
                if (_mayLack)
                {
                    Digests.RemoveFrom(committed.Verdict.Step); // the job may have gone back to before it, on another course
                }
                else if (Verdict is { } last && (committed.RowDigests.Length > 0 ? committed.Verdict.Step != last.Step + 1 : committed.Verdict.Step <= last.Step))
                {
                    throw new ArgumentException($"Step {committed.Verdict.Step} follows step {last.Step}: a record is missing, or a journal was adopted beyond its length.", nameof(record));
                }

                _mayLack = false;
                Verdict = committed.Verdict;
                if (committed.RowDigests.Length > 0)
                {
                    Digests.Add(committed.Verdict.Step, committed.Digest);
                }

                break;
            case CheckpointRecord saved:
                CheckpointVersion = saved.Version;
                break;
            case MapRecord map:
                Map = map.Map;
                WentBackTo = -1;
                break;
            case DamagedRecord:
                _mayLack = true;
                break;
            case RollbackRecord rollback:
                Verdict = null; // the step of the checkpoint comes next
                WentBackTo = rollback.Version;
                Rollbacks++;
                Digests.RemoveFrom(rollback.PolicyState.IsEmpty
                    ? Courses.GoBackTo(rollback.Version)
                    : Courses.Begin(new Course(rollback.Version, rollback.PolicyState)));

                break;
        }
    }
}
