"""Conditions on nodes by the fields of their status, as fragments of statements.

`place` is the row of a node in `node_status`. A condition is true or false and never null, so that
NOT is its opposite.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from cloud.core import field_selectors as fields
from cloud.core.app import App
from cloud.core.deploys import DeployStatus
from cloud.core.field_selectors import FieldTerm
from cloud.core.readiness import OFFLINE_AFTER_INTERVALS, STALE_AFTER_INTERVALS, NodeState
from cloud.core.running import NOT_UP, AppStatus, RunState
from cloud.core.selectors import Operator, Selector
from cloud.store.rows import micros
from cloud.store.statements import Fragment, fragment, fragment_apart, joined, numbered

NOT, AND, OR, OPEN, CLOSE = map(fragment, ("NOT ", " AND ", " OR ", "(", ")"))
# PostgreSQL would rather make a hash table of all rows than look up some of them.
PROBE_END = fragment(" {fence})")
_NEVER_TRUE = fragment("(1 = 0)")

# An online node is silent for less than some intervals, an offline one for more.
_STATES: Mapping[str, Fragment] = {
    NodeState.ONLINE: fragment_apart(
        sqlite="(place.online_until > :now)",
        postgres="""(place.heard IS NOT NULL AND place.revoked = 0
AND :now - place.heard < :quiet * place.report_interval)""",
    ),
    NodeState.STALE: fragment(
        """(place.heard IS NOT NULL AND place.revoked = 0
AND :now - place.heard >= :quiet * place.report_interval
AND :now - place.heard < :gone * place.report_interval)"""
    ),
    NodeState.OFFLINE: fragment(
        """(place.heard IS NOT NULL AND (place.revoked = 1
OR :now - place.heard >= :gone * place.report_interval))"""
    ),
    NodeState.NEVER: fragment("(place.heard IS NULL)"),
}
_DEPLOY_IS = fragment("(place.deploy = :value_#)")
_AGENT_LIKE = fragment("(place.agent {glob[value_#]})")
_EXPIRES_BEFORE = fragment("(place.expires IS NOT NULL AND place.expires < :bound_#)")
_EXPIRES_AFTER = fragment("(place.expires IS NOT NULL AND place.expires > :bound_#)")
_NAME_IN = fragment("(place.name IN (SELECT given.value FROM {elements[values_#]}))")
_NAME_IS = fragment("(place.name = :value_#)")
_NAME_LIKE = fragment("(place.name {glob[value_#]})")
_NAMESPACE_LIKE = fragment("(place.namespace {glob[value_#]})")

# Of reported apps `own` is a row; conditions follow.
_HAS_APP = fragment(
    """{exists} (SELECT 1 FROM reported_app AS own WHERE own.namespace = :namespace
AND own.name = place.name AND own.app = :app_#""",
    reads={"reported_app"},
)
_OF_APP = fragment(
    """SELECT own.name FROM reported_app AS own
WHERE own.namespace = :namespace AND own.app = :app_#""",
    reads={"reported_app"},
)
_EACH_OF_APP = fragment(
    """SELECT DISTINCT own.name FROM reported_app AS own
WHERE own.namespace = :namespace AND own.app = :app_#""",
    reads={"reported_app"},
)
_OF_VERSION = fragment(" AND own.version = :version_#")
# The version for the node: what a rollout has assigned to it, else that of all others.
_ASSIGNED = """COALESCE((SELECT assigned.version FROM assignment AS assigned
WHERE assigned.namespace = :namespace AND assigned.name = {node} AND assigned.app = :app_#),
:version_#)"""
_OF_ASSIGNED = fragment(
    f" AND own.version = {_ASSIGNED.format(node='own.name')}", reads={"assignment"}
)
_IS_FOR_IT = fragment(f"({_ASSIGNED.format(node='place.name')} <> '')", reads={"assignment"})
_OF_VERSIONS = fragment(" AND own.version IN (SELECT given.value FROM {elements[values_#]})")
_NAMED_IT = fragment(" AND own.state <> 'refused'")
_STATE_IS: Mapping[str, Fragment] = {
    state.value: fragment(f"own.state = '{state.value}'") for state in RunState
}

_FAILED = [state.value for state in NOT_UP]
_ROWS: Mapping[str, Sequence[str]] = {
    AppStatus.RUNNING: [RunState.RUNNING.value],
    AppStatus.FAILED: _FAILED,
    AppStatus.ROLLED_BACK: [RunState.ROLLED_BACK.value],
    AppStatus.UNSELECTED: [RunState.UNSELECTED.value],
}
_SETTLED = [RunState.RUNNING.value, *_FAILED]


@dataclass(frozen=True, slots=True)
class AppCondition:
    """A condition on reported apps; *names* selects the nodes that satisfy it, where rows do."""

    test: Fragment
    names: Fragment | None = None


