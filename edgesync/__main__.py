"""The command line: which commands there are. Each is imported when it is run."""

import click

from edgesync import __version__
from edgesync.lazy_group import LazyGroup

BENCHES = {
    "activations": "edgesync.bench_activations:command",
    "api": "edgesync.bench_api:command",
    "fleet": "edgesync.bench_fleet:command",
    "hub": "edgesync.bench_hub:command",
}

COMMANDS = {
    # What runs on the machine of a server.
    "serve": "edgesync.serve_command:serve",
    "rekey": "edgesync.rekey_command:rekey",
    "ca": "edgesync.ca_command:ca",
    "broker": "edgesync.broker_command:broker",
    "backup": "edgesync.backup_command:backup",
    "verify": "edgesync.backup_command:verify_backup",
    "restore": "edgesync.backup_command:restore_backup",
    # Over its REST API.
    "login": "edgesync.verbs.login:login",
    "context": "edgesync.verbs.login:context",
    "get": "edgesync.verbs.get:get",
    "describe": "edgesync.verbs.get:describe",
    "export": "edgesync.verbs.get:export",
    "apply": "edgesync.verbs.apply:apply",
    "diff": "edgesync.verbs.diff:diff",
    "delete": "edgesync.verbs.delete:delete",
    "edit": "edgesync.verbs.edit:edit",
    "label": "edgesync.verbs.edit:label",
    "events": "edgesync.verbs.events:events",
    "watch": "edgesync.verbs.events:watch",
    "wait": "edgesync.verbs.wait:wait",
    "top": "edgesync.verbs.top:top",
    "explain": "edgesync.verbs.explain:explain",
    "history": "edgesync.verbs.history:history",
    "undo": "edgesync.verbs.history:undo",
    "logs": "edgesync.verbs.remote:logs",
    "restart": "edgesync.verbs.remote:restart",
    "report": "edgesync.verbs.remote:report",
    "diagnose": "edgesync.verbs.remote:diagnose",
    "update-agent": "edgesync.verbs.remote:update_agent",
    "token": "edgesync.token_command:token",
    "audit": "edgesync.audit_command:audit",
    "import": "edgesync.import_command:imports",
    # Without a server, or with one of their own.
    "sim": "agent_sim.command:sim",
    "demo": "edgesync.demo:demo",
    "conformance": "edgesync.conformance.command:conformance",
    "convert": "edgesync.convert_command:convert",
    "completion": "edgesync.verbs.completion:completion",
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
