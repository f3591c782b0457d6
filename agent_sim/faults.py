"""Faults that simulated nodes show with chosen versions of apps; pure.

A rule such as `web@3:20%` names an app, a version (all versions without one) and a share of the
fleet. Which nodes those are follows from their fingerprints and the seed alone, and each kind of
fault has its own: the same fleet shows the same faults in each run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from hashlib import sha256

from agent_sim.errors import FaultRuleError
from agent_sim.model import HeldApp
from agent_sim.offers import Deferral

CAUSE = "simulated fault: exited with status 1 after its start"
"""The cause that a node reports for an app of a FAIL rule."""


class FaultKind(StrEnum):
    """What happens on a node that starts the version."""

    # The app is reported as Failed.
    FAIL = "fail"
    # The node has the version, and is not connected for a time before it reports it.
    VANISH = "vanish"
    # The start takes long.
    SLOW = "slow"
    # The app restarts again and again.
    FLAP = "flap"
    # The version is put off where it is offered and has to be accepted.
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class FaultRule:
    """A fault of a *share* of the fleet (0 to 1); an empty *version* stands for all."""

    kind: FaultKind
    app: str
    version: str
    share: Fraction

    def matches(self, app: HeldApp) -> bool:
        """Return whether the rule is about this version of this app."""
        return app.name == self.app and self.version in {"", app.version}


@dataclass(frozen=True, slots=True)
class NodeFaults:
    """The rules that apply to one node; seconds: silent, to start, between restarts, put off."""

    rules: tuple[FaultRule, ...] = ()
    vanish_seconds: float = 60.0
    slow_seconds: float = 60.0
    flap_seconds: float = 10.0
    defer_seconds: float = 60.0

    @property
    def deferral(self) -> Deferral:
        """What the node puts off."""
        rules = [rule for rule in self.rules if rule.kind is FaultKind.DEFER]
        return Deferral(tuple((rule.app, rule.version) for rule in rules), self.defer_seconds)

    def shows(self, kind: FaultKind, app: HeldApp) -> bool:
        """Return whether this node has a fault of this *kind* with *app*."""
        return any(rule.kind is kind and rule.matches(app) for rule in self.rules)


_RULE = re.compile(r"(?P<app>[^@:]+)(?:@(?P<version>[^@:]+))?:(?P<share>[0-9]+(?:\.[0-9]+)?)%")


def read_rule(kind: FaultKind, text: str) -> FaultRule:
    """Read `APP[@VERSION]:SHARE%`; FaultRuleError names what is wrong."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise FaultRuleError(text, "not APP@VERSION:SHARE%, such as web@3:20%")
    share = Fraction(found["share"]) / 100
    if not 0 < share <= 1:
        raise FaultRuleError(text, "the share is above 0% and at most 100%")
    return FaultRule(kind, found["app"], found["version"] or "", share)


def rules_by_node(
    rules: Sequence[FaultRule], fingerprints: Sequence[str], seed: int
) -> Mapping[str, tuple[FaultRule, ...]]:
    """The rules that apply to each node, by fingerprint.

    A rule applies to its share of the nodes, rounded, and to one node at least. A larger share
    includes the nodes of a smaller one.
    """
    chosen: dict[str, list[FaultRule]] = {own: [] for own in fingerprints}
    for rule in rules:
        order = sorted(fingerprints, key=lambda own: _rank(seed, rule.kind, own))
        for own in order[: max(1, round(rule.share * len(order)))]:
            chosen[own].append(rule)
    return {own: tuple(found) for own, found in chosen.items()}


def _rank(seed: int, kind: FaultKind, own: str) -> bytes:
    return sha256(f"{seed}/{kind}/{own}".encode()).digest()
