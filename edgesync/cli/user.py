"""`edgesync user`: local users of a running server."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from edgesync.cli.options import asks_server, reason_option
from edgesync.cli.output import show_table
from edgesync.cli.server_options import readable_file
from edgesync.client.client import Client


@click.group()
def user() -> None:
    """Manage local users: people who log in with a password of this server.

    A change of a user ends its sessions.
    """


def _grants(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Roles by namespace, of `NAMESPACE=ROLE`; BadParameter for what is none."""
    found = {}
    for text in given:
        namespace, _, role = text.partition("=")
        if not role or not namespace or namespace in found:
            raise click.BadParameter(f"{text!r} is not NAMESPACE=ROLE, once for each namespace")
        found[namespace] = role
    return found


_grant_option = click.option(
    "--grant",
    "grants",
    multiple=True,
    required=True,
    callback=_grants,
    metavar="NAMESPACE=ROLE",
    help="Role in a namespace, '*' for all; can be repeated.",
)


_password_option = click.option(
    "--password-file", type=readable_file(), help="File with the password.  [default: a prompt]"
)
_name_argument = click.argument("name")


@user.command()
@asks_server
@_name_argument
@_grant_option
@_password_option
@reason_option
def create(
    server: Client, *, name: str, grants: dict[str, str], password_file: Path | None
) -> None:
    """Create a user."""
    body = {"name": name, "password": _password(password_file), "grants": grants}
    server.call("POST", "/v1/users", body=body)
    click.echo(f"{name} is created.")


@user.command("list")
@asks_server
def list_users(server: Client) -> None:
    """List all users."""
    rows = [_row(one) for one in server.pages("/v1/users")]
    show_table(["NAME", "GRANTS", "STATE", "SECOND FACTOR", "CREATED"], rows)


@user.command()
@asks_server
@_name_argument
@_grant_option
@reason_option
def grant(server: Client, *, name: str, grants: dict[str, str]) -> None:
    """Give a user these roles, in place of those it has."""
    server.call("PUT", _place(name), body={"grants": grants})
    click.echo(f"{name} has the roles; its sessions have ended.")


@user.command()
@asks_server
@_name_argument
@_password_option
@reason_option
def password(server: Client, *, name: str, password_file: Path | None) -> None:
    """Set the password of a user."""
    server.call("PUT", _place(name), body={"password": _password(password_file)})
    click.echo(f"The password of {name} is set; its sessions have ended.")


@user.command()
@asks_server
@_name_argument
@reason_option
def disable(server: Client, *, name: str) -> None:
    """Keep a user out until it is enabled again."""
    server.call("PUT", _place(name), body={"disabled": True})
    click.echo(f"{name} is disabled; its sessions have ended.")


@user.command()
@asks_server
@_name_argument
@reason_option
def enable(server: Client, *, name: str) -> None:
    """Let a disabled user in again."""
    server.call("PUT", _place(name), body={"disabled": False})
    click.echo(f"{name} is enabled.")


@user.command()
@asks_server
@_name_argument
@reason_option
def delete(server: Client, *, name: str) -> None:
    """Delete a user."""
    server.call("DELETE", _place(name))
    click.echo(f"{name} is deleted; its sessions have ended.")


@user.command()
@asks_server
@_name_argument
@click.option("--remove", is_flag=True, help="Ask for no codes any more.")
@reason_option
def totp(server: Client, *, name: str, remove: bool) -> None:
    """Ask a user for codes of an app (RFC 6238); print what the app needs, this once."""
    if remove:
        server.call("DELETE", f"{_place(name)}/totp")
        click.echo(f"{name} logs in without codes; its sessions have ended.")
        return
    shown = server.call("POST", f"{_place(name)}/totp")
    click.echo(f"secret: {shown['secret']}")
    click.echo(f"uri: {shown['uri']}")


def _place(name: str) -> str:
    return f"/v1/users/{quote(name, safe='')}"


def _password(file: Path | None) -> str:
    if file is None:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return file.read_text(encoding="utf-8").rstrip("\r\n")


def _row(one: dict[str, Any]) -> list[str]:
    grants = ",".join(f"{namespace}={role}" for namespace, role in one["grants"].items())
    state = "disabled" if one["disabled"] else "enabled"
    return [one["name"], grants, state, "yes" if one["secondFactor"] else "no", one["createTime"]]
