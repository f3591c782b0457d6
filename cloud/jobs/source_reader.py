"""Reads values from the sources that the operator of the server allows."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.core.secret import SIZE_LIMIT
from cloud.core.secret_source import SecretSource, SourceKind, Sources, variable_name
from cloud.errors import Invalid, Unavailable

FILES_AT_ONCE = 2
"""Files that are read at the same time."""

ReadFields = Callable[[str, str], Awaitable[Mapping[str, Any]]]
"""The fields at a path of a namespace in a Vault; Unavailable with the reason."""


@dataclass(frozen=True, slots=True)
class SourceReader:
    """Reads below *directory*, variables that begin with *prefix*, and by *vault*.

    What is empty or None is not read.
    """

    directory: Path | None = None
    prefix: str = ""
    environ: Mapping[str, str] | None = None
    vault: ReadFields | None = None
    # Its own: a file on a disk that does not answer must not take the threads of others.
    threads: Executor = field(default_factory=lambda: ThreadPoolExecutor(FILES_AT_ONCE, "sources"))

    def check(self, sources: Sources) -> None:
        """Invalid for the first of *sources* of a kind that this server does not read."""
        settings = {
            SourceKind.FILE: ("secret_source_dir", self.directory),
            SourceKind.ENV: ("secret_variable_prefix", self.prefix),
            SourceKind.VAULT: ("vault_url", self.vault),
        }
        # One that names none, or several, is refused by the rules of secrets.
        for key, source in sources.items():
            for kind, (setting, given) in settings.items():
                if getattr(source, kind.value) and not given:
                    reason = f"this server reads no such source; its setting {setting} is empty"
                    raise Invalid(f"dataFrom.{key}.{kind.value}", reason)

    async def values(self, namespace: str, sources: Sources) -> Mapping[str, str]:
        """The value of each key; Unavailable names the key, the source and the reason."""
        fields: dict[str, Mapping[str, Any]] = {}
        values: dict[str, str] = {}
        for key, source in sources.items():
            try:
                if source.kind is SourceKind.VAULT and source.vault not in fields:
                    fields[source.vault] = await self._fields(namespace, source.vault)
                values[key] = await self._value(namespace, source, fields)
            except Unavailable as error:
                raise Unavailable(f"{key}: {source}: {error.reason}") from error
        if sum(len(value.encode()) for value in values.values()) > SIZE_LIMIT:
            raise Unavailable(f"all values have more than {SIZE_LIMIT} bytes")
        return values

    async def _value(
        self, namespace: str, source: SecretSource, fields: Mapping[str, Mapping[str, Any]]
    ) -> str:
        if source.kind is SourceKind.FILE:
            loop, name = asyncio.get_running_loop(), source.file
            return await loop.run_in_executor(self.threads, self._from_file, namespace, name)
        if source.kind is SourceKind.ENV:
            return self._from_variable(namespace, source.env)
        value = fields[source.vault].get(source.field)
        if not isinstance(value, str) or not value:
            raise Unavailable("there is no text in that field")
        return value

    async def _fields(self, namespace: str, path: str) -> Mapping[str, Any]:
        if self.vault is None:
            raise Unavailable("this server reads no vault")
        return await self.vault(namespace, path)

    def _from_variable(self, namespace: str, name: str) -> str:
        variable = variable_name(self.prefix, namespace, name)
        value = (self.environ or {}).get(variable, "") if self.prefix else ""
        if not value:
            raise Unavailable(f"the environment of the server has no {variable}")
        return value

    def _from_file(self, namespace: str, name: str) -> str:
        if self.directory is None:
            raise Unavailable("this server reads no files")
        try:
            own = (self.directory / namespace).resolve(strict=True)
            path = (own / name).resolve(strict=True)
            if own.parent != self.directory.resolve() or not path.is_relative_to(own):
                raise Unavailable(f"it leads out of the directory of namespace {namespace}")
            text = _content(path)
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            reason = error.strerror if isinstance(error, OSError) else "links in a circle"
            raise Unavailable(reason or "cannot be read") from None
        if not text:
            raise Unavailable("it is empty")
        return text


def _content(path: Path) -> str:
    """The text of a file; whatever else it is, nothing waits for it."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unavailable("it is not a file")
        content = file.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        raise Unavailable(f"it has more than {SIZE_LIMIT} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Unavailable("it is not text in UTF-8") from None