class NodeConditions:
    """The conditions of field *terms*, by the moment *now* and the *apps* as they are wanted.

    Of those *governed* a node may have another version assigned. *values* takes the parameters;
    *has_labels* makes the conditions of a selector.
    """

    def __init__(
        self,
        terms: Sequence[FieldTerm],
        values: dict[str, str | int],
        *,
        now: datetime | None,
        apps: Mapping[str, App],
        governed: Collection[str] = (),
        has_labels: Callable[[Selector], Sequence[Fragment]],
    ) -> None:
        self._values = values
        self._apps = apps
        self._governed = governed
        self._has_labels = has_labels
        self._now = now
        # Conditions on the row of the node's status, its name among them.
        self.of_status: list[Fragment] = []
        self.of_apps: list[AppCondition] = []
        # Whether names are given, so that few nodes can satisfy all.
        self.is_of_names = False
        # Whether all are of the deploy, which an index has beside the labels.
        self.is_of_deploys = all(term.field == fields.DEPLOY for term in terms)
        for term in terms:
            if term.field in {fields.APPS, fields.VERSIONS}:
                self.of_apps.append(self._app(term))
            else:
                test = self._status(term)
                self.of_status.append(joined(NOT, test) if term.is_negated else test)

    def _status(self, term: FieldTerm) -> Fragment:
        match term.field:
            case fields.NAME:
                return self._name(term)
            case fields.STATE:
                self._values |= moments_of_states(self._moment)
                return any_of([_STATES[value] for value in term.values])
            case fields.DEPLOY:
                more = (DeployStatus.ROLLED_BACK,) if DeployStatus.FAILED in term.values else ()
                values = dict.fromkeys([*term.values, *more])
                return any_of([self._with("value", value, _DEPLOY_IS) for value in values])
            case fields.EXPIRES:
                test = _EXPIRES_BEFORE if term.operator is Operator.LESS else _EXPIRES_AFTER
                bound = micros(fields.time_of(term.values[0], self._moment))
                return self._with("bound", bound, test)
            case _:
                like = _AGENT_LIKE if term.field == fields.AGENT else _NAMESPACE_LIKE
                return any_of([self._with("value", value, like) for value in term.values])

    def _name(self, term: FieldTerm) -> Fragment:
        if any("*" in value for value in term.values):
            return any_of([self._with("value", value, _NAME_LIKE) for value in term.values])
        self.is_of_names = self.is_of_names or not term.is_negated
        if len(term.values) == 1:
            return self._with("value", term.values[0], _NAME_IS)
        return self._with("values", _array(term.values), _NAME_IN)

    def _app(self, term: FieldTerm) -> AppCondition:
        number = self._set("app", term.app)
        has, of_app, each = (numbered(one, number) for one in (_HAS_APP, _OF_APP, _EACH_OF_APP))
        if term.field == fields.VERSIONS:
            is_one = len(term.values) == 1
            versions = (
                self._with("version", term.values[0], _OF_VERSION)
                if is_one
                else self._with("values", _array(term.values), _OF_VERSIONS)
            )
            which = [versions, _NAMED_IT]
            names = joined(of_app if is_one else each, *which)
            return _app_condition([joined(has, *which, PROBE_END)], names, term)
        app = self._apps.get(term.app)
        wanted = [self._wanted(app, number)] if app else []
        tests: list[Fragment] = []
        selected: Fragment | None = None
        rows = {state for value in term.values for state in _ROWS.get(value, ())}
        if rows:
            # What should not run there is of any version.
            of_any = RunState.UNSELECTED in rows or app is None
            which = [*([] if of_any else wanted), _states(rows)]
            selected = joined(each if of_any else of_app, *which)
            tests.append(joined(has, *which, PROBE_END))
        if AppStatus.PENDING in term.values:
            selected = None
            settled = joined(has, *wanted, _states(_SETTLED), PROBE_END)
            tests.append(self._pending(app, number, settled))
        return _app_condition(tests, selected, term)

    def _wanted(self, app: App, number: int) -> Fragment:
        """The condition that a row is of the wanted version; *number* is that of the app."""
        if app.name not in self._governed:
            return self._with("version", app.version, _OF_VERSION)
        self._values[f"version_{number}"] = app.version
        return numbered(_OF_ASSIGNED, number)

    def _pending(self, app: App | None, number: int, settled: Fragment) -> Fragment:
        """Satisfied by selected nodes that neither report that they run it nor that it failed."""
        if app is None or not app.selector:
            return _NEVER_TRUE
        tests = [*self._has_labels(app.selector), joined(NOT, settled)]
        if app.name in self._governed:
            tests.append(numbered(_IS_FOR_IT, number))
        return all_of_them(tests)

    @property
    def _moment(self) -> datetime:
        if self._now is None:
            raise ValueError("the list needs the time that its fields are of")
        return self._now

    def _set(self, parameter: str, value: str | int) -> int:
        number = len(self._values)
        self._values[f"{parameter}_{number}"] = value
        return number

    def _with(self, parameter: str, value: str | int, test: Fragment) -> Fragment:
        return numbered(test, self._set(parameter, value))


def moments_of_states(now: datetime) -> Mapping[str, int]:
    """The parameters by which statements compute the states of nodes at *now*."""
    return {
        "now": micros(now),
        "quiet": STALE_AFTER_INTERVALS,
        "gone": OFFLINE_AFTER_INTERVALS,
    }


def _states(states: Iterable[str]) -> Fragment:
    return joined(AND, any_of([_STATE_IS[state] for state in sorted(states)]))


def any_of(tests: Sequence[Fragment]) -> Fragment:
    """Satisfied by what satisfies one of *tests*."""
    return tests[0] if len(tests) == 1 else joined(OPEN, *_between(OR, tests), CLOSE)


def all_of_them(tests: Sequence[Fragment]) -> Fragment:
    """Satisfied by what satisfies all *tests*, of which there is at least one."""
    return joined(OPEN, *_between(AND, tests), CLOSE)


def _app_condition(
    tests: Sequence[Fragment], names: Fragment | None, term: FieldTerm
) -> AppCondition:
    test = any_of(tests)
    return AppCondition(joined(NOT, test)) if term.is_negated else AppCondition(test, names)


def _between(separator: Fragment, pieces: Sequence[Fragment]) -> Iterator[Fragment]:
    for place, piece in enumerate(pieces):
        if place:
            yield separator
        yield piece


def _array(values: Sequence[str]) -> str:
    return msgspec.json.encode(values).decode()
