"""The core configuration of a node: settings of its agent (Baetyl's name for them)."""

from datetime import timedelta
from enum import StrEnum

import msgspec

from cloud.errors import Invalid


class Mode(StrEnum):
    """The mode of a node: with *local* the server takes its reports and sends it no updates."""

    CLOUD = "cloud"
    LOCAL = "local"


class LogLevel(StrEnum):
    """Least level that the agent logs."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


_SECOND = timedelta(seconds=1)


class CoreConfiguration(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How the agent of a node works; *version* is that of its image, empty for the default.

    *frequency* is seconds between reports. The limits and defaults are Baetyl's.
    """

    version: str = ""
    frequency: int = 20
    apiport: int = 30050
    agentport: int = 30080
    log_level: LogLevel = msgspec.field(name="logLevel", default=LogLevel.DEBUG)
    byte_unit: str = msgspec.field(name="byteUnit", default="KB")
    speed_limit: int = msgspec.field(name="speedLimit", default=0)

    @property
    def report_every(self) -> timedelta:
        """Time between two reports of the node."""
        return self.frequency * _SECOND


DEFAULT_CORE = CoreConfiguration()
"""The default settings of an agent."""

_VERSION_LIMIT = 128


def checked_core(core: CoreConfiguration) -> CoreConfiguration:
    """Return *core* if an agent can work like that; Invalid names the field."""
    _check_range("frequency", core.frequency, 1, 300)
    _check_range("apiport", core.apiport, 1024, 65535)
    _check_range("agentport", core.agentport, 1024, 65535)
    _check_range("speedLimit", core.speed_limit, 0, 2**31 - 1)
    if core.apiport == core.agentport:
        raise Invalid("agentport", "is the same as apiport")
    if core.byte_unit not in {"KB", "MB"}:
        raise Invalid("byteUnit", "is neither KB nor MB")
    if len(core.version) > _VERSION_LIMIT or not all(
        character.isascii() and (character.isalnum() or character in "-._")
        for character in core.version
    ):
        raise Invalid("version", "is not the tag of an image")
    return core


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Invalid(field, f"is not between {least} and {most}")
