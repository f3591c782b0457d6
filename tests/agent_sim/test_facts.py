"""The facts that a node reports of its machine."""

import socket
from pathlib import Path

import psutil

from agent_sim.facts import HostSource, SimulatedSource

KEYS = {
    "hostname",
    "address",
    "arch",
    "kernelVer",
    "os",
    "osImage",
    "containerRuntime",
    "machineID",
    "bootID",
    "systemUUID",
}


def test_the_same_seed_makes_the_same_node() -> None:
    one, two = SimulatedSource(3, 7), SimulatedSource(3, 7)
    assert one.facts() == two.facts()
    assert [one.usage() for _ in range(5)] == [two.usage() for _ in range(5)]


def test_every_node_is_another_one() -> None:
    facts = [SimulatedSource(index, 7).facts().node for index in range(1000)]
    for key in ("hostname", "address", "machineID", "bootID", "systemUUID"):
        assert len({each[key] for each in facts}) == 1000
    assert SimulatedSource(1, 7).facts() != SimulatedSource(1, 8).facts()


def test_simulated_facts_have_the_keys_of_the_protocol() -> None:
    assert set(SimulatedSource(0, 0).facts().node) == KEYS


def test_simulated_usage_stays_below_capacity() -> None:
    source = SimulatedSource(1, 1)
    capacity = source.facts().capacity
    for _ in range(1000):
        usage = source.usage()
        assert 0 < float(usage.cpu) < float(capacity.cpu)
        assert 0 < int(usage.memory) < int(capacity.memory)


def test_the_host_tells_the_truth() -> None:
    source = HostSource()
    facts, usage = source.facts(), source.usage()
    assert set(facts.node) == KEYS
    assert facts.node["hostname"] == socket.gethostname()
    assert facts.node["os"] == "linux"
    assert facts.capacity.memory == str(psutil.virtual_memory().total)
    assert 0 <= float(usage.cpu) <= float(facts.capacity.cpu)
    assert 0 < int(usage.memory) <= int(facts.capacity.memory)


def test_the_host_reads_its_sources(tmp_path: Path) -> None:
    files = {
        "etc/machine-id": "machine\n",
        "proc/sys/kernel/random/boot_id": "boot\n",
        "sys/class/dmi/id/product_uuid": "system\n",
        "etc/os-release": 'NAME="x"\nPRETTY_NAME="An OS 1"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    node = HostSource(tmp_path, lambda: "gateway").facts().node
    shown = {key: node[key] for key in ("machineID", "bootID", "systemUUID", "osImage")}
    assert shown == {
        "machineID": "machine",
        "bootID": "boot",
        "systemUUID": "system",
        "osImage": "An OS 1",
    }
    assert node["hostname"] == "gateway"


def test_what_the_host_does_not_tell_is_empty(tmp_path: Path) -> None:
    node = HostSource(tmp_path).facts().node
    assert (node["machineID"], node["osImage"], node["systemUUID"]) == ("", "", "")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("NAME=x\n")
    assert HostSource(tmp_path).facts().node["osImage"] == ""
