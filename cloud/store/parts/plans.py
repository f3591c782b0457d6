"""Whom a change reaches, and the guards that ask about it."""
# ruff: noqa: D102  # `plan_interface` says what each method promises

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.guard import Guard, GuardSpec
from cloud.core.plan import Reach
from cloud.core.readiness import QUIET
from cloud.core.selectors import Selector
from cloud.store import plan_sql
from cloud.store.parts.part import Part
from cloud.store.rows import micros
from cloud.store.selection import NODE, Selection


class PlanPart(Part):
    """What plans are made of."""

    def set_stale_aside(self, namespace: str) -> Sequence[str]:
        found = self._run(plan_sql.SET_STALE_ASIDE, {"namespace": namespace})
        return [name for (name,) in found]

    def put_stale_back(self, namespace: str, names: Sequence[str]) -> None:
        if names:
            given = msgspec.json.encode(names).decode()
            self._run(plan_sql.PUT_STALE_BACK, {"namespace": namespace, "names": given})

    def stale_reach(self, namespace: str, *, now: datetime, names: int) -> Reach:
        key = {"namespace": namespace}
        touched, offline, total = self._run(
            plan_sql.STALE_REACH, {**key, "now": micros(now), "quiet": QUIET}
        )[0]
        some = self._run(plan_sql.SOME_STALE, {**key, "limit": names})
        return Reach(touched, offline, total, [name for (name,) in some])

    def count_matching(self, namespace: str, selector: Selector) -> int:
        return Selection(self._run, NODE, namespace, selector).total() if selector else 0

    def guard(self, namespace: str) -> Guard | None:
        found = self._run(plan_sql.GUARD, {"namespace": namespace})
        if not found:
            return None
        share, least = found[0]
        return Guard(namespace, GuardSpec(float(share), least))

    def put_guard(self, guard: Guard) -> None:
        spec = guard.spec
        self._run(
            plan_sql.PUT_GUARD,
            {
                "namespace": guard.namespace,
                "max_share": repr(float(spec.max_share)),
                "min_nodes": spec.min_nodes,
            },
        )
