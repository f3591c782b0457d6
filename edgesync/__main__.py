"""The command line: each command with its module and its help. A module is imported when it is run.

The help stands here too, so that `edgesync --help` imports no command.
"""

import click

from edgesync.lazy_group import LazyGroup

BENCHES = {
    "activations": (
        "edgesync.bench.activations:command",
        "Benchmark activations end to end; baseline: signing alone.",
    ),
    "agent": (
        "edgesync.bench.agent:command",
        "Benchmark the node agent: start and update of an app, and idle beside a sleeping Python.",
    ),
    "api": (
        "edgesync.bench.api:command",
        "Benchmark API requests with many nodes.",
    ),
    "fleet": (
        "edgesync.bench.fleet:command",
        "Benchmark a fleet of nodes: reconnects, updates, activations, memory, reports.",
    ),
    "hub": (
        "edgesync.bench.hub:command",
        "Benchmark the embedded hub; baseline: plain amqtt.",
    ),
    "rollout": (
        "edgesync.bench.rollout:command",
        "Benchmark a rollout in three stages; baseline: a PUT that no policy governs.",
    ),
    "peers": (
        "edgesync.bench.peers:command",
        "Benchmark reports over the HTTPS link beside a running baetyl-cloud.",
    ),
    "start": (
        "edgesync.bench.start:command",
        "Benchmark the start of a server; baseline: Starlette and uvicorn.",
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
        "Re-encrypt the database's encrypted fields with a new key.",
    ),
    "admin-token": (
        "edgesync.admin.admin_token:admin_token",
        "Rotate the administrator's token, or switch it off and on, also while servers run.",
    ),
    "ca": (
        "edgesync.admin.ca:ca",
        "Inspect, rotate or replace the certificate authority.",
    ),
    "broker": (
        "edgesync.admin.broker:broker",
        "Configure a standalone MQTT broker that several servers share.",
    ),
    "backup": (
        "edgesync.admin.backup:backup",
        "Back up a running server to FILE: database, keys and settings.",
    ),
    "verify": (
        "edgesync.admin.backup:verify_backup",
        "Verify the backup FILE by restoring it to a temporary directory.",
    ),
    "restore": (
        "edgesync.admin.backup:restore_backup",
        "Restore the backup FILE to a new data directory, and with --database to PostgreSQL.",
    ),
    "upgrade": (
        "edgesync.admin.upgrade:upgrade",
        "Check an upgrade before it is done.",
    ),
    # Over its REST API.
    "login": (
        "edgesync.cli.login:login",
        "Log in to the server at URL and save it as a context.",
    ),
    "auth": (
        "edgesync.cli.auth:auth",
        "Show who you are to the server, and what you may do.",
    ),
    "logout": (
        "edgesync.cli.login:logout",
        "End the session of a context on the server, and forget its token.",
    ),
    "context": (
        "edgesync.cli.login:context",
        "Manage contexts: saved servers, one of which is current.",
    ),
    "config": (
        "edgesync.cli.login:config",
        "Manage contexts, by the names that kubectl has.",
    ),
    "version": (
        "edgesync.cli.version:version",
        "Show the versions of this command and of the server.",
    ),
    "get": (
        "edgesync.cli.get:get",
        "List resources of a kind: all, by label, by field, or by name.",
    ),
    "describe": (
        "edgesync.cli.describe:describe",
        "Show one resource in full, with the resources related to it.",
    ),
    "export": (
        "edgesync.cli.get:export",
        "Print resources as manifests for `edgesync apply -f`.",
    ),
    "apply": (
        "edgesync.cli.apply:apply",
        "Create or update the resources that manifests describe.",
    ),
    "diff": (
        "edgesync.cli.diff:diff",
        "Show what `apply` would change and which nodes it affects; nothing is changed.",
    ),
    "delete": (
        "edgesync.cli.delete:delete",
        "Delete resources, dependents first.",
    ),
    "edit": (
        "edgesync.cli.edit:edit",
        "Edit one resource as YAML in $EDITOR.",
    ),
    "label": (
        "edgesync.cli.edit:label",
        "Set or remove labels of nodes, apps and configs: `label node n1 role=gateway old-`.",
    ),
    "events": (
        "edgesync.cli.events:events",
        "List recent events, the newest last: all, of a kind, or of one resource.",
    ),
    "watch": (
        "edgesync.cli.events:watch",
        "Stream events as they happen: all, of a kind, or of one resource.",
    ),
    "wait": (
        "edgesync.cli.wait:wait",
        "Wait until resources converge, nodes are online, or resources are deleted.",
    ),
    "top": (
        "edgesync.cli.top:top",
        "Show an overview of the fleet (`top fleet`) or the usage of its nodes (`top nodes`).",
    ),
    "explain": (
        "edgesync.cli.explain:explain",
        "Explain why a node or app has not converged: `explain node NAME`, `explain app NAME`.",
    ),
    "history": (
        "edgesync.cli.history:history",
        "Show the revisions of an app, config, secret or registry, and what changed.",
    ),
    "undo": (
        "edgesync.cli.history:undo",
        "Revert a resource to its previous or an earlier revision, even after deletion.",
    ),
    "rollout": (
        "edgesync.cli.rollout:rollout",
        "Follow and steer rollouts: `rollout status APP --watch`.",
    ),
    "node": (
        "edgesync.cli.node:node",
        "Shut nodes out, label them, and get their installation commands.",
    ),
    "batch": (
        "edgesync.cli.batch:batch",
        "Bring in devices: records, whitelist and installation command of a batch.",
    ),
    "channel": (
        "edgesync.cli.channel:channel",
        "Send test messages by channels, and again what was given up.",
    ),
    "logs": (
        "edgesync.cli.remote:logs",
        "Print the last lines of a node's or an app's log; -f follows it.",
    ),
    "restart": (
        "edgesync.cli.remote:restart",
        "Restart an app on a node.",
    ),
    "report": (
        "edgesync.cli.remote:report",
        "Request a report from a node now.",
    ),
    "diagnose": (
        "edgesync.cli.remote:diagnose",
        "Download a diagnostic archive of a node: state, logs, disk, container engine.",
    ),
    "update-agent": (
        "edgesync.cli.remote:update_agent",
        "Update a node's agent to the server's version; it rolls back if it cannot connect.",
    ),
    "token": (
        "edgesync.cli.token:token",
        "Manage tokens of the REST API.",
    ),
    "user": (
        "edgesync.cli.user:user",
        "Manage local users: people who log in with a password of this server.",
    ),
    "session": (
        "edgesync.cli.session:session",
        "List and end sessions of people and programs.",
    ),
    "audit": (
        "edgesync.admin.audit:audit",
        "Read the audit log and verify its integrity.",
    ),
    "import": (
        "edgesync.admin.import_baetyl:imports",
        "Import resources from another server.",
    ),
    # Without a server, or with one of their own.
    "sim": (
        "agent_sim.command:sim",
        "Activate simulated nodes, connect them and apply their desired state.",
    ),
    "demo": (
        "edgesync.demo.command:demo",
        "Start a server and nodes, deploy two apps, change one, watch them converge.",
    ),
    "conformance": (
        "edgesync.conformance.command:conformance",
        "Test a device against the protocol, and print which rules it breaks.",
    ),
    "openapi": (
        "edgesync.admin.openapi:openapi",
        "Print the OpenAPI document of the REST API, or its types for TypeScript.",
    ),
    "convert": (
        "edgesync.compose.command:convert",
        "Convert other formats to manifests, without a server.",
    ),
    "completion": (
        "edgesync.cli.completion:completion",
        'Print the completion script for SHELL: `eval "$(edgesync completion bash)"`.',
    ),
}


@click.group(
    cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="edgesync", prog_name="edgesync")
def main() -> None:
    """Edge-to-cloud sync: describe nodes, apps, configs and secrets; nodes converge to them."""


@main.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command."""
    command: click.Command = main
    own = context.find_root()
    for word in words:
        if not isinstance(command, click.Group):
            break
        name, inner, _ = command.resolve_command(own, [word])
        if inner is None:
            break
        command = inner
        own = click.Context(command, info_name=name, parent=own)
    click.echo(command.get_help(own))


@main.group(cls=LazyGroup, places=BENCHES)
def bench() -> None:
    """Run benchmarks on this machine, each beside a baseline."""


if __name__ == "__main__":
    main()
