"""Settings that have a new name: the old one works for one more version, with a warning."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeprecatedSetting:
    """The setting *new* that was called *old* before the version *since*, like `0.2`."""

    old: str
    new: str
    since: str

    def warning(self, where: str) -> str:
        """The message for settings that have the old name, which stands at *where*."""
        return (
            f"{where}: deprecated since {self.since}, removed in the next version: use {self.new}"
        )


DEPRECATED_SETTINGS: tuple[DeprecatedSetting, ...] = ()
"""All of them: docs/upgrading.md has the same list, which a test compares."""
