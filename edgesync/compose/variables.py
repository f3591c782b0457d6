"""`${NAME}` in values, and files of variables (Compose specification, "Interpolation")."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{)|(?P<wrong>))"
)
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])(.*))?", re.DOTALL)
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=(.*))?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
NESTING_LIMIT = 20


def interpolated(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Replace the references in *text*; `$$` is a dollar sign, an unset variable is empty.

    ValueError for a reference that is not well formed, and for `${NAME:?text}` without a value.
    """
    if depth > NESTING_LIMIT:
        raise ValueError("references are nested too deep")
    parts, at = [], 0
    for found in _REFERENCE.finditer(text):
        if found.start() < at:
            continue
        parts.append(text[at : found.start()])
        at = found.end()
        if found["dollar"]:
            parts.append("$")
        elif found["plain"]:
            parts.append(variables.get(found["plain"], ""))
        elif found["brace"]:
            end = _closing(text, at)
            parts.append(_braced(text[at:end], variables, depth))
            at = end + 1
        else:
            raise ValueError(f"invalid reference at {text[found.start() :][:20]!r}; write $$ for $")
    return "".join([*parts, text[at:]])


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        if text.startswith("${", at):
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    raise ValueError(f"no closing brace in {text[:40]!r}")


def _braced(inner: str, variables: Mapping[str, str], depth: int) -> str:
    found = _BRACED.fullmatch(inner)
    if found is None:
        raise ValueError(f"invalid reference ${{{inner[:40]}}}")
    name, operator, rest = found[1], found[2] or "", found[3] or ""
    value = variables.get(name)
    is_set = bool(value) if operator.startswith(":") else value is not None
    match operator[-1:]:
        case "-":
            return value or "" if is_set else interpolated(rest, variables, depth + 1)
        case "+":
            return interpolated(rest, variables, depth + 1) if is_set else ""
        case "?" if not is_set:
            raise ValueError(f"variable {name} is required: {rest}")
    return value or ""


def read_variables(text: str, known: Mapping[str, str]) -> dict[str, str | None]:
    """Variables of an env file; None where only a name stands. *known* fills references.

    Single quotes are literal; in double quotes and without quotes `${NAME}` is replaced.
    ValueError names the line that is not one.
    """
    found: dict[str, str | None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number}: expected NAME=VALUE")
        if match[2] is None:
            found[match[1]] = None
            continue
        seen = {**{name: value for name, value in found.items() if value is not None}, **known}
        found[match[1]] = _value(match[2].strip(), seen)
    return found


def _value(text: str, variables: Mapping[str, str]) -> str:
    if text[:1] == "'" and "'" in text[1:]:
        return text[1 : text.index("'", 1)]
    if text[:1] == '"':
        found = re.match(r'"((?:[^"\\]|\\.)*)"', text)
        if found:
            plain = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), found[1])
            return interpolated(plain, variables)
    return interpolated(re.split(r"\s#", text, maxsplit=1)[0].rstrip(), variables)
