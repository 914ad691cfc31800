namespace ClusterRnn.Protocol;

/// <summary>What the last committed steps came to, by step: as many as <see cref="Limits.RememberedDigests"/>.</summary>
public sealed class StepDigests
{
    private long[] _steps = [];
    private ulong[] _digests = [];

    /// <summary>Keeps the digest of a step; of two steps in one place the later one stays.</summary>
    public void Add(long step, ulong digest)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        while (_steps.Length == 0 || (_steps[step % _steps.Length] != step && _steps[step % _steps.Length] >= 0 && _steps.Length < Limits.RememberedDigests))
        {
            Grow();
        }

        _steps[step % _steps.Length] = step;
        _digests[step % _steps.Length] = digest;
    }

    /// <summary>The digest of a step, if it is remembered.</summary>
    public bool TryGet(long step, out ulong digest)
    {
        bool found = step >= 0 && _steps.Length > 0 && _steps[step % _steps.Length] == step;
        digest = found ? _digests[step % _steps.Length] : 0;
        return found;
    }

    /// <summary>Forgets a step and those after it.</summary>
    public void RemoveFrom(long step)
    {
        for (int i = 0; i < _steps.Length; i++)
        {
            _steps[i] = _steps[i] >= step ? -1 : _steps[i];
        }
    }

    private void Grow()
    {
        (long[] steps, ulong[] digests) = (_steps, _digests);
        _steps = new long[Math.Max(64, steps.Length * 2)];
        _digests = new ulong[_steps.Length];
        Array.Fill(_steps, -1);
        for (int i = 0; i < steps.Length; i++)
        {
            if (steps[i] >= 0)
            {
                _steps[steps[i] % _steps.Length] = steps[i];
                _digests[steps[i] % _steps.Length] = digests[i];
            }
        }
    }
}
