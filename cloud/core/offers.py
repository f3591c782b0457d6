"""What nodes are offered before they should run it, and what they report of it.

docs/protocol.md, "Offers", has the rules; `rollout_offers` makes offers of rollouts.
"""

from collections.abc import Sequence

import msgspec

ACCEPTED, DEFERRED = "accepted", "deferred"


class NodeOffer(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A version that a node may fetch; times as text. *consent*: its user has to accept it."""

    name: str
    version: str
    not_before: str = ""
    consent: bool = False
    latest: str = ""


class OfferReport(msgspec.Struct, frozen=True, rename="camel"):
    """An offer as the node reports it, with its answer."""

    name: str
    version: str
    not_before: str = ""
    consent: bool = False
    latest: str = ""
    fetched: bool = False
    answer: str = ""
    until: str = ""
    reason: str = ""

    @property
    def offer(self) -> NodeOffer:
        """The offer that it is about."""
        return NodeOffer(self.name, self.version, self.not_before, self.consent, self.latest)


def is_reported(offers: Sequence[NodeOffer], reported: Sequence[OfferReport]) -> bool:
    """Return whether a node names exactly *offers*, in whatever order."""
    return len(offers) == len(reported) and set(offers) == {one.offer for one in reported}
