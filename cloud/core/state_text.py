"""A state as lines of YAML, to be compared line by line."""

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, so that lines can be compared."""


def lines_of(state: Mapping[str, Any] | None) -> list[str]:
    """The lines of *state*; none for None."""
    if state is None:
        return []
    text = yaml.dump(state, Dumper=_Dumper, allow_unicode=True, width=10**6)
    return text.rstrip("\n").split("\n")


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
