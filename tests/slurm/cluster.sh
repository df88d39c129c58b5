#!/usr/bin/env bash
# A Slurm cluster of one node in a directory of its own: cluster.sh start DIRECTORY | cluster.sh stop DIRECTORY
# `start` prints the SLURM_CONF to use. Needs root, munge and slurm-wlm (Debian names); nothing outside DIRECTORY changes
# but munge's key, which is made when there is none.
set -euo pipefail
verb=$1
directory=$(mkdir -p "$2" && cd "$2" && pwd)

wait_for() { # wait_for SECONDS COMMAND...: until the command succeeds
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "gave up waiting for: $*" >&2; return 1; }
        sleep 0.2
    done
}

free_ports() {
    python3 -c 'import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in both))'
}

start() {
    host=$(hostname -s)
    local ports
    read -r -a ports <<< "$(free_ports)"
    mkdir -p "$directory"/{state,spool,log}
    if [ ! -s /etc/munge/munge.key ]; then
        (umask 077 && head -c 1024 /dev/urandom > /etc/munge/munge.key)
    fi
    chown munge: /etc/munge/munge.key && chmod 0400 /etc/munge/munge.key
    if ! munge -n > /dev/null 2>&1; then
        mkdir -p /run/munge && chown munge: /run/munge && chmod 0755 /run/munge
        runuser -u munge -- /usr/sbin/munged --force
        wait_for 120 munge -n
    fi
    cat > "$directory/slurm.conf" << CONF
ClusterName=h5burst
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
MessageTimeout=100
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
SlurmctldLogFile=$directory/log/slurmctld.log
SlurmdLogFile=$directory/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 256)) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF="$directory/slurm.conf"
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    wait_for 300 sh -c "sinfo -h -o %t | grep -q idle"
    echo "$SLURM_CONF"
}

stop() {
    for daemon in slurmd slurmctld; do
        if [ -s "$directory/$daemon.pid" ]; then
            local process
            process=$(cat "$directory/$daemon.pid")
            kill "$process" 2> /dev/null || true
            wait_for 120 sh -c "! kill -0 $process"
        fi
    done
}

"$verb"
