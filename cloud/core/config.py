"""A config: files of text that apps mount."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from cloud.core.names import check_data_key
from cloud.errors import Invalid

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of one config, written as JSON."""


class KeyValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="kv"):
    """Text given here and now (contract, "Create Configuration": kv type)."""

    value: str


class ConfigItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its name and what it holds."""

    key: str
    value: KeyValue


class ConfigSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator says of a config."""

    labels: dict[str, str] = {}
    data: tuple[ConfigItem, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """A config as it is kept; *version* changes with every change of its content."""

    namespace: str
    name: str
    spec: ConfigSpec
    version: str
    created: datetime
    updated: datetime


def checked_config_spec(spec: ConfigSpec) -> ConfigSpec:
    """Return *spec* if it can be kept and delivered; Invalid names the field."""
    seen: set[str] = set()
    for index, item in enumerate(spec.data):
        field = f"data[{index}].key"
        check_data_key(field, item.key)
        if item.key in seen:
            raise Invalid(field, f"{item.key!r} is there twice")
        seen.add(item.key)
    size = len(msgspec.json.encode(spec))
    if size > SIZE_LIMIT:
        raise Invalid("data", f"{size} bytes as JSON, more than the limit of {SIZE_LIMIT}")
    return spec
