#!/bin/sh
# Brings this machine in as a node of an edgesync server.
#
#   sh install.sh CA_FILE [--background]
#
# Puts the node agent into $EDGESYNC_HOME (otherwise $XDG_STATE_HOME/edgesync where that is set, or
# $HOME/.edgesync; root with the Debian package: its directory), activates it and starts it: as a
# systemd unit where systemd runs (root: of the system, others: of the user), else, or with
# --background, in the background. An agent that runs there already is replaced. Needs curl and
# Python 3.8 or newer; no root.

set -eu
umask 077

# The server fills these in.
settings=''
agent_url=''

log() { printf 'edgesync: %s\n' "$*"; }
fail() { log "$*" >&2; exit 1; }

ca=${1:?usage: sh install.sh CA_FILE [--service]}
shift
service=yes
for option in "$@"; do
    case $option in
        --service) ;;
        --background) service= ;;
        *) fail "there is no option $option" ;;
    esac
done

[ -n "$settings" ] || fail "this file has to come from a server"
command -v python3 > /dev/null || fail "needs python3 (3.8 or newer)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' || fail "needs Python 3.8 or newer"

# The unit of the Debian package edgesync-agent, and its directory.
packaged=/usr/lib/systemd/system/edgesync-agent.service
state=${XDG_STATE_HOME:+$XDG_STATE_HOME/edgesync}
[ "$(id -u)" != 0 ] || [ ! -e "$packaged" ] || state=/var/lib/edgesync-agent
home=${EDGESYNC_HOME:-${state:-$HOME/.edgesync}}
mkdir -p "$home"
chmod 700 "$home"
home=$(cd "$home" && pwd)
agent=$home/agent.pyz

curl -q -fsS --proto "=https" --cacert "$ca" --capath "${ca%/*}" -o "$agent.new" "$agent_url" \
    || fail "cannot get the agent from the server; nothing was changed"
mv "$agent.new" "$agent"
printf '%s' "$settings" | python3 "$agent" activate --home "$home" --ca "$ca"
python3 "$agent" check --home "$home"

start_in_background() {
    python3 "$agent" stop --home "$home"
    nohup python3 "$agent" run --home "$home" >> "$home/agent.log" 2>&1 < /dev/null &
    log "the agent runs in the background, until the machine restarts"
    log "its log: $home/agent.log"
    log "to stop it: python3 $agent stop --home $home"
    log "to start it again: nohup python3 $agent run --home $home >> $home/agent.log 2>&1 &"
}

# A line of the unit for a variable of this shell that the agent reads, if it is set.
unit_variable() {
    case $2 in
        *[!A-Za-z0-9:/._-]*) fail "a service needs $1 without special characters: $2" ;;
        ?*) printf 'Environment=%s=%s\n' "$1" "$2" ;;
    esac
}

# Apps that are processes of the host run in this unit: they outlive the agent (KillMode), have
# groups of their own (Delegate), and may write where their owner may.
write_unit() {
    cat << END
[Unit]
Description=edgesync node agent
After=network-online.target docker.service podman.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=$(command -v python3) $agent run --home $home
Restart=always
RestartSec=5
KillMode=process
Delegate=yes
UMask=0077
NoNewPrivileges=yes
$variables
RestrictSUIDSGID=yes
LockPersonality=yes
END
    [ "$scope" = --user ] || cat << END
ProtectSystem=full
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectHostname=yes
END
    cat << END

[Install]
WantedBy=$target
END
}

start_as_service() {
    case $home in
        *[!A-Za-z0-9/._-]*) fail "a service needs a directory without special characters: $home" ;;
    esac
    if [ "$scope" = --system ]; then
        units=/etc/systemd/system target=multi-user.target
    else
        units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user target=default.target
    fi
    variables=$(
        unit_variable DOCKER_HOST "${DOCKER_HOST:-}"
        unit_variable EDGESYNC_POLICY "${EDGESYNC_POLICY:-}"
    )
    if [ "$scope" = --user ] || ! grep -qs -- "--home $home\$" "$packaged"; then
        mkdir -p "$units"
        write_unit > "$units/edgesync-agent.service"
    fi
    systemctl "$scope" stop edgesync-agent.service 2> /dev/null || true
    python3 "$agent" stop --home "$home"
    systemctl "$scope" daemon-reload
    systemctl "$scope" enable --now edgesync-agent.service
    log "the agent runs as the systemd unit edgesync-agent"
    log "its log: journalctl $scope -u edgesync-agent"
    log "to stop it: systemctl $scope disable --now edgesync-agent"
    [ "$scope" = --system ] || log "to keep it running after you log out: loginctl enable-linger"
}

scope=--user
[ "$(id -u)" != 0 ] || scope=--system
if [ -n "$service" ] && systemctl "$scope" show-environment > /dev/null 2>&1; then
    start_as_service
else
    start_in_background
fi
python3 "$agent" wait --home "$home"
log "what it does: python3 $agent status --home $home"
log "to remove it: python3 $agent uninstall --home $home"
