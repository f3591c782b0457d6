"""A rollout policy: in which stages, how fast, and how carefully new versions of apps reach nodes.

An app that no policy governs goes to all its nodes at once.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.durations import parse_duration
from cloud.core.kinds import ROLLOUT_POLICY
from cloud.core.names import check_label_key, check_name
from cloud.core.resource import VersionedResource
from cloud.core.rollout_windows import Window, check_windows
from cloud.core.selectors import matches, parse_selector
from cloud.errors import Invalid

SIZE_LIMIT = 64 * 1024
"""Bytes of one policy, written as JSON."""

STAGES_LIMIT = 100
"""Stages of one policy."""

DEFAULT_DEADLINE = timedelta(minutes=15)
"""How long a node that was sent a version may take to be healthy with it."""

REMAINDER = "remaining"
"""Name of the stage that follows the last one of a policy where that does not take all nodes."""

_AMOUNT = re.compile(r"(?P<number>[0-9]{1,9})(?P<share>%)?")


class _PolicyPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A piece of a policy; its names are camelCase."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of nodes, or a share of them in percent where *is_share*."""

    number: int
    is_share: bool = False

    def at_most(self, total: int) -> int:
        """Nodes of *total* that this allows; a share is rounded down."""
        return self.number * total // 100 if self.is_share else self.number

    def at_least(self, total: int) -> int:
        """Nodes of *total* that this asks for; a share is rounded up."""
        return math.ceil(self.number * total / 100) if self.is_share else self.number


ALL = Amount(100, is_share=True)


class Approval(StrEnum):
    """Whether a stage begins by itself."""

    NONE = "none"
    REQUIRED = "required"


class FailureAction(StrEnum):
    """What a rollout does once too many nodes failed."""

    PAUSE = "pause"
    ROLLBACK = "rollback"


class OfflineNodes(StrEnum):
    """Whether a stage waits for nodes that are offline before they are admitted.

    Nodes that it does not wait for are skipped, and get the version once they are back.
    """

    SKIP = "skip"
    WAIT = "wait"


class Consenter(StrEnum):
    """Who has to accept a version before a node applies it."""

    DEVICE = "device"


class Approver(StrEnum):
    """The least role of who may approve a stage."""

    OPERATOR = "operator"
    ADMIN = "admin"


class AppChoice(_PolicyPart, frozen=True):
    """The apps that a policy governs: those with *names*, and those whose labels match *selector*.

    An empty selector matches no app.
    """

    selector: str = ""
    names: tuple[str, ...] = ()


class RolloutStage(_PolicyPart, frozen=True):
    """A stage: which nodes, and what has to be true of them before the next one begins.

    *selector* is on the nodes' labels, an empty one matches all. *limit* (`5`, `10%` of the nodes
    that the app selects) is how many nodes the stage takes, without one all that match. *success*
    is how many of them have to be healthy, for *soak* each. The stage begins once it is approved,
    where *approval* is required.
    """

    name: str
    selector: str = ""
    limit: int | str = "100%"
    success: int | str = "100%"
    soak: str = "0s"
    approval: Approval = Approval.NONE

    @property
    def amount(self) -> Amount:
        """The limit."""
        return parse_amount("limit", self.limit)

    @property
    def required(self) -> Amount:
        """How many nodes of the stage have to be healthy."""
        return parse_amount("success", self.success)

    @property
    def soak_time(self) -> timedelta:
        """How long a node has to be healthy."""
        return parse_duration("soak", self.soak)


class Budget(_PolicyPart, frozen=True):
    """How many nodes may be unavailable at once because of the rollout.

    *by* is the key of a label: *max_unavailable* (a count, or a share rounded down to at least 1)
    then holds for the nodes of each value of it, nodes without the label being a group of their
    own. Without *by* it holds for all nodes of the rollout.
    """

    by: str = ""
    max_unavailable: int | str = "100%"

    def unavailable(self, group: int) -> int:
        """Nodes that may be unavailable of a *group* of so many; at least 1."""
        amount = parse_amount("budget.maxUnavailable", self.max_unavailable)
        return max(1, amount.at_most(group))


class FailureBound(_PolicyPart, frozen=True):
    """How many nodes of the rollout may fail (*max*), and what is done once more have failed.

    A share is of the nodes that the app selects, rounded down.
    """

    max: int | str = 0
    action: FailureAction = FailureAction.PAUSE

    def tolerated(self, total: int) -> int:
        """Nodes of *total* that may fail."""
        return parse_amount("failure.max", self.max).at_most(total)


class ConsentRule(_PolicyPart, frozen=True):
    """Who has to accept the version on each node, and how long that may be deferred at most."""

    by: Consenter = Consenter.DEVICE
    latest: str = "72h"

    @property
    def longest(self) -> timedelta:
        """How long after it was offered a version is applied without consent."""
        return parse_duration("consent.latest", self.latest)


