"""Hypothesis strategies for the nouns of the core.

Labels come from a small pool, so that selectors often match.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from cloud.core.app import App, AppSpec, AppVersion
from cloud.core.names import NODE_ID_LIMIT, NODE_NAME_LABEL
from cloud.core.node import Node, NodeSpec
from cloud.core.report import Reported

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

_ENDS = string.ascii_lowercase + string.digits
_KEYS = ("env", "zone", "cores", "example.com/role", NODE_NAME_LABEL)
_VALUES = ("", "dev", "test", "7", "8", "9", "n1", "n2")


def _word(longest: int, middle: str = "-", ends: str = _ENDS) -> st.SearchStrategy[str]:
    """Text that starts and ends with one of *ends*, and has *middle* only between."""
    if longest == 1:
        return st.text(ends, min_size=1, max_size=1)
    end = st.text(ends, min_size=1, max_size=1)
    inner = st.text(ends + middle, max_size=longest - 2)
    return st.one_of(end, st.builds(lambda *parts: "".join(parts), end, inner, end))


namespaces = _word(32)


def names(longest: int = 63) -> st.SearchStrategy[str]:
    """Valid names of at most *longest* characters, some with dots."""
    parts = st.lists(_word(longest), min_size=1, max_size=4)
    return parts.map(".".join).filter(lambda name: len(name) <= longest)


@st.composite
def node_identities(draw: st.DrawFn) -> tuple[str, str]:
    """A namespace, and a name that a node in it may bear."""
    namespace = draw(namespaces)
    return namespace, draw(names(NODE_ID_LIMIT - len(namespace) - 1))


label_values = st.one_of(st.just(""), _word(63, "-_.", string.ascii_letters + string.digits))
labels: st.SearchStrategy[dict[str, str]] = st.dictionaries(
    st.sampled_from(_KEYS), st.sampled_from(_VALUES)
)


@dataclass(frozen=True)
class ModelTerm:
    """A selector's term in the shape of its text; its meaning is implemented once more, naively."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds_for(self, labels: Mapping[str, str]) -> bool:
        if self.operator == "":
            return self.key in labels
        if self.operator in {"!", "!=", "notin"} and self.key not in labels:
            return True
        if self.key not in labels or self.operator == "!":
            return False
        own = labels[self.key]
        if self.operator in {"<", ">"}:
            if not own.isdigit():
                return False
            return (
                int(own) < int(self.values[0])
                if self.operator == "<"
                else int(own) > int(self.values[0])
            )
        is_among = own in list(self.values)
        return is_among if self.operator in {"=", "==", "in"} else not is_among


def model_terms() -> st.SearchStrategy[ModelTerm]:
    key, value = st.sampled_from(_KEYS), st.sampled_from(_VALUES)
    number = st.integers(0, 20).map(str)
    some = st.lists(value, min_size=1, max_size=4).filter(any).map(tuple)
    return st.one_of(
        st.builds(ModelTerm, key, st.sampled_from(["", "!"])),
        st.builds(ModelTerm, key, st.sampled_from(["=", "==", "!="]), st.tuples(value)),
        st.builds(ModelTerm, key, st.sampled_from(["<", ">"]), st.tuples(number)),
        st.builds(ModelTerm, key, st.sampled_from(["in", "notin"]), some),
    )


# What is made in a draw is validated in each: strategies are made once.
_gaps = [st.text(" \t\n", min_size=least, max_size=2) for least in (0, 1)]
_some_terms = st.lists(model_terms(), max_size=3)


@st.composite
def written(draw: st.DrawFn, terms: list[ModelTerm]) -> str:
    """One of the ways to write *terms* as a selector."""

    def gap(least: int = 0) -> str:
        return draw(_gaps[least])

    parts = []
    for term in terms:
        match term.operator:
            case "" | "!":
                text = f"{term.operator}{gap() if term.operator else ''}{term.key}"
            case "in" | "notin":
                values = ",".join(f"{gap()}{value}{gap()}" for value in term.values)
                text = f"{term.key}{gap(1)}{term.operator}{gap()}({values})"
            case _:
                text = f"{term.key}{gap()}{term.operator}{gap()}{term.values[0]}"
        parts.append(gap() + text + gap())
    return ",".join(parts)


@st.composite
def selectors(draw: st.DrawFn) -> str:
    return draw(written(draw(_some_terms)))


app_names = st.sampled_from(["web", "store", "clock", "agent"])
versions = st.integers(1, 5).map(str)
times = st.integers(0, 3).map(lambda minutes: START + timedelta(minutes=minutes))


def apps(names: st.SearchStrategy[str] = app_names) -> st.SearchStrategy[App]:
    return st.builds(
        lambda name, selector, version, created: App(
            "default", name, AppSpec(selector=selector), version, created, created
        ),
        names,
        selectors(),
        versions,
        times,
    )


def app_sets() -> st.SearchStrategy[list[App]]:
    return st.lists(apps(), max_size=4, unique_by=lambda app: app.name)


def nodes() -> st.SearchStrategy[Node]:
    return st.builds(
        lambda name, own: Node("default", name, NodeSpec(labels=own), START, START),
        st.sampled_from(["n1", "n2", "n3"]),
        labels,
    )


app_versions = st.builds(AppVersion, app_names, versions)
"""Few names and versions: lists of them repeat, and are often what is desired."""

app_lists = st.lists(app_versions, max_size=5).map(tuple)
reports = st.builds(Reported, st.none() | app_lists, st.none() | app_lists)

plain_data = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=3),
    ),
    max_leaves=20,
)
"""Anything a decoder can hand over, and some things none should."""


def nested(levels: int) -> object:
    """A list in a list in a list; built without recursion."""
    found: object = []
    for _ in range(levels - 1):
        found = [found]
    return found
