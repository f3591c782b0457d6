import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.names import (
    BATCH_LABEL,
    NODE_ID_LIMIT,
    NODE_NAME_LABEL,
    check_data_key,
    check_fingerprint,
    check_label_key,
    check_label_value,
    check_labels,
    check_name,
    check_namespace,
    check_node_name,
    check_own_name,
    check_service_name,
    is_address,
    node_id,
    split_node_id,
)
from tests.core.refusals import field_refused, is_taken
from tests.core.strategies import label_values, names, namespaces, node_identities

Check = Callable[[str, str], str]

CHECKS: list[Check] = [
    check_name,
    check_own_name,
    check_service_name,
    check_namespace,
    check_data_key,
    check_fingerprint,
    check_label_key,
    check_label_value,
]
NAME_CHECKS: list[Check] = CHECKS[:4]


@given(names())
def test_every_valid_name_is_taken_as_it_is(name: str) -> None:
    assert check_name("name", name) == name


@given(namespaces)
def test_every_valid_namespace_is_taken_as_it_is(namespace: str) -> None:
    assert check_namespace("namespace", namespace) == namespace


@pytest.mark.parametrize("check", NAME_CHECKS)
@given(text=st.text(alphabet="ab1-.A_/+#$ \n\0é", max_size=70))
def test_a_name_that_is_taken_can_stand_in_paths_topics_and_certificates(
    check: Check, text: str
) -> None:
    if is_taken(check, "name", text):
        assert re.fullmatch("[a-z0-9.-]{1,63}", text)
        assert text[0] not in ".-"
        assert text[-1] not in ".-"
        assert ".." not in text


@pytest.mark.parametrize("check", [*NAME_CHECKS, check_fingerprint])
@pytest.mark.parametrize("character", "/+#$%?*\\ \t\n\r\0'\"<>&:;,@é\u0661\u212a\ud800")
@pytest.mark.parametrize("place", ["{}ab", "a{}b", "ab{}"])
def test_a_name_contains_nothing_that_means_something_elsewhere(
    check: Check, character: str, place: str
) -> None:
    assert field_refused(check, "spec.name", place.format(character)) == "spec.name"


@pytest.mark.parametrize(
    ("check", "limit"),
    [
        (check_name, 63),
        (check_service_name, 63),
        (check_namespace, 32),
        (check_data_key, 253),
        (check_fingerprint, 63),
        (check_label_key, 63),
        (check_label_value, 63),
    ],
)
def test_a_name_has_a_limit(check: Check, limit: int) -> None:
    assert check("name", "a" * limit) == "a" * limit
    assert field_refused(check, "name", "a" * (limit + 1)) == "name"


@pytest.mark.parametrize("check", CHECKS[:-1])
def test_a_name_is_not_empty(check: Check) -> None:
    assert field_refused(check, "name", "") == "name"


@pytest.mark.parametrize("name", ["a..b", "a.-b", "a-.b", ".a", "a.", "-a", "a-", "A", "a_b"])
def test_a_name_is_a_dns_subdomain(name: str) -> None:
    assert field_refused(check_name, "name", name) == "name"


@pytest.mark.parametrize("name", ["baetyl", "my-baetyl-app", "baetyl-core-x1"])
def test_names_of_the_server_are_not_an_operators_own(name: str) -> None:
    assert check_name("name", name) == name
    assert field_refused(check_own_name, "name", name) == "name"


def test_a_service_and_a_namespace_have_no_dot() -> None:
    assert field_refused(check_service_name, "services[0].name", "a.b") == "services[0].name"
    assert field_refused(check_namespace, "namespace", "a.b") == "namespace"


@given(node_identities())
def test_a_node_id_splits_back(identity: tuple[str, str]) -> None:
    namespace, name = identity
    assert split_node_id(node_id(namespace, name)) == (namespace, name)


@given(node_identities(), node_identities())
def test_two_nodes_have_two_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (node_id(*one) == node_id(*other)) == (one == other)


@pytest.mark.parametrize("identity", ["", "a", ".", "a.", ".a"])
def test_what_has_no_namespace_or_no_name_is_no_node_id(identity: str) -> None:
    assert field_refused(split_node_id, identity) == ""


@given(namespaces, names())
def test_a_node_name_that_is_taken_fits_into_a_common_name(namespace: str, name: str) -> None:
    fits = len(node_id(namespace, name)) <= NODE_ID_LIMIT
    assert is_taken(check_node_name, "name", namespace, name) is fits


@pytest.mark.parametrize("namespace", ["d", "default", "n" * 32])
def test_the_longest_node_name_fills_the_common_name(namespace: str) -> None:
    room = NODE_ID_LIMIT - len(namespace) - 1
    assert check_node_name("name", namespace, "x" * room) == "x" * room
    assert field_refused(check_node_name, "name", namespace, "x" * (room + 1)) == "name"


@given(names(), label_values)
def test_names_can_stand_in_labels(name: str, value: str) -> None:
    check_labels("labels", {NODE_NAME_LABEL: name, BATCH_LABEL: name, f"{name}/x": value})


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/a", "a/", "a/b/c", "A/b", "a_/b", "-a", "a-", "a b", "é", "a\n", "x" * 64,
        "a." * 127 + "/b", "a/" + "x" * 64, "a=b", "a,b", "(a)", "!a",
    ],
)  # fmt: skip
def test_a_label_that_no_selector_could_name_is_refused(key: str) -> None:
    assert field_refused(check_labels, "labels", {"fine": "", key: "v"}) == "labels"


@pytest.mark.parametrize("key", ["a", "A_b.c-D", "a.b/c", "x" * 63, "d" * 253 + "/" + "x" * 63])
def test_a_label_may_have_a_domain_before_its_name(key: str) -> None:
    check_labels("labels", {key: "v"})


@pytest.mark.parametrize("value", ["x" * 64, "-a", "a-", "a b", " ", "a/b", "é", "a\n", "a,b"])
def test_a_wrong_label_value_is_named_by_its_key(value: str) -> None:
    assert field_refused(check_labels, "labels", {"a.b/c": value}) == "labels.a.b/c"


@pytest.mark.parametrize("key", ["a", ".bashrc", "A_b-c.conf", "1", "a..b", "-"])
def test_a_data_key_may_be_any_plain_file_name(key: str) -> None:
    assert check_data_key("data", key) == key


@pytest.mark.parametrize("key", [".", "..", "..data", "../a", "a/b", "a\\b", "a\0", "a\n", "é"])
def test_no_path_can_be_built_from_a_data_key(key: str) -> None:
    assert field_refused(check_data_key, "data", key) == "data"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("text", ["a", "a-", "a.", "-", ".", "a/", "\n", "\0", "\ud800", "é"])
def test_hostile_length_is_refused_at_once_and_not_echoed(check: Check, text: str) -> None:
    assert field_refused(check, "name", text * 50_000) == "name"
    assert field_refused(check, "name", text * 50_000 + "!") == "name"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("192.0.2", False), ("gate", False), ("", False)],
)
def test_addresses(text: str, expected: bool) -> None:  # noqa: FBT001
    assert is_address(text) is expected
