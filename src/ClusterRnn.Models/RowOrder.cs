// Rows of unequal length, the longest first. Then the rows that are still running at a time step are the first ones, and
// a layer computes those alone: a row that has ended costs nothing. Only an executor's own order changes: sums run over
// the rows of each shard in their global order (ShardRows), random numbers are keyed by global row slots, states and
// outputs are handed back as they came. A batch whose rows are in such an order already, or equally long, is read in place.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Models;

/// <summary>The order in which an executor computes the rows of a batch.</summary>
internal sealed unsafe class RowOrder
{
    private readonly int* tokens; // [segment T, B]: the inputs of a segment in this order
    private readonly float* features; // [segment T, B, features]
    private readonly int* targetTokens; // [segment T, B]: its targets
    private readonly float* targetValues; // [segment T, B, targets]
    private readonly int* places; // [B]: where row r lies
    private readonly int* rows; // [B]: which row lies at place p
    private readonly int* lengths; // [B]: of what lies at place p
    private readonly float* states; // [B, stateWidth]
    private readonly int stateWidth;
    private int count;
    private bool isSorted;

    /// <summary>Reserves room.</summary>
    /// <param name="arena">Where it is.</param>
    /// <param name="model">The model.</param>
    /// <param name="hasTokens">Whether the inputs are tokens.</param>
    /// <param name="segmentTime">The most time steps computed at once.</param>
    /// <param name="segmentTargetTime">The most of them with targets; 0 for an encoder.</param>
    /// <param name="maximumRows">The most rows.</param>
    public RowOrder(Arena arena, Model model, bool hasTokens, int segmentTime, int segmentTargetTime, int maximumRows)
    {
        long cells = (long)segmentTime * maximumRows, targets = (long)segmentTargetTime * maximumRows;
        bool hasClasses = model.Loss is LossKind.CrossEntropy or LossKind.Ctc;
        tokens = arena.Ints(hasTokens ? cells : 0);
        features = arena.Floats(hasTokens ? 0 : cells * model.InputWidth);
        targetTokens = arena.Ints(hasClasses ? targets : 0);
        targetValues = arena.Floats(hasClasses ? 0 : targets * model.TargetWidth);
        places = arena.Ints(maximumRows);
        rows = arena.Ints(maximumRows);
        lengths = arena.Ints(maximumRows);
        states = arena.Floats((long)maximumRows * model.StateWidth);
        stateWidth = model.StateWidth;
    }

    /// <summary>[B]: where each row lies, or null when rows lie as they came.</summary>
    public int* Places => isSorted ? places : null;

    /// <summary>[B]: which row lies at each place, or null when rows lie as they came.</summary>
    public int* Rows => isSorted ? rows : null;

    /// <summary>Where a row lies.</summary>
    public int PlaceOf(int row) => isSorted ? places[row] : row;

    /// <summary>Which row lies at a place.</summary>
    public int RowAt(int place) => isSorted ? rows[place] : place;

    /// <summary>[B]: the length of what lies at each place.</summary>
    public int* Lengths => lengths;

    /// <summary>Orders the rows of a batch: the longest first, rows of a length in their own order.</summary>
    public void Load(SpanBatch batch)
    {
        count = batch.Rows;
        isSorted = false;
        for (int row = 0; row < count; row++)
        {
            lengths[row] = batch.Lengths[row];
            isSorted |= row > 0 && lengths[row] > lengths[row - 1];
        }

        if (isSorted)
        {
            Sort(batch);
        }
    }

    /// <summary>A segment's tokens in this order.</summary>
    /// <param name="from">[time, B]: as they came.</param>
    /// <param name="time">Time steps.</param>
    public int* Tokens(int* from, int time) => Ordered(from, tokens, time);

    /// <summary>A segment's values in this order.</summary>
    /// <param name="from">[time, B, width]: as they came.</param>
    /// <param name="time">Time steps.</param>
    /// <param name="width">Values a cell.</param>
    public float* Features(float* from, int time, int width) => Ordered(from, features, time, width);

    /// <summary>A segment's target classes in this order.</summary>
    /// <param name="from">[time, B]: as they came.</param>
    /// <param name="time">Time steps with targets.</param>
    public int* TargetTokens(int* from, int time) => Ordered(from, targetTokens, time);

    /// <summary>A segment's target values in this order.</summary>
    /// <param name="from">[time, B, width]: as they came.</param>
    /// <param name="time">Time steps with targets.</param>
    /// <param name="width">Values a cell.</param>
    public float* TargetValues(float* from, int time, int width) => Ordered(from, targetValues, time, width);

    /// <summary>The incoming states in this order; null stays null.</summary>
    public float* StatesIn(float* stateIn)
    {
        if (!isSorted || stateIn is null)
        {
            return stateIn;
        }

        for (int place = 0; place < count; place++)
        {
            State(stateIn, rows[place]).CopyTo(State(states, place));
        }

        return states;
    }

    /// <summary>Where the outgoing states are written before <see cref="FinishStates"/>; null stays null.</summary>
    public float* StatesOut(float* stateOut) => isSorted && stateOut is not null ? states : stateOut;

    /// <summary>Hands the outgoing states back in the rows' own order.</summary>
    public void FinishStates(float* stateOut)
    {
        for (int place = 0; isSorted && stateOut is not null && place < count; place++)
        {
            State(states, place).CopyTo(State(stateOut, rows[place]));
        }
    }

    // Ranks by counting, so that nothing is needed but the rows' own memory; batches are small beside what is computed with them.
    private void Sort(SpanBatch batch)
    {
        for (int row = 0; row < count; row++)
        {
            int place = 0, length = batch.Lengths[row];
            for (int other = 0; other < count; other++)
            {
                place += batch.Lengths[other] > length || (batch.Lengths[other] == length && other < row) ? 1 : 0;
            }

            places[row] = place;
            rows[place] = row;
            lengths[place] = length;
        }
    }

    private int* Ordered(int* from, int* into, int time)
    {
        if (!isSorted || from is null)
        {
            return from;
        }

        int* next = into;
        for (int t = 0; t < time; t++, from += count)
        {
            for (int place = 0; place < count; place++)
            {
                *next++ = from[rows[place]];
            }
        }

        return into;
    }

    private float* Ordered(float* from, float* into, int time, int width)
    {
        if (!isSorted || from is null)
        {
            return from;
        }

        float* next = into;
        for (int t = 0; t < time; t++, from += (long)count * width)
        {
            for (int place = 0; place < count; place++, next += width)
            {
                new ReadOnlySpan<float>(from + ((long)rows[place] * width), width).CopyTo(new Span<float>(next, width));
            }
        }

        return into;
    }

    private Span<float> State(float* from, int row) => new(from + ((long)row * stateWidth), stateWidth);
}
