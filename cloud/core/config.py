"""A config: files that apps mount, as text or by where they lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cloud.core.bounds import check_description, check_label_bounds, check_size
from cloud.core.kinds import CONFIG
from cloud.core.mask import Hidden
from cloud.core.names import check_data_key
from cloud.core.objects import (
    KEY_PREFIX,
    FunctionObject,
    StoredObject,
    check_object,
    masked,
    unmasked,
)
from cloud.core.resource import VersionedResource, for_log
from cloud.errors import Invalid

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of one config, written as JSON."""


class KeyValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="kv"):
    """Text given here and now (contract, "Create Configuration": kv type)."""

    value: str


ConfigValue = KeyValue | StoredObject | FunctionObject


class ConfigItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its name and what it holds."""

    key: str
    value: ConfigValue


class ConfigSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a config."""

    labels: dict[str, str] = {}
    data: tuple[ConfigItem, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Config(VersionedResource[ConfigSpec]):
    """A config as it is stored; *version* changes with every change of its content."""

    kind = CONFIG

    def described(self) -> Mapping[str, Any]:
        """All values are hidden, by key: a config is stored encrypted, the log is not."""
        data = {item.key: Hidden(item.value) for item in self.spec.data}
        return {**for_log(CONFIG, self.spec), "data": data, "version": self.version}


def checked_config_spec(spec: ConfigSpec) -> ConfigSpec:
    """Return *spec* if it can be stored and delivered; Invalid names the field."""
    seen: set[str] = set()
    for index, item in enumerate(spec.data):
        field = f"data[{index}].key"
        check_data_key(field, item.key)
        if not isinstance(item.value, KeyValue):
            check_object(f"data[{index}]", item.key, item.value)
        elif item.key.startswith(KEY_PREFIX):
            raise Invalid(field, f"begins with {KEY_PREFIX!r}, which is reserved for objects")
        if item.key in seen:
            raise Invalid(field, f"{item.key!r} is there twice")
        seen.add(item.key)
    check_description(spec.description)
    check_label_bounds(spec.labels)
    check_size("data", spec, SIZE_LIMIT)
    return spec


def masked_config_spec(spec: ConfigSpec) -> ConfigSpec:
    """*spec* as it may be shown: without secret keys of object stores."""
    return msgspec.structs.replace(spec, data=tuple(_masked(item) for item in spec.data))


def unmasked_config_spec(spec: ConfigSpec, before: ConfigSpec) -> ConfigSpec:
    """*spec* with the secret keys of *before* where it only states that there is one."""
    known = {item.key: item.value for item in before.data}
    return msgspec.structs.replace(
        spec, data=tuple(_unmasked(item, known.get(item.key)) for item in spec.data)
    )


def _masked(item: ConfigItem) -> ConfigItem:
    if isinstance(item.value, KeyValue):
        return item
    return ConfigItem(item.key, masked(item.value))


def _unmasked(item: ConfigItem, before: ConfigValue | None) -> ConfigItem:
    if before is None or isinstance(item.value, KeyValue) or isinstance(before, KeyValue):
        return item
    return ConfigItem(item.key, unmasked(item.value, before))
