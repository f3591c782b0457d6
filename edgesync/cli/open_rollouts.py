"""Rollouts as verbs of the command line find them and act on them."""

from typing import Any

import click

from cloud.core.rollout import RolloutState
from edgesync.cli.output import in_line
from edgesync.cli.resources.rollouts import Json, state_words
from edgesync.client.client import Client
from edgesync.client.errors import NotFoundError

_SENT = ("admitted", "sent", "updated", "failed")
"""States of nodes that got the version, or are to get it next."""


def find_rollout(server: Client, name: str) -> Json | None:
    """The rollout of that name, or of the app of that name; None where there is none."""
    try:
        found: Json = server.call("GET", f"/v1/rollouts/{name}")
    except NotFoundError:
        return None
    return found


def act_on_rollout(server: Client, name: str, verb: str, body: Any = None) -> None:
    """Do *verb* with the rollout, and print its state."""
    after = server.call("POST", f"/v1/rollouts/{name}/{verb}", body=body)
    click.echo(f"rollout/{in_line(after['name'])} is {state_words(after['state'])}")


def undo_rollout(server: Client, app: str, *, dry_run: bool) -> bool:
    """Roll back the rollout of *app*, or print that with *dry_run*; False where none is open."""
    found = find_rollout(server, app)
    if found is None or not RolloutState(found["state"]).is_open:
        return False
    if dry_run:
        nodes = sum(stage["counts"].get(state, 0) for stage in found["stages"] for state in _SENT)
        click.echo(f"rollout/{in_line(found['name'])} would be rolled back, on {nodes} nodes")
    else:
        act_on_rollout(server, found["name"], "rollback")
    return True
