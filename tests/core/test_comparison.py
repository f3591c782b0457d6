"""What differs is named, and nothing secret is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import AppSpec, EnvironmentVariable, Port, Ref, Service, Volume
from cloud.core.changes import MEMBER_LIMIT
from cloud.core.comparison import (
    LINE_LIMIT,
    TEXT_LIMIT,
    Change,
    changes_between,
    text_of_changes,
)
from cloud.core.config import ConfigItem, ConfigSpec, KeyValue
from cloud.core.kinds import KINDS
from cloud.core.mask import MASK, masked
from cloud.core.objects import Source, StoredObject
from cloud.core.registry import RegistrySpec
from cloud.core.resource import hidden_content
from cloud.core.revisions import Spec
from cloud.core.secret import SecretSpec
from tests.strategies import app_specs, config_specs, registry_specs, secret_specs

NAMES = ("one", "other")


def config(text: str) -> ConfigSpec:
    return ConfigSpec(data=(ConfigItem("a.conf", KeyValue(text)),))


def stored(sk: str) -> ConfigSpec:
    one = StoredObject(source=Source.AWSS3, bucket="b", object="o", ak="known", sk=sk)
    return ConfigSpec(data=(ConfigItem("code.zip", one),))


def content_of(spec: Spec) -> dict[str, Any]:
    """What a PUT of *spec* takes, with what is secret hidden."""
    return hidden_content(next(kind for kind in KINDS if kind.spec is type(spec)), spec)


def changes(before: Spec | None, after: Spec | None) -> list[Change]:
    return changes_between(*(content_of(one) if one else None for one in (before, after)))


def text(before: Spec | None, after: Spec | None) -> str:
    return text_of_changes(
        content_of(before) if before else None, content_of(after) if after else None, NAMES
    )


def app(image: str, *more: Service, **spec: Any) -> AppSpec:
    variables = (EnvironmentVariable("TZ", "UTC"),)
    web = Service("web", image=image, env=variables, ports=(Port(80),))
    return AppSpec(services=(web, *more), volumes=(Volume("v", config=Ref("c")),), **spec)


def test_what_has_a_name_is_found_by_it() -> None:
    before = app("nginx:1", labels={"team": "a", "b.example/x": "1"})
    after = app("nginx:2", Service("log", image="x"), labels={"team": "b"})
    log = content_of(after)["services"][1]
    assert changes(before, after) == [
        Change("labels.team", "a", "b"),
        Change("labels[b.example/x]", "1", None),
        Change("services[web].image", "nginx:1", "nginx:2"),
        Change("services[log]", None, masked(log)),
    ]


def test_another_order_is_a_change_of_the_whole() -> None:
    one, other = Service("a", image="x"), Service("b", image="x")
    (found,) = changes(AppSpec(services=(one, other)), AppSpec(services=(other, one)))
    assert found.path == "services"
    assert [service["name"] for service in found.after] == ["b", "a"]


def test_lists_without_names_are_compared_as_a_whole() -> None:
    before, after = (AppSpec(services=(Service("a", image="x", args=a),)) for a in (("1",), ()))
    assert changes(before, after) == [Change("services[a].args", ["1"], [])]


def test_a_new_resource_differs_by_what_it_has() -> None:
    assert changes(None, config("x")) == [
        Change("data", None, [{"key": "a.conf", "value": {"type": "kv", "value": "x"}}])
    ]
    assert changes(AppSpec(selector="a=b"), None) == [
        Change("selector", "a=b", None),
        Change("type", "container", None),
    ]


def test_lines_of_a_file_are_compared() -> None:
    assert text(config("listen 80;\nroot /a;\n"), config("listen 80;\nroot /b;\n")) == (
        "--- one\n+++ other\n@@ -4,6 +4,6 @@\n     type: kv\n     value: |\n"
        "       listen 80;\n-      root /a;\n+      root /b;\n description: ''\n labels: {}\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (SecretSpec({"pin": "1234"}), SecretSpec({"pin": "9876"}), "data.pin"),
        (RegistrySpec("a", "b", "1234"), RegistrySpec("a", "b", "9876"), "password"),
        (stored("1234"), stored("9876"), "data[code.zip].value.sk"),
    ],
)
def test_a_differing_secret_is_named_without_its_value(
    before: Spec, after: Spec, path: str
) -> None:
    assert changes(before, after) == [Change(path, MASK, MASK)]
    word = path.rpartition(".")[2]
    lines = [line for line in text(before, after).splitlines() if f"{word}: " in line]
    assert [(line[0], line[1:].strip()) for line in lines] == [
        ("-", f"{word}: '{MASK}'"),
        ("+", f"{word}: '{MASK} (changed)'"),
    ]
    for one in (before, after, None):
        for other in (before, after, None):
            everything = f"{changes(one, other)}{text(one, other)}{masked(content_of(before))}"
            assert "1234" not in everything
            assert "9876" not in everything


def test_a_long_value_is_known_by_its_size_and_digest() -> None:
    (found,) = changes(config("a" * MEMBER_LIMIT), config("b"))
    assert set(found.before) == {"bytes", "sha256"}
    assert found.after == "b"


@pytest.mark.parametrize("large", ["a" * TEXT_LIMIT, "a\n" * LINE_LIMIT])
def test_what_is_large_is_not_compared_by_lines(large: str) -> None:
    assert text(config(large), config("b")) == ""
    assert changes(config(large), config("b"))


specs = st.one_of(app_specs(), config_specs, secret_specs, registry_specs)


@given(st.one_of(*(st.tuples(one, one) for one in (app_specs(), config_specs, secret_specs))))
def test_what_is_the_same_has_no_changes_and_what_is_not_has(pair: tuple[Spec, Spec]) -> None:
    before, after = pair
    is_same = before == after
    assert (changes(before, after) == []) is is_same
    assert (text(before, after) == "") is is_same
    assert changes(before, before) == []
    assert text(after, after) == ""


@given(specs)
def test_nothing_is_left_hidden_in_what_is_shown(spec: Spec) -> None:
    assert changes(None, spec) is not None
    assert "Hidden" not in repr(masked(content_of(spec)))
