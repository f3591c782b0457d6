"""Who a device is."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sim.errors import FingerprintError
from agent_sim.fingerprint import ALL, Property, Sources, combine, fingerprint, properties_of

FILES = {
    "proc/sys/kernel/random/boot_id": "BOOT-ID\n",
    "sys/class/dmi/id/product_uuid": "System-UUID\n",
    "etc/machine-id": "0123abcd\n",
}


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sn_path = tmp_path / "serial"
    sn_path.write_text("  SN-1  \nsecond line\n")
    return Sources(sn_path, " typed ", tmp_path, lambda: "Gateway")


def test_one_property_is_itself(sources: Sources) -> None:
    values = {each: fingerprint(each, sources) for each in Property}
    assert values == {
        Property.SN: "SN-1",
        Property.INPUT: "typed",
        Property.HOSTNAME: "Gateway",
        Property.BOOTID: "BOOT-ID",
        Property.SYSTEMUUID: "System-UUID",
        Property.MACHINEID: "0123abcd",
    }


def test_several_are_digested_in_the_order_of_their_bits(sources: Sources) -> None:
    text = "sn-1\ngateway\n0123abcd"
    expected = hashlib.sha256(text.encode()).hexdigest()[:40]
    assert fingerprint(1 + 4 + 32, sources) == expected


def test_the_digest_of_everything_is_a_known_one(sources: Sources) -> None:
    # printf 'sn-1\ntyped\ngateway\nboot-id\nsystem-uuid\n0123abcd' | sha256sum | cut -c-40
    assert fingerprint(ALL, sources) == "5af4ce55f4d7b8cfd91b59c7fdff561426cbda9c"


@given(st.integers(1, ALL), st.text(st.characters(codec="ascii"), min_size=1))
def test_case_and_surrounding_white_space_of_several_do_not_matter(mask: int, text: str) -> None:
    plain = dict.fromkeys(Property, text)
    dressed = dict.fromkeys(Property, f" {text.upper()}\n")
    if len(properties_of(mask)) > 1:
        assert combine(mask, plain) == combine(mask, dressed)
    else:
        assert combine(mask, plain).lower() == combine(mask, dressed).lower()


def test_different_properties_make_different_fingerprints(sources: Sources) -> None:
    assert len({fingerprint(mask, sources) for mask in range(1, ALL + 1)}) == ALL


@pytest.mark.parametrize("mask", [0, 64, -1])
def test_there_are_six_properties(mask: int) -> None:
    with pytest.raises(ValueError, match="not a fingerprint type"):
        properties_of(mask)


@pytest.mark.parametrize("name", [*FILES, "serial"])
def test_what_is_missing_is_named_with_its_place(
    sources: Sources, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(FingerprintError) as caught:
        fingerprint(ALL, sources)
    assert caught.value.source == str(tmp_path / name)


def test_what_is_empty_is_missing(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "etc/machine-id").write_text("\n")
    with pytest.raises(FingerprintError) as caught:
        fingerprint(Property.MACHINEID, sources)
    assert caught.value.name == "machineid"


def test_what_was_not_given_is_missing() -> None:
    for wanted, name in ((Property.SN, "--sn-path"), (Property.INPUT, "--input-value")):
        with pytest.raises(FingerprintError) as caught:
            fingerprint(wanted, Sources())
        assert caught.value.source == name


def test_bytes_that_are_no_text_are_no_serial_number(tmp_path: Path) -> None:
    path = tmp_path / "serial"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FingerprintError):
        fingerprint(Property.SN, Sources(path))
