"""What a simulated node has sealed to it, and opens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_sim.bodies import why_not_runnable
from agent_sim.device import DeviceState, step
from agent_sim.events import Connected, Publish
from agent_sim.model import BodyKind, BodyName, Part
from agent_sim.sealing import KEPT, SealingKeys
from agent_sim.state import NodeDirectory
from certs.keys import key_digest
from cloud.core.encryption_key import EncryptionKey, EncryptionKeyProof
from cloud.operations.encryption_keys import check_own_key, sealed_body

NODE = "default.gate-7"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INFO = BodyName(BodyKind.SECRET, "pw", "1")


@pytest.fixture
def directory(tmp_path: Path) -> NodeDirectory:
    return NodeDirectory(tmp_path)


def sealed(keys: SealingKeys, text: str = "eA==", **changes: Any) -> dict[str, Any]:
    own = keys.newest
    assert own is not None
    labels = {"secret-type": "config"}
    body = {"name": "pw", "version": "1", "labels": labels, "data": {"pw": text}}
    return {**sealed_body(NODE, EncryptionKey(own.key, own.time), body), **changes}


def test_a_key_is_made_once_proved_and_replaced_by_a_later_one(directory: NodeDirectory) -> None:
    keys = directory.sealing_keys(NOW)
    own = keys.newest
    assert own is not None
    proof = msgspec.convert(own.proof, EncryptionKeyProof)
    check_own_key(proof, key_digest(directory.key().public_key()))
    assert NodeDirectory(directory.path).sealing_keys(NOW + HOUR) == keys
    for _ in range(KEPT + 1):
        directory.renew_sealing_key(NOW)
    later = directory.sealing_keys(NOW)
    assert len(later.keys) == KEPT
    assert [key.time - own.time for key in later.keys] == [4, 3, 2]


def test_a_key_from_the_future_is_replaced_once_the_time_is_known(
    directory: NodeDirectory,
) -> None:
    ahead = directory.sealing_keys(NOW + 24 * HOUR)
    own = directory.sealing_keys(NOW).newest
    assert own is not None
    assert own.time == NOW.timestamp()
    assert own != ahead.newest


def test_a_node_without_a_key_makes_none_with_a_new_certificate(directory: NodeDirectory) -> None:
    directory.renew_sealing_key(NOW)
    assert not list(directory.path.iterdir())


def test_a_secret_opens_as_what_it_is_alone(directory: NodeDirectory) -> None:
    keys = directory.sealing_keys(NOW)
    body = sealed(keys)
    directory.renew_sealing_key(NOW)
    later = directory.sealing_keys(NOW)
    assert later.why_shut(NODE, body) == ""
    assert "cannot be opened" in later.why_shut("default.gate-8", body)
    changes: tuple[dict[str, Any], ...] = (
        {"name": "other"},
        {"version": "2"},
        {"labels": {"secret-type": "registry"}},
        {"labels": {}},
        {"sealed": {"key": body["sealed"]["key"], "content": "AAAA"}},
        {"sealed": {"key": body["sealed"]["key"], "content": "?"}},
        {"sealed": {"key": body["sealed"]["key"]}},
        {"sealed": None},
    )
    for change in changes:
        assert "cannot be opened" in later.why_shut(NODE, {**body, **change})
    assert "not base64" in later.why_shut(NODE, sealed(later, "?"))
    assert "not here" in SealingKeys().why_shut(NODE, body)


def test_an_app_whose_secret_does_not_open_cannot_run(directory: NodeDirectory) -> None:
    keys = directory.sealing_keys(NOW)
    part = Part(INFO, sealed(keys))
    assert why_not_runnable({}, [part], lambda body: keys.why_shut(NODE, body)) == ""
    shut = why_not_runnable({}, [replace(part, body={**part.body, "version": "2"})])
    assert shut == "secret pw: is sealed, and this node has no keys"


def test_each_report_proves_the_newest_key(directory: NodeDirectory) -> None:
    def content(state: DeviceState) -> Any:
        _, actions = step(state, Connected(), NOW)
        return next(one for one in actions if isinstance(one, Publish)).message.content

    keys = directory.sealing_keys(NOW)
    assert keys.newest is not None
    assert content(DeviceState(run="r", sealing=keys))["encryptionKey"] == keys.newest.proof
    assert "encryptionKey" not in content(DeviceState(run="r"))