class RolloutPolicySpec(_PolicyPart, frozen=True):
    """The specification of a policy.

    *deadline* is how long a node that was sent the version may be silent, or not healthy, before
    it has failed. *windows* are when nodes may apply versions; without any they always may.
    *approver* is the least role of who may approve stages.
    """

    apps: AppChoice = AppChoice()
    stages: tuple[RolloutStage, ...] = ()
    budget: Budget = Budget()
    failure: FailureBound = FailureBound()
    deadline: str = "15m"
    offline: OfflineNodes = OfflineNodes.SKIP
    windows: tuple[Window, ...] = ()
    consent: ConsentRule | None = None
    approver: Approver = Approver.OPERATOR
    labels: dict[str, str] = {}
    description: str = ""

    @property
    def deadline_time(self) -> timedelta:
        """The deadline."""
        return parse_duration("deadline", self.deadline)

    @property
    def all_stages(self) -> tuple[RolloutStage, ...]:
        """The stages, with one for all other nodes where the last one does not take them."""
        last = self.stages[-1] if self.stages else None
        if last and not parse_selector(last.selector) and last.amount == ALL:
            return self.stages
        return (*self.stages, RolloutStage(REMAINDER))


@dataclass(frozen=True, slots=True)
class RolloutPolicy(VersionedResource[RolloutPolicySpec]):
    """A policy as it is stored."""

    kind = ROLLOUT_POLICY

    def governs(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether the app *name* with *labels* is rolled out by this policy."""
        choice = self.spec.apps
        terms = parse_selector(choice.selector)
        return name in choice.names or bool(terms and matches(terms, labels))


def governing(
    policies: Iterable[RolloutPolicy], name: str, labels: Mapping[str, str]
) -> RolloutPolicy | None:
    """The policy that governs the app *name* with *labels*; None where it goes to all at once.

    One that names the app comes before those that select it, then the first by its name.
    """
    found = [policy for policy in policies if policy.governs(name, labels)]
    found.sort(key=lambda policy: (name not in policy.spec.apps.names, policy.name))
    return found[0] if found else None


@lru_cache(maxsize=1024)
def parse_amount(field: str, value: int | str) -> Amount:
    """The amount that *value* stands for (`5`, `"5"`, `"10%"`); Invalid names *field*."""
    text = _AMOUNT.fullmatch(str(value))
    if text is None or (text["share"] and int(text["number"]) > 100):
        raise Invalid(field, f"{str(value)[:40]!r} is not a count such as 5 or a share such as 10%")
    return Amount(int(text["number"]), is_share=bool(text["share"]))


def checked_policy_spec(spec: RolloutPolicySpec) -> RolloutPolicySpec:
    """Return *spec* if rollouts can follow it; Invalid names the field."""
    check_description(spec.description)
    check_size("", spec, SIZE_LIMIT)
    _check_apps(spec.apps)
    _check_stages(spec.stages)
    if spec.budget.by:
        check_label_key("budget.by", spec.budget.by)
    if parse_amount("budget.maxUnavailable", spec.budget.max_unavailable).number == 0:
        raise Invalid("budget.maxUnavailable", "is 0: no node could be updated")
    parse_amount("failure.max", spec.failure.max)
    if not parse_duration("deadline", spec.deadline):
        raise Invalid("deadline", "is 0: every node would fail at once")
    check_windows("windows", spec.windows)
    if spec.consent is not None:
        parse_duration("consent.latest", spec.consent.latest)
    return spec


def _check_apps(choice: AppChoice) -> None:
    parse_selector(choice.selector, "apps.selector")
    for index, name in enumerate(choice.names):
        check_name(f"apps.names[{index}]", name)
    if not choice.names and not choice.selector.strip():
        raise Invalid("apps", "needs a selector on the labels of apps, or their names")


def _check_stages(stages: tuple[RolloutStage, ...]) -> None:
    if len(stages) > STAGES_LIMIT:
        raise Invalid("stages", f"{len(stages)} of them, more than the limit of {STAGES_LIMIT}")
    names: set[str] = set()
    for index, stage in enumerate(stages):
        field = f"stages[{index}]"
        check_name(f"{field}.name", stage.name)
        if stage.name in names or stage.name == REMAINDER:
            taken = "is there twice" if stage.name in names else "is the name of the last stage"
            raise Invalid(f"{field}.name", f"{stage.name!r} {taken}")
        names.add(stage.name)
        parse_selector(stage.selector, f"{field}.selector")
        if parse_amount(f"{field}.limit", stage.limit).number == 0:
            raise Invalid(f"{field}.limit", "is 0: the stage would have no nodes")
        parse_amount(f"{field}.success", stage.success)
        parse_duration(f"{field}.soak", stage.soak)
