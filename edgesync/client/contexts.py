"""The contexts file: servers by name, with CA certificate, token and namespace.

It may hold tokens, so only its owner may read it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgesync.client.errors import AccessError

VARIABLE = "EDGESYNC_CONTEXTS"
"""Environment variable with the path of the file."""

_FIELDS = {
    "url": "url",
    "ca": "ca",
    "token": "token",
    "tokenFile": "token_file",
    "namespace": "namespace",
}


@dataclass(frozen=True, slots=True)
class Context:
    """One server: *token*, or *token_file* that holds it; what is empty is left to the server."""

    url: str
    ca: str = ""
    token: str = field(default="", repr=False)
    token_file: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """Content of the file: contexts by name, and the name of the current one ("": none)."""

    current: str = ""
    known: Mapping[str, Context] = field(default_factory=dict)

    def with_context(self, name: str, context: Context) -> "Contexts":
        """The same with *context*, which becomes the current one."""
        return Contexts(name, {**self.known, name: context})

    def without(self, name: str) -> "Contexts":
        """The same without the context *name*; no other becomes current in its place."""
        known = {key: self.known[key] for key in self.known if key != name}
        return Contexts("" if self.current == name else self.current, known)

    def using(self, name: str) -> "Contexts":
        """The same with another current one."""
        return replace(self, current=name)


def contexts_file() -> Path:
    """Path of the contexts file of the current user."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "edgesync" / "contexts.yaml"


def read_contexts(file: Path | None = None) -> Contexts:
    """Contexts in *file*, empty if it does not exist; AccessError if it cannot be read."""
    file = file or contexts_file()
    try:
        text = _private_text(file)
    except FileNotFoundError:
        return Contexts()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{file} cannot be read: {error}") from error
    import yaml  # takes 10 ms, which a command without a contexts file need not spend

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise AccessError(f"{file} cannot be read: {error}") from error
    content = {"contexts": {}} if content is None else content
    if not isinstance(content, dict) or not isinstance(content.get("contexts"), dict):
        raise AccessError(f"{file} has no `contexts:`; move it away and log in again")
    known = {str(name): _context(file, name, one) for name, one in content["contexts"].items()}
    return Contexts(str(content.get("current") or ""), known)


def _private_text(file: Path) -> str:
    """Content of *file*; AccessError if its mode lets other users read it."""
    with file.open(encoding="utf-8") as opened:
        # Windows keeps access rights elsewhere than in the mode.
        if os.name == "posix" and os.fstat(opened.fileno()).st_mode & 0o077:
            raise AccessError(f"{file} may hold tokens: do `chmod 600 {file}` first")
        return opened.read()


def write_contexts(contexts: Contexts, file: Path | None = None) -> None:
    """Write *contexts* atomically, readable by the owner alone."""
    import tempfile

    import yaml

    file = file or contexts_file()
    content = {
        "current": contexts.current,
        "contexts": {name: _shown(context) for name, context in contexts.known.items()},
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Readable by its owner alone before anything is written.
        number, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        with os.fdopen(number, "w", encoding="utf-8") as opened:
            yaml.safe_dump(content, opened, sort_keys=False, allow_unicode=True)
        Path(name).replace(file)
    except OSError as error:
        raise AccessError(f"{file} cannot be written: {error}") from error


def chosen_context(name: str | None) -> Context | None:
    """The context *name*, else the current one, else None; UnknownContext if there is none."""
    contexts = read_contexts()
    wanted = name or contexts.current
    if not wanted:
        return None
    return named_context(contexts, wanted)


class UnknownContext(AccessError):
    """There is no context of that name."""


def named_context(contexts: Contexts, name: str) -> Context:
    """The context *name*; UnknownContext lists the existing ones."""
    found = contexts.known.get(name)
    if found is None:
        there = ", ".join(contexts.known) or "none; `edgesync login` makes one"
        raise UnknownContext(f'unknown context "{name}"; contexts: {there}')
    return found


def _context(file: Path, name: Any, content: Any) -> Context:
    if not isinstance(content, dict) or not set(content) <= set(_FIELDS) or "url" not in content:
        fields = ", ".join(_FIELDS)
        raise AccessError(f"{file}: context {name} needs a url, and may have: {fields}")
    return Context(**{_FIELDS[key]: str(value or "") for key, value in content.items()})


def _shown(context: Context) -> dict[str, str]:
    values = {key: getattr(context, attribute) for key, attribute in _FIELDS.items()}
    return {key: value for key, value in values.items() if value}
