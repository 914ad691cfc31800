// The learning rate of an update, as a pure function of how many updates and passes are done and of how often the
// plateau reduced it. No state, no clock: any coordinator that asks again gets the same bits.
//
// rate = base * batch scaling * course(update or pass) * warm-up(update)
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Training.Schedules;

/// <summary>The resolved course of the learning rate.</summary>
public sealed class LearningRateSchedule
{
    private readonly ScheduleConfig config;
    private readonly long cosineLength;

    /// <summary>Resolves the schedule of a training.</summary>
    /// <exception cref="TrainingException">A cosine without a length in a training without an end.</exception>
    public LearningRateSchedule(TrainingSettings settings)
    {
        config = settings.Schedule;
        double ratio = settings.BatchRows / (double)(config.BaseBatch ?? settings.BatchRows);
        PeakRate = settings.Optimizer.ResolvedLearningRate() * config.Scaling switch
        {
            BatchScaling.Linear => ratio,
            BatchScaling.SquareRoot => Math.Sqrt(ratio),
            _ => 1.0,
        };
        if (config.Warmup is { } warmup)
        {
            double epochs = warmup.Epochs * (warmup.ScaleWithBatch ? ratio : 1.0);
            WarmupUpdates = warmup.Steps + (long)Math.Ceiling(epochs * settings.UpdatesPerPass);
        }

        if (config is CosineScheduleConfig cosine)
        {
            cosineLength = cosine.Length ?? (cosine.Unit == ScheduleUnit.Steps ? settings.MaximumUpdates : settings.MaximumPasses);
            if (cosineLength == long.MaxValue)
            {
                throw new TrainingException(
                    "schedule.length: expected a length for the cosine, because this training has no last step; set schedule.length, stop.steps or stop.epochs.");
            }
        }
    }

    /// <summary>The learning rate after batch scaling, before course and warm-up.</summary>
    public double PeakRate { get; }

    /// <summary>How many updates the warm-up lasts.</summary>
    public long WarmupUpdates { get; }

    /// <summary>The learning rate of the next update.</summary>
    /// <param name="update">Updates done so far.</param>
    /// <param name="pass">Passes over the data done so far.</param>
    /// <param name="reductions">How often the plateau has reduced it.</param>
    public double At(long update, long pass, int reductions)
    {
        double rate = config switch
        {
            StepScheduleConfig step => PeakRate * Power(step.Factor, Count(step.Unit) / step.Every),
            ExponentialScheduleConfig exponential => PeakRate * Power(exponential.Factor, Count(exponential.Unit)),
            CosineScheduleConfig cosine => Cosine(cosine.Minimum, Count(cosine.Unit)),
            PlateauScheduleConfig plateau => Math.Max(PeakRate * Power(plateau.Factor, reductions), Math.Min(PeakRate, plateau.Minimum)),
            _ => PeakRate,
        };
        return update < WarmupUpdates ? rate * ((update + 1) / (double)WarmupUpdates) : rate;

        long Count(ScheduleUnit unit) => unit == ScheduleUnit.Steps ? update : pass;
    }

    private double Cosine(double minimum, long count)
    {
        double floor = Math.Min(PeakRate, minimum);
        return count >= cosineLength
            ? floor
            : floor + (PeakRate - floor) * ((1.0 + ScalarMath.CosTurns(0.5 * (count / (double)cosineLength))) * 0.5);
    }

    // By squaring, so that every machine multiplies the same numbers in the same order.
    private static double Power(double factor, long exponent)
    {
        double result = 1.0;
        for (double square = factor; exponent > 0; exponent >>= 1, square *= square)
        {
            if ((exponent & 1) != 0)
            {
                result *= square;
            }
        }

        return result;
    }
}
