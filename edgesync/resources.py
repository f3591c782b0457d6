"""Resource files: YAML documents that say what should exist, as the REST API takes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

PATHS = {"node": "/v1/nodes", "app": "/v1/apps", "config": "/v1/configs", "secret": "/v1/secrets"}
"""Where each kind of document goes; configs and secrets have to be there before their apps."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One document: *body* is what the REST API takes."""

    kind: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the resource."""
        return str(self.body["name"])

    @property
    def collection(self) -> str:
        """Path to create it under."""
        return PATHS[self.kind]

    @property
    def path(self) -> str:
        """Path of the resource itself."""
        return f"{PATHS[self.kind]}/{self.name}"


def read_resources(text: str) -> Iterator[Resource]:
    """The documents of *text*, in order; ValueError says which one is wrong and how."""
    for index, document in enumerate(yaml.safe_load_all(text), start=1):
        if document is None:
            continue
        match document:
            case {"kind": str(kind), "name": str(), **rest} if kind in PATHS:
                body = {str(key): value for key, value in rest.items()}
                yield Resource(kind, {"name": document["name"], **body})
            case _:
                kinds = ", ".join(PATHS)
                raise ValueError(f"document {index}: needs a name, and a kind among {kinds}")


def example_resources(*names: str) -> list[Resource]:
    """Documents of the examples that come with edgesync."""
    folder = files("edgesync") / "examples"
    return [
        resource
        for name in names
        for resource in read_resources((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    ]
