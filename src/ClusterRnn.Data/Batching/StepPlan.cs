namespace ClusterRnn.Data;

/// <summary>
/// What one step reads: the window <c>[StartTime, StartTime + Time)</c> of every row's sequence, its last
/// <see cref="TargetTime"/> positions with targets.
/// </summary>
/// <param name="Version">The version the step starts from: how many steps were committed before it.</param>
/// <param name="Pass">Which pass over the data the step belongs to, from 0.</param>
/// <param name="StepInPass">Which step of its pass it is, from 0.</param>
/// <param name="Time">T: time steps of the window.</param>
/// <param name="TargetTime">How many of the last time steps have targets.</param>
/// <param name="StartTime">The absolute time of the window's first step within the rows' sequences.</param>
/// <param name="CaptureTime">
/// The state to commit is the one after this many time steps of the window, which is the state at the next window's
/// start; 0 when the next window starts where this one does. After a pass's last step nothing reads the state, since
/// the next pass starts from zero.
/// </param>
/// <param name="ResetState">Whether the incoming state is zero instead of the committed one.</param>
public readonly record struct StepPlan(
    long Version,
    long Pass,
    long StepInPass,
    int Time,
    int TargetTime,
    long StartTime,
    int CaptureTime,
    bool ResetState);
