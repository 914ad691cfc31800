#!/bin/sh
# Starts a node in a container: `clusterrnn-node init|coordinator|worker|server|status ARGUMENTS`; anything else goes to the
# program as it is.
#
# The program never runs as root. Workers are user 1654 and servers 1655 (docker-compose.yml says so). The coordinator is the
# user on the host to whom the clone belongs, so that the run it writes belongs to whoever called docker compose; where that is
# root it is 1656, and the run is handed over when the program ends.
#
# The volume /job: `run` names the run's folder, `config` the job, `ended` is there when the job is done.
set -eu
program="dotnet /app/bin/clusterrnn.dll"
nodes=1654
worker=1654
server=1655

caller_is() {
    caller=$1
    group=$2
    coordinator=$caller
    if [ "$caller" -eq 0 ]; then
        coordinator=1656
    fi
}

# As the coordinator's user, who also belongs to the nodes' group, without any capability.
as_coordinator() {
    setpriv --reuid "$coordinator" --regid "$group" --groups "$nodes" --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
}

certificates() {
    if [ ! -e /certs/token ]; then
        $program certs --out /certs --quiet
    fi

    # A key can be read by its own role and nobody else.
    chown -R 0:$nodes /certs
    chmod 755 /certs
    chmod 644 /certs/*.pem
    chmod 440 /certs/token
    chmod 400 /certs/*.key
    chown "$coordinator" /certs/coordinator.key /certs/client.key
    chown $server /certs/server.key
    chown $worker /certs/worker.key
}

# RUN, or the run that was not finished, or a new one.
choose_run() {
    name=$(basename "$1" .yaml)
    if [ -n "${RUN:-}" ]; then
        run=$RUN
    elif [ -e /job/run ] && [ ! -e /job/ended ] && [ "$(cat /job/config)" = "$*" ] && [ -d "/app/runs/$(cat /job/run)" ]; then
        run=$(cat /job/run)
    else
        number=1
        while [ -e "/app/runs/$name-$number" ]; do
            number=$((number + 1))
        done
        run=$name-$number
    fi
    case "$run" in
        */* | .*)
            echo "RUN=$run: expected the name of a folder in ./runs" >&2
            exit 2
            ;;
    esac
    mkdir -p "/app/runs/$run"
    chown "$caller:$group" /app/runs
    chown -R "$coordinator:$group" "/app/runs/$run"
    rm -f /job/ended
    echo "$run" > /job/run
    echo "$*" > /job/config
    chown "$coordinator:$nodes" /job
    chmod 755 /job
    echo "the run goes to runs/$run"
}

case "${1:-}" in
    init)
        shift
        if [ ! -e /app/bin/clusterrnn.dll ]; then
            echo "the image holds no program; before TARGET=published: dotnet publish src/ClusterRnn.Cli -c Release -o deploy/publish" >&2
            exit 2
        fi
        caller_is "$(stat -c %u /project/docker-compose.yml)" "$(stat -c %g /project/docker-compose.yml)"
        # A mistake in the job shows here, once, and not in a coordinator that is started again and again.
        as_coordinator $program coordinator "$@" --dry-run --quiet > /tmp/checked || exit $?
        certificates
        choose_run "$@"
        ;;
    coordinator)
        shift
        caller_is "$(stat -c %u /app/runs)" "$(stat -c %g /app/runs)"
        run=$(cat /job/run)
        if [ "$caller" -eq 0 ]; then
            # It was handed over when an attempt before failed.
            chown -R "$coordinator:$group" "/app/runs/$run"
        fi
        as_coordinator $program coordinator "$@" --out "runs/$run" --resume &
        child=$!
        trap 'kill -TERM $child 2> /dev/null || true' TERM INT
        # A signal ends `wait` early.
        status=0
        wait $child || status=$?
        while kill -0 $child 2> /dev/null; do
            status=0
            wait $child || status=$?
        done
        if [ "$caller" -eq 0 ]; then
            chown -R "$caller:$group" "/app/runs/$run"
        fi
        if [ "$status" -eq 0 ]; then
            as_coordinator touch /job/ended
        fi
        exit "$status"
        ;;
    worker | server)
        # One that was lost and comes back when the others have gone has nothing left to wait for.
        if [ -e /job/ended ]; then
            echo "the job has ended"
            exit 0
        fi
        role=$1
        shift
        if [ "$role" = server ]; then
            set -- --advertise "$(hostname)" "$@"
        else
            # With tcp nobody calls a worker; with akka its node is called by the others.
            case " $* " in
                *" --engine akka "*) set -- --listen 0.0.0.0:0 --advertise "$(hostname)" "$@" ;;
            esac
        fi
        exec $program "$role" "$@"
        ;;
    status)
        shift
        caller_is "$(stat -c %u /app/runs)" "$(stat -c %g /app/runs)"
        as_coordinator $program status --certs /certs --join coordinator:7070 "$@"
        ;;
    *)
        exec $program "$@"
        ;;
esac
