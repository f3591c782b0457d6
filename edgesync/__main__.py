"""The command line: each command with its module and its help. A module is imported when it is run.

The help stands here too, so that `edgesync --help` imports no command.
"""

import click

from edgesync import __version__
from edgesync.lazy_group import LazyGroup

BENCHES = {
    "activations": (
        "edgesync.bench.activations:command",
        "Measure activations end to end, beside signing alone.",
    ),
    "agent": (
        "edgesync.bench.agent:command",
        "Measure the node agent at rest, beside a Python that sleeps.",
    ),
    "api": (
        "edgesync.bench.api:command",
        "Measure calls of the API with many nodes.",
    ),
    "fleet": (
        "edgesync.bench.fleet:command",
        "Measure what a fleet of nodes costs: reconnects, updates, activations, memory, reports.",
    ),
    "hub": (
        "edgesync.bench.hub:command",
        "Measure the embedded hub beside plain amqtt.",
    ),
}

COMMANDS = {
    # What runs on the machine of a server.
    "serve": (
        "edgesync.admin.serve:serve",
        "Run the server: REST API, activation endpoint and MQTT hub in one process.",
    ),
    "rekey": (
        "edgesync.admin.rekey:rekey",
        "Make a new key for what is encrypted in the database, and encrypt all of it anew.",
    ),
    "ca": (
        "edgesync.admin.ca:ca",
        "Inspect, rotate or replace the certificate authority.",
    ),
    "broker": (
        "edgesync.admin.broker:broker",
        "Brokers that stand by themselves: where one server is not enough.",
    ),
    "backup": (
        "edgesync.admin.backup:backup",
        "Write everything of a server into FILE, while it serves: database, keys and settings.",
    ),
    "verify": (
        "edgesync.admin.backup:verify_backup",
        "Restore the backup FILE into a temporary place and check all of it.",
    ),
    "restore": (
        "edgesync.admin.backup:restore_backup",
        "Put the backup FILE into a new data directory, and with --database into a new PostgreSQL.",
    ),
    # Over its REST API.
    "login": (
        "edgesync.cli.login:login",
        "Remember the server at URL and a token for it, once the server has taken the token.",
    ),
    "context": (
        "edgesync.cli.login:context",
        "Servers that were logged in to, and which of them is asked.",
    ),
    "get": (
        "edgesync.cli.get:get",
        "Show things: all of a kind, some by their labels, or those that are named.",
    ),
    "describe": (
        "edgesync.cli.get:describe",
        "Show all there is to know of one thing, and what belongs to it.",
    ),
    "export": (
        "edgesync.cli.get:export",
        "Print what there is as manifests that `edgesync apply -f` takes.",
    ),
    "apply": (
        "edgesync.cli.apply:apply",
        "Create what is missing and change what differs; what is the same stays as it is.",
    ),
    "diff": (
        "edgesync.cli.diff:diff",
        "Say what `apply` would change, and whom that reaches; nothing is changed.",
    ),
    "delete": (
        "edgesync.cli.delete:delete",
        "Delete things, what names others before what is named.",
    ),
    "edit": (
        "edgesync.cli.edit:edit",
        "Open one thing in $EDITOR as YAML, and change it to what is saved.",
    ),
    "label": (
        "edgesync.cli.edit:label",
        "Set labels of nodes, apps and configs: `label node n1 role=gateway old-`.",
    ),
    "events": (
        "edgesync.cli.events:events",
        "Show what happened last, the newest at the end: to all, to a kind, or to one thing.",
    ),
    "watch": (
        "edgesync.cli.events:watch",
        "Show events as they happen: of everything, of a kind, or of one thing.",
    ),
    "wait": (
        "edgesync.cli.wait:wait",
        "Wait until nodes run what they should, are online, or something is gone.",
    ),
    "top": (
        "edgesync.cli.top:top",
        "The fleet at a glance (`top fleet`), or what its nodes use (`top nodes`).",
    ),
    "explain": (
        "edgesync.cli.explain:explain",
        "Say why a node does not run what it should: `explain node NAME`.",
    ),
    "history": (
        "edgesync.cli.history:history",
        "Show who changed an app, config, secret or registry, when and why; and what.",
    ),
    "undo": (
        "edgesync.cli.history:undo",
        "Take the last change back, or all since a revision; what was deleted comes back, too.",
    ),
    "logs": (
        "edgesync.cli.remote:logs",
        "Print the end of a node's log, or of an app's; with -f also what comes.",
    ),
    "restart": (
        "edgesync.cli.remote:restart",
        "Restart an app on a node.",
    ),
    "report": (
        "edgesync.cli.remote:report",
        "Have a node report now.",
    ),
    "diagnose": (
        "edgesync.cli.remote:diagnose",
        "Fetch one archive with what a node knows of itself: its state, log ends, disk, engine.",
    ),
    "update-agent": (
        "edgesync.cli.remote:update_agent",
        "Replace a node's agent by the server's; a new one that does not connect is not kept.",
    ),
    "token": (
        "edgesync.cli.token:token",
        "Tokens that open the REST API.",
    ),
    "audit": (
        "edgesync.admin.audit:audit",
        "Who did what, when and from where; and whether somebody changed what is written of it.",
    ),
    "import": (
        "edgesync.admin.import_baetyl:imports",
        "Take over what another server manages.",
    ),
    # Without a server, or with one of their own.
    "sim": (
        "agent_sim.command:sim",
        "Activate simulated nodes, connect them and let them run what the server says.",
    ),
    "demo": (
        "edgesync.demo.command:demo",
        "Start a server and nodes, deploy two apps, change one, watch them converge.",
    ),
    "conformance": (
        "edgesync.conformance.command:conformance",
        "Play the server to a device under test, and print what it did wrong.",
    ),
    "convert": (
        "edgesync.compose.command:convert",
        "Turn other descriptions into manifests, without a server.",
    ),
    "completion": (
        "edgesync.cli.completion:completion",
        'Print what makes SHELL complete commands: `eval "$(edgesync completion bash)"`.',
    ),
}


@click.group(
    cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="edgesync")
def main() -> None:
    """Edge-to-cloud sync: describe nodes, apps, configs and secrets; nodes converge to them."""


@main.group(cls=LazyGroup, places=BENCHES)
def bench() -> None:
    """Measure on this machine, beside something known in the same run."""


if __name__ == "__main__":
    main()
