"""What Go's text/template makes of a text, as far as an agent's environment can be named in it."""

import re
from collections.abc import Mapping

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.S)
_FIELD = re.compile(r"\s*\.([A-Za-z_][A-Za-z0-9_]*)\s*")


class TemplateFailed(Exception):
    """The real agent drops the whole answer and logs that."""


def template_pass(text: str, environment: Mapping[str, str]) -> str:
    """*text* with each `{{.NAME}}` replaced; any other action fails (`missingkey=error`).

    Text without two opening braces side by side comes out as it went in.
    """
    rest = _ACTION.sub("", text)
    if "{{" in rest:
        raise TemplateFailed("unclosed action")

    def value(found: "re.Match[str]") -> str:
        name = _FIELD.fullmatch(found[1])
        if name is None or name[1] not in environment:
            raise TemplateFailed(f"cannot execute {found[0]!r}")
        return environment[name[1]]

    return _ACTION.sub(value, text)
