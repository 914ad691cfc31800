using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Data;

public sealed unsafe class TokenStreamTests
{
    private static readonly Gen<(int Tokens, int Streams, int Span, int LookBack)> Shapes =
        from tokens in Gen.Choose(2, 300)
        from streams in Gen.Choose(1, 20)
        from span in Gen.Choose(1, 20)
        from more in Gen.Frequency((1, Gen.Constant(0)), (2, Gen.Choose(1, 45)))
        select (tokens, streams, span, span + more);

    [Fact]
    public void Every_target_is_counted_once_per_pass_and_every_input_is_the_token_before()
    {
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(300), Prop.ForAll(Shapes.ToArbitrary(), shape =>
        {
            TokenStreamSource source = Numbered(shape);
            using var batch = Batch(source);
            int[] counted = new int[shape.Tokens];
            for (long version = source.StepsPerPass; version < 2 * source.StepsPerPass; version++)
            {
                StepPlan plan = source.Plan(version);
                Assert.Equal(1, plan.Pass);
                source.Fill(plan, 0, source.BatchRows, batch);
                int context = plan.Time - plan.TargetTime;
                for (int row = 0; row < batch.Rows; row++)
                {
                    long first = source.StreamOf(row).First;
                    for (int time = 0; time < batch.Lengths[row]; time++)
                    {
                        Assert.Equal(first + plan.StartTime + time, batch.Tokens[time * batch.Rows + row]);
                    }

                    for (int time = 0; time < plan.TargetTime; time++)
                    {
                        int target = batch.TargetTokens[time * batch.Rows + row];
                        if (context + time < batch.Lengths[row])
                        {
                            Assert.Equal(batch.Tokens[(context + time) * batch.Rows + row] + 1, target);
                            counted[target]++;
                        }
                        else
                        {
                            Assert.Equal(-1, target);
                        }
                    }
                }
            }

            Assert.Equal(0, counted[0]);
            Assert.All(counted.Skip(1), count => Assert.Equal(1, count));
            Assert.Equal(counted.Sum(), source.TargetsPerPass);
        }));
    }

    [Fact]
    public void Streams_differ_by_at_most_one_target_and_touch()
    {
        Check.One(Config.QuickThrowOnFailure, Prop.ForAll(Shapes.ToArbitrary(), shape =>
        {
            TokenStreamSource source = Numbered(shape);
            long end = 0, shortest = long.MaxValue, longest = 0;
            for (int stream = 0; stream < source.BatchRows; stream++)
            {
                (long first, long count) = source.StreamOf(stream);
                Assert.Equal(end, first);
                end = first + count;
                shortest = Math.Min(shortest, count);
                longest = Math.Max(longest, count);
            }

            Assert.Equal(shape.Tokens - 1, end);
            Assert.InRange(longest - shortest, 0, 1);
            Assert.Equal(longest, source.LongestStream);
        }));
    }

    [Fact]
    public void Windows_follow_k1_and_k2_and_the_captured_state_is_the_next_windows_first()
    {
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(300), Prop.ForAll(Shapes.ToArbitrary(), shape =>
        {
            TokenStreamSource source = Numbered(shape);
            for (long step = 0; step < source.StepsPerPass; step++)
            {
                StepPlan plan = source.Plan(step);
                long start = Math.Max(0, (step + 1) * shape.Span - shape.LookBack);
                bool last = step == source.StepsPerPass - 1;
                Assert.Equal(start, plan.StartTime);
                Assert.Equal(last ? source.LongestStream : (step + 1) * shape.Span, plan.StartTime + plan.Time);
                Assert.Equal(start == 0, plan.ResetState);
                Assert.InRange(plan.TargetTime, 1, shape.Span);
                Assert.InRange(plan.Time, plan.TargetTime, source.MaximumTime);
                Assert.InRange(plan.CaptureTime, 0, plan.Time);
                if (!last)
                {
                    Assert.Equal(source.Plan(step + 1).StartTime, plan.StartTime + plan.CaptureTime);
                }
            }

            Assert.Equal(source.Plan(0) with { Version = source.StepsPerPass, Pass = 1 }, source.Plan(source.StepsPerPass));
        }));
    }

    [Fact]
    public void Following_the_captured_state_meets_every_token_of_a_stream_once_and_in_order()
    {
        // A "state" that remembers how many tokens it has seen is right at every window's start.
        var source = new TokenStreamSource(new int[1000], 3, 7, 19, true, "");
        long state = -1;
        for (long step = 0; step < source.StepsPerPass; step++)
        {
            StepPlan plan = source.Plan(step);
            long incoming = plan.ResetState ? 0 : state;
            Assert.Equal(plan.StartTime, incoming);
            state = incoming + plan.CaptureTime;
        }
    }

    [Fact]
    public void Any_cut_of_the_rows_reads_the_same()
    {
        var source = new TokenStreamSource(Enumerable.Range(0, 101).ToArray(), 6, 4, 9, true, "");
        using var whole = Batch(source);
        using var part = Batch(source);
        for (long version = 0; version < source.StepsPerPass; version++)
        {
            StepPlan plan = source.Plan(version);
            source.Fill(plan, 0, 6, whole);
            foreach ((int first, int count) in new[] { (0, 1), (1, 3), (4, 2) })
            {
                source.Fill(plan, first, count, part);
                Assert.Equal(first, part.FirstRow);
                Assert.Equal(RowDigest.Of(whole, first, count), RowDigest.Of(part, 0, count));
            }
        }
    }

    [Fact]
    public void The_digest_sees_a_changed_token_target_length_row_and_place()
    {
        var source = new TokenStreamSource(Enumerable.Range(0, 101).ToArray(), 2, 5, 5, true, "");
        using var batch = Batch(source);
        source.Fill(source.Plan(1), 0, 2, batch);
        ulong digest = RowDigest.Of(batch, 0, 2);
        var others = new HashSet<ulong> { digest };
        batch.Tokens[3] ^= 1;
        Assert.True(others.Add(RowDigest.Of(batch, 0, 2)));
        batch.Tokens[3] ^= 1;
        batch.TargetTokens[9] ^= 1;
        Assert.True(others.Add(RowDigest.Of(batch, 0, 2)));
        batch.TargetTokens[9] ^= 1;
        batch.Lengths[1]--;
        Assert.True(others.Add(RowDigest.Of(batch, 0, 2)));
        batch.Lengths[1]++;
        batch.RowIds[0] = 7;
        Assert.True(others.Add(RowDigest.Of(batch, 0, 2)));
        batch.RowIds[0] = 0;
        batch.FirstRow = 1;
        Assert.True(others.Add(RowDigest.Of(batch, 0, 2)));
        batch.FirstRow = 0;
        Assert.Equal(digest, RowDigest.Of(batch, 0, 2));
    }

    [Fact]
    public void Filling_allocates_nothing()
    {
        var source = new TokenStreamSource(Enumerable.Range(0, 1001).ToArray(), 8, 16, 20, true, "");
        using var batch = Batch(source);
        StepPlan plan = source.Plan(3);
        source.Fill(plan, 0, 8, batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            source.Fill(plan, 0, 8, batch);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void A_batch_that_does_not_fit_is_refused()
    {
        var source = new TokenStreamSource(new int[100], 4, 5, 5, true, "");
        using var narrow = new SpanBatch(4, 4, 0, 0);
        using var wrongKind = new SpanBatch(5, 4, 1, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => source.Fill(source.Plan(0), 0, 4, narrow));
        Assert.Throws<ArgumentOutOfRangeException>(() => source.Fill(source.Plan(0), 0, 4, wrongKind));
        Assert.Throws<ArgumentOutOfRangeException>(() => source.Fill(source.Plan(0), 2, 3, narrow));
        Assert.Throws<ArgumentOutOfRangeException>(() => source.Plan(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new TokenStreamSource(new int[100], 4, 5, 4, true, ""));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 3)]
    [InlineData(3, 8)]
    [InlineData(64, 8)]
    [InlineData(65, 8)]
    public void Rows_are_dealt_evenly_contiguously_and_completely(int rows, int shards)
    {
        int next = 0;
        for (int shard = 0; shard < shards; shard++)
        {
            (int first, int count) = Dealing.RowsOf(shard, shards, rows);
            Assert.Equal(next, first);
            Assert.InRange(count, rows / shards, (rows + shards - 1) / shards);
            next = first + count;
        }

        Assert.Equal(rows, next);
    }

    private static TokenStreamSource Numbered((int Tokens, int Streams, int Span, int LookBack) shape) => new(
        Enumerable.Range(0, shape.Tokens).ToArray(), shape.Streams, shape.Span, shape.LookBack, true, "");

    private static SpanBatch Batch(TokenStreamSource source) => new(source.MaximumTime, source.BatchRows, 0, 0);
}
