from dataclasses import replace
from typing import Any

import pytest

from cloud.core.batch import (
    QUOTA_LIMIT,
    SIZE_LIMIT,
    BatchSpec,
    Record,
    SecurityType,
    checked_batch_spec,
    checked_record,
)
from cloud.core.bounds import DESCRIPTION_LIMIT, LABELS_LIMIT
from cloud.core.decoding import convert
from cloud.core.names import BATCH_LABEL, NODE_NAME_LABEL
from cloud.core.node import NodeSpec, checked_node_spec
from tests.core.refusals import field_refused
from tests.core.strategies import START

RECORD = Record("default", "b1", "r1", "SN-0001", "n1", START, START)


def checked(**fields: Any) -> BatchSpec:
    """The batch `b1` of an operator who sends *fields* and a token."""
    return checked_batch_spec("b1", convert({"securityKey": "token", **fields}, BatchSpec))


def refused(**fields: Any) -> str:
    return field_refused(lambda: checked(**fields))


def test_absent_fields_have_the_defaults_of_the_contract() -> None:
    spec = checked()
    assert (spec.quota_num, spec.enable_whitelist) == (200, 1)
    assert spec.security_type is SecurityType.TOKEN
    assert (spec.fingerprint.type, spec.fingerprint.input_field) == (1, "sn")
    assert spec.fingerprint.sn_path == "/var/lib/baetyl/sn/fingerprint.txt"


def test_every_batch_bears_its_name_as_a_label() -> None:
    assert checked(labels={"line": "7"}).labels == {"line": "7", BATCH_LABEL: "b1"}
    assert checked(labels={BATCH_LABEL: "b1"}).labels == {BATCH_LABEL: "b1"}
    assert refused(labels={BATCH_LABEL: "b2"}) == f"labels.{BATCH_LABEL}"


@pytest.mark.parametrize("name", ["b1", "n1", ""])
def test_a_batch_cannot_name_its_nodes(name: str) -> None:
    assert refused(labels={NODE_NAME_LABEL: name}) == f"labels.{NODE_NAME_LABEL}"


def test_a_nodes_labels_may_be_those_of_its_batch() -> None:
    labels = checked(labels={"a.b/c": "", "line": "7"}).labels
    assert checked_node_spec("any-node", NodeSpec(labels=labels)).labels == labels


def test_a_checked_batch_is_not_changed_by_checking_it_again() -> None:
    spec = checked(labels={"line": "7"})
    assert checked_batch_spec("b1", spec) == spec


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"quotaNum": 0}, "quotaNum"),
        ({"quotaNum": -1}, "quotaNum"),
        ({"quotaNum": QUOTA_LIMIT + 1}, "quotaNum"),
        ({"quotaNum": 10**4000}, "quotaNum"),
        ({"quotaNum": "200"}, "quotaNum"),
        ({"enableWhitelist": 2}, "enableWhitelist"),
        ({"enableWhitelist": True}, "enableWhitelist"),
        ({"securityKey": ""}, "securityKey"),
        ({"securityType": "Cert"}, "securityType"),
        ({"labels": {"a b": ""}}, "labels"),
        ({"labels": {"a": "b c"}}, "labels.a"),
        ({"fingerprint": {"type": 0}}, "fingerprint.type"),
        ({"fingerprint": {"type": 64}}, "fingerprint.type"),
        ({"fingerprint": {"type": 10**4000}}, "fingerprint.type"),
        ({"fingerprint": {"snPath": "sn/x"}}, "fingerprint.snPath"),
        ({"fingerprint": {"inputField": ""}}, "fingerprint.inputField"),
        ({"fingerprint": {"other": 1}}, "fingerprint.other"),
    ],
)
def test_a_batch_that_could_not_work_is_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field


@pytest.mark.parametrize("kind", [1, 3, 63])
def test_fingerprint_types_can_be_combined(kind: int) -> None:
    assert checked(fingerprint={"type": kind}).fingerprint.type == kind


def test_a_batch_without_security_needs_no_token() -> None:
    assert checked(securityType="None", securityKey="").security_type is SecurityType.NONE


def test_the_token_is_not_shown_where_batches_are_printed() -> None:
    spec = checked(securityKey="t0ken")
    assert "t0ken" not in f"{spec} {spec!r} {[spec]}"


def test_a_record_that_a_device_can_activate_as_is_taken() -> None:
    assert checked_record(RECORD) is RECORD


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (replace(RECORD, name="R 1"), "name"),
        (replace(RECORD, fingerprint=""), "fingerprintValue"),
        (replace(RECORD, fingerprint="a b"), "fingerprintValue"),
        (replace(RECORD, fingerprint="x" * 64), "fingerprintValue"),
        (replace(RECORD, node_name=""), "nodeName"),
        (replace(RECORD, node_name="N1"), "nodeName"),
        (replace(RECORD, node_name="x" * 57), "nodeName"),
    ],
)
def test_a_record_that_no_device_can_activate_as_is_refused(record: Record, field: str) -> None:
    assert field_refused(checked_record, record) == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"description": "d" * (DESCRIPTION_LIMIT + 1)}, "description"),
        ({"labels": {f"l{n}": "" for n in range(LABELS_LIMIT + 1)}}, "labels"),
        ({"securityKey": "k" * SIZE_LIMIT}, ""),
        ({"fingerprint": {"snPath": "/" * 5000}}, "fingerprint.snPath"),
        ({"fingerprint": {"inputField": "f" * 5000}}, "fingerprint.inputField"),
    ],
)
def test_no_part_of_a_batch_is_without_a_bound(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field
