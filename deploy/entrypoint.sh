#!/bin/sh
# Starts a node in a container: `clusterrnn-node coordinator|worker|server|init ARGUMENTS`.
#
# Nodes don't run as root. A coordinator whose run folder belongs to a user of the host takes that user's number, so that what
# it writes belongs to whoever called docker compose; for root itself, and for all others, it is 1654, the images' own user.
set -eu
user=1654
group=1654
program="dotnet /app/bin/clusterrnn.dll"

as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
    fi
    exec "$@"
}

case "${1:-}" in
    init)
        # Once, before all others: authority, certificates and token into the volume, and a run folder the coordinator may use.
        if [ ! -e /certs/token ]; then
            $program certs --out /certs
        fi
        owner=$(stat -c %u /project/docker-compose.yml)
        [ "$owner" -eq 0 ] || { user=$owner; group=$(stat -c %g /project/docker-compose.yml); }
        # Keys can be read by the nodes' users and nobody else: the coordinator's may be the caller's number.
        chown -R "$user:1654" /certs
        chmod 750 /certs
        chmod 640 /certs/*
        chown "$user:$group" /app/runs
        ;;
    coordinator)
        owner=$(stat -c %u /app/runs)
        [ "$owner" -eq 0 ] || { user=$owner; group=$(stat -c %g /app/runs); }
        shift
        as_user $program coordinator "$@"
        ;;
    server)
        shift
        as_user $program server --advertise "$(hostname)" "$@"
        ;;
    *)
        as_user $program "$@"
        ;;
esac
