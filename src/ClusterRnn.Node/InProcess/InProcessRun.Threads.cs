// The threads of a run, and how work is handed from one to another.
//
// Shared work is of two kinds: envelopes to deliver and servers with something to do. A thread that looks for work first
// delivers, then computes if it is a worker's, then serves; if there is nothing it spins for a moment (while there are
// cores to spare) and then sleeps. Whoever adds shared work wakes the service thread if nobody is looking.
using System.Diagnostics;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;

namespace ClusterRnn.Node.InProcess;

internal sealed partial class InProcessRun
{
    private void Work(WorkerHost host)
    {
        try
        {
            if (!Try(host, static worker => worker.Prepare()))
            {
                return;
            }

            Post(new Arrival(default, host, null));
            Interlocked.Increment(ref _lookouts);
            while (!Volatile.Read(ref _over) && !host.IsDead)
            {
                if (Deliver())
                {
                    continue;
                }

                if (host.HasWork)
                {
                    Interlocked.Increment(ref _computing);
                    StopLooking();
                    bool computed = Try(host, static worker => worker.Compute());
                    Interlocked.Increment(ref _lookouts);
                    Interlocked.Decrement(ref _computing);
                    if (!computed)
                    {
                        break;
                    }

                    Post(new Arrival(default, host, host.Done));
                }
                else if (!ServeOne())
                {
                    Idle(host);
                }
            }

            StopLooking();
        }
        catch (Exception e)
        {
            Fail(e); // not the worker's own doing: actors and servers are run on its thread as well
        }
    }

    /// <summary>Does something of the worker's own; if it fails, the worker is lost and the others go on.</summary>
    private bool Try(WorkerHost host, Action<WorkerHost> action)
    {
        try
        {
            action(host);
            return true;
        }
        catch (Exception e)
        {
            string when = host.Computing is { } computing
                ? computing.Kind == WorkKind.Train ? $"at step {computing.Version}" : $"evaluating step {computing.Version}"
                : "before it could join";
            Post(new Arrival(default, host, null, new TrainingException($"{host.Actor.Id} failed {when}: {e.Message}", e)));
            return false;
        }
    }

    /// <summary>Part of a worker's gradient is final while it computes on.</summary>
    private void OnSegment(WorkerHost host, ComputeShards computing, int segment)
    {
        Interlocked.Increment(ref _earlySegments);
        Post(new Arrival(new Envelope(host.Actor.Id, host.Actor.Id, new SegmentComputed(computing.Assignment, segment)), null, null));
    }

    private void Serve()
    {
        try
        {
            while (!Volatile.Read(ref _over))
            {
                Interlocked.Increment(ref _lookouts);
                while (Deliver() || ServeOne())
                {
                }

                Tick();
                Interlocked.Decrement(ref _lookouts);
                if (Volatile.Read(ref _arrivalCount) == 0 && Volatile.Read(ref _busyServerCount) == 0)
                {
                    _service.Sleep(ServiceMs);
                }
            }
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    private bool HasSharedWork
        => (Volatile.Read(ref _arrivalCount) > 0 && Volatile.Read(ref _deliveringRole) == 0) || Volatile.Read(ref _busyServerCount) > 0;

    private void StopLooking()
    {
        if (Interlocked.Decrement(ref _lookouts) == 0 && HasSharedWork)
        {
            _service.Wake();
        }
    }

    /// <summary>Waits for work: spinning while there are cores to spare, then asleep.</summary>
    private void Idle(WorkerHost host)
    {
        long since = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref _computing) + Volatile.Read(ref _lookouts) <= Environment.ProcessorCount
            && Stopwatch.GetTimestamp() - since < s_spinTicks)
        {
            if (host.HasWork || HasSharedWork || Volatile.Read(ref _over))
            {
                return;
            }

            Thread.SpinWait(20);
        }

        StopLooking();
        if (!host.HasWork && !Volatile.Read(ref _over))
        {
            host.Sleeper.Sleep(SleepMs);
        }

        Interlocked.Increment(ref _lookouts);
    }

    private void Post(in Arrival arrival)
    {
        lock (_gate)
        {
            _arrivals.Add(arrival);
            _arrivalCount = _arrivals.Count;
        }

        if (Volatile.Read(ref _lookouts) == 0)
        {
            _service.Wake();
        }
    }

    /// <summary>Takes the actors' role if it is free and something has arrived.</summary>
    private bool Deliver()
    {
        if (Volatile.Read(ref _arrivalCount) == 0 || Interlocked.CompareExchange(ref _deliveringRole, 1, 0) != 0)
        {
            return false;
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            while (true)
            {
                lock (_gate)
                {
                    (_arrivals, _delivering) = (_delivering, _arrivals);
                    _arrivalCount = 0;
                }

                if (_delivering.Count == 0)
                {
                    break;
                }

                for (int i = 0; i < _delivering.Count && !Volatile.Read(ref _over); i++)
                {
                    TakeIn(_delivering[i]);
                    DeliverLocal();
                }

                _delivering.Clear();
            }
        }
        catch (Exception e)
        {
            Fail(e); // before the role is free: nobody may go on with what an actor left half done
            throw;
        }
        finally
        {
            _actorBytes += GC.GetAllocatedBytesForCurrentThread() - allocated;
            Volatile.Write(ref _deliveringRole, 0);
        }

        return true;
    }

