"""A batch: a product run whose devices may activate; a record: one of its devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from cloud.core.bounds import check_description, check_label_bounds, check_length, check_size
from cloud.core.fingerprint import ALL_TYPES
from cloud.core.kinds import BATCH, RECORD, ResourceKind
from cloud.core.names import (
    BATCH_LABEL,
    NODE_NAME_LABEL,
    check_fingerprint,
    check_labels,
    check_name,
    check_node_name,
)
from cloud.core.resource import UnversionedResource
from cloud.errors import Invalid

QUOTA_LIMIT = 1_000_000

SIZE_LIMIT = 64 * 1024
"""Bytes of one batch, written as JSON."""

_SOURCE_LIMIT = 4096
"""Characters of a path or field a fingerprint is read from; Linux has no longer paths."""


class SecurityType(StrEnum):
    """Proof that a device presents beside its fingerprint."""

    NONE = "None"
    TOKEN = "Token"  # noqa: S105


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Properties that identify devices of a batch; *type* is a sum of `FingerprintType`."""

    type: int = 1
    sn_path: str = "/var/lib/baetyl/sn/fingerprint.txt"
    input_field: str = "sn"


class BatchSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a batch; defaults as in the contract, "Create Product"."""

    description: str = ""
    quota_num: int = 200
    enable_whitelist: int = 1
    security_type: SecurityType = SecurityType.TOKEN
    security_key: str = ""
    callback_name: str = ""
    labels: dict[str, str] = {}
    fingerprint: Fingerprint = Fingerprint()

    def __repr__(self) -> str:
        return f"BatchSpec(quota_num={self.quota_num}, security_type={self.security_type})"


@dataclass(frozen=True, slots=True)
class Batch(UnversionedResource[BatchSpec]):
    """A batch as it is stored."""

    kind = BATCH


class RecordSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a record, and of which batch it is."""

    batch_name: str
    fingerprint_value: str = ""
    node_name: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One device of a batch; *active* once it has been given its certificate."""

    kind: ClassVar[ResourceKind] = RECORD

    namespace: str
    batch: str
    name: str
    fingerprint: str
    node_name: str
    created: datetime
    updated: datetime
    active: bool = False
    active_ip: str = ""
    active_time: datetime | None = None

    @property
    def tag_state(self) -> object:
        """Times and content."""
        content = [self.fingerprint, self.node_name, self.active, self.active_ip]
        return [self.created, self.updated, content]

    def described(self) -> Mapping[str, Any]:
        """The record as the audit log shows it."""
        return {
            "fingerprintValue": self.fingerprint,
            "nodeName": self.node_name,
            "active": int(self.active),
            "activeIp": self.active_ip,
        }


def checked_batch_spec(name: str, spec: BatchSpec) -> BatchSpec:
    """Return *spec* as it is to be stored: valid, and with the label that names the batch."""
    if not 1 <= spec.quota_num <= QUOTA_LIMIT:
        raise Invalid("quotaNum", f"is not between 1 and {QUOTA_LIMIT}")
    if spec.enable_whitelist not in {0, 1}:
        raise Invalid("enableWhitelist", "is neither 0 nor 1")
    if spec.security_type is SecurityType.TOKEN and not spec.security_key:
        raise Invalid("securityKey", "is empty")
    _check_fingerprint_source(spec.fingerprint)
    check_description(spec.description)
    check_label_bounds(spec.labels)
    check_size("", spec, SIZE_LIMIT)
    labels = {**spec.labels, BATCH_LABEL: name}
    if spec.labels.get(BATCH_LABEL, name) != name:
        raise Invalid(f"labels.{BATCH_LABEL}", "is set by the server to the batch's name")
    if NODE_NAME_LABEL in spec.labels:
        raise Invalid(f"labels.{NODE_NAME_LABEL}", "is set by the server to each node's name")
    check_labels("labels", labels)
    return msgspec.structs.replace(spec, labels=labels)


def checked_record(record: Record) -> Record:
    """Return *record* if a device could activate as it."""
    check_name("name", record.name)
    check_fingerprint("fingerprintValue", record.fingerprint)
    check_node_name("nodeName", record.namespace, record.node_name)
    return record


def _check_fingerprint_source(fingerprint: Fingerprint) -> None:
    if not 1 <= fingerprint.type <= ALL_TYPES:
        raise Invalid("fingerprint.type", f"is not between 1 and {ALL_TYPES}")
    check_length("fingerprint.snPath", fingerprint.sn_path, _SOURCE_LIMIT)
    check_length("fingerprint.inputField", fingerprint.input_field, _SOURCE_LIMIT)
    if not fingerprint.sn_path.startswith("/"):
        raise Invalid("fingerprint.snPath", "is not an absolute path")
    if not fingerprint.input_field:
        raise Invalid("fingerprint.inputField", "is empty")
