"""Addresses of brokers, as the settings have them."""

import re
from collections.abc import Sequence

from broker.limits import MAX_BROKERS
from cloud.errors import Invalid

MQTT = "mqtts"
"""Scheme of a broker that speaks MQTT to servers."""

NATS = "nats"
"""Scheme of a server of a NATS cluster."""


def broker_address(setting: str, url: str, scheme: str = MQTT) -> tuple[str, int]:
    """Host and port of *url*; Invalid unless it is SCHEME://HOST:PORT."""
    found = re.fullmatch(rf"{scheme}://(\[[0-9a-fA-F:.]+\]|[^\s/:@\[\]?#]+):(\d{{1,5}})", url)
    if found is None or not 0 < int(found[2]) <= 65535:
        raise Invalid(setting, f"{url!r} is not {scheme}://HOST:PORT")
    return found[1].strip("[]"), int(found[2])


def is_nats(urls: str) -> bool:
    """Return whether the setting `broker` names servers of a NATS cluster."""
    return urls.startswith(f"{NATS}://")


def broker_addresses(urls: str) -> Sequence[tuple[str, int]]:
    """Host and port of each broker of the setting `broker`; Invalid if there are too many."""
    scheme = NATS if is_nats(urls) else MQTT
    found = [broker_address("broker", url, scheme) for url in urls.split(",")]
    if not len(found) == len(set(found)) <= MAX_BROKERS:
        raise Invalid("broker", f"has more than {MAX_BROKERS} addresses, or one twice")
    return found