    private void TakeIn(in Arrival arrival)
    {
        if (arrival.Worker is not { } host)
        {
            _local.Enqueue(arrival.Envelope);
        }
        else if (arrival.Failure is { } failure)
        {
            LoseWorker(host, failure);
        }
        else if (arrival.Done is null)
        {
            host.IsReady = true;
            StartWhenReady(host);
        }
        else if (!host.IsDead)
        {
            _local.Enqueue(new Envelope(host.Actor.Id, host.Actor.Id, host.Result(_options.DealsEvenly)));
        }
    }

    /// <summary>The job starts when all its first workers are ready, so that they share the first step; later ones join.</summary>
    private void StartWhenReady(WorkerHost? last)
    {
        if (_started)
        {
            StartWorker(last);
            return;
        }

        for (int i = 0; i < _firstWorkers; i++)
        {
            if (!_workers[i].IsReady && !_workers[i].IsDead)
            {
                return;
            }
        }

        _started = true;
        StartActor(_coordinator);
        foreach (ServerHost server in _servers)
        {
            StartActor(server.Actor);
        }

        for (int i = 0; i < _options.Workers; i++)
        {
            StartWorker(_workers[i]);
        }
    }

    private void StartWorker(WorkerHost? worker)
    {
        if (worker is { IsDead: false, IsStarted: false })
        {
            worker.IsStarted = true;
            StartActor(worker.Actor);
        }
    }

    private void StartActor(IActor actor)
    {
        actor.Start(Now(), _effects);
        Perform(actor);
    }

    private void DeliverLocal()
    {
        while (_local.TryDequeue(out Envelope envelope))
        {
            IActor? actor = ActorOf(envelope.To);
            if (actor is not null)
            {
                try
                {
                    actor.Handle(envelope, Now(), _effects);
                    Perform(actor);
                }
                catch (Exception e) when (e is not TrainingException)
                {
                    throw new TrainingException($"{actor.Id} failed at step {_coordinator.Version} at a {envelope.Message.GetType().Name} from {envelope.From}: {e.Message}", e);
                }
            }

            while (_joining.TryDequeue(out WorkerHost? worker))
            {
                StartWorker(worker);
            }
        }
    }

    private IActor? ActorOf(ActorId id) => id.Role switch
    {
        ActorRole.Coordinator => _coordinator,
        ActorRole.Server => _servers[id.Number].Actor,
        _ => _workers[id.Number].IsDead ? null : _workers[id.Number].Actor,
    };

    /// <summary>Looks at the deadlines, if nobody is delivering; whoever is will be through in a moment.</summary>
    private void Tick()
    {
        if (Interlocked.CompareExchange(ref _deliveringRole, 1, 0) != 0)
        {
            return;
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            if (!_started || _over)
            {
                return;
            }

            Instant now = Now();
            TickOne(_coordinator, now);
            foreach (ServerHost server in _servers)
            {
                TickOne(server.Actor, now);
            }

            for (int i = 0; i < _workers.Count; i++)
            {
                if (_workers[i] is { IsStarted: true, IsDead: false })
                {
                    TickOne(_workers[i].Actor, now);
                }
            }

            WatchSaving(now);
            EndWithoutWorkers();
        }
        catch (Exception e)
        {
            Fail(e);
            throw;
        }
        finally
        {
            _actorBytes += GC.GetAllocatedBytesForCurrentThread() - allocated;
            Volatile.Write(ref _deliveringRole, 0);
        }
    }

    private void TickOne(IActor actor, Instant now)
    {
        if (actor.NextTick <= now)
        {
            actor.Tick(now, _effects);
            Perform(actor);
            DeliverLocal();
        }
    }

    /// <summary>Takes one server's work if there is any.</summary>
    private bool ServeOne()
    {
        if (Volatile.Read(ref _busyServerCount) == 0)
        {
            return false;
        }

        ServerHost? server;
        lock (_gate)
        {
            if (!_busyServers.TryDequeue(out server))
            {
                return false;
            }

            _busyServerCount = _busyServers.Count;
        }

        while (true)
        {
            while (server.TryTake(out NodeEffect? work))
            {
                Message result;
                try
                {
                    result = server.Perform(work!, _answers, _copy);
                }
                catch (Exception e)
                {
                    string what = work switch
                    {
                        ReduceSegment reduce => $"reducing step {reduce.Step}",
                        StoreStates store => $"storing the states of step {store.Step}",
                        ApplyVerdict apply => $"applying step {apply.Step}",
                        SnapshotRange snapshot => $"copying step {snapshot.Version}",
                        _ => "",
                    };
                    throw new TrainingException($"{server.Actor.Id} failed {what}: {e.Message}", e);
                }

                Post(new Arrival(new Envelope(server.Actor.Id, server.Actor.Id, result), null, null));
            }

            lock (_gate)
            {
                if (!server.HasWork)
                {
                    server.IsScheduled = false;
                    return true;
                }
            }
        }
    }

    private void Schedule(ServerHost server, NodeEffect work)
    {
        bool others;
        lock (_gate)
        {
            server.Add(work);
            if (server.IsScheduled)
            {
                return;
            }

            server.IsScheduled = true;
            others = _busyServers.Count > 0;
            _busyServers.Enqueue(server);
            _busyServerCount = _busyServers.Count;
        }

        if (others)
        {
            // More than one server has work: a second thread pays.
            for (int i = 0; i < _workers.Count; i++)
            {
                if (!_workers[i].HasWork)
                {
                    _workers[i].Sleeper.Wake();
                }
            }
        }
    }

    /// <summary>Something for the actors: a message, a worker that is ready, has computed, or has failed.</summary>
    private readonly record struct Arrival(Envelope Envelope, WorkerHost? Worker, ComputeShards? Done, Exception? Failure = null);
}
