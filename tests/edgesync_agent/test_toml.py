"""The part of TOML that the agent reads."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync_agent.toml import TomlError, read_toml

TEXT = """
# what apps may do
privileged = false   # never
host-paths = [
    "/srv/data",  # ours
    '/var/log',
]
devices = []
user = "edge\\u0073ync \\"x\\""
limit = -12
"""


def test_settings_are_read_as_any_reader_of_toml_reads_them() -> None:
    found = read_toml(TEXT)
    assert found == tomllib.loads(TEXT)
    assert found["host-paths"] == ["/srv/data", "/var/log"]
    assert read_toml("") == {}
    assert read_toml("a = true") == {"a": True}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[table]\na = 1", 1),
        ("a.b = 1", 1),
        ("a = 1.5", 1),
        ("a = 1979-05-27", 1),
        ("a = 012", 1),
        ("a = yes", 1),
        ("\na = true false", 2),
        ("a = true\na = false", 2),
        ("a =", 1),
        ("a = 'one\ntwo'", 1),
        ('a = """one"""', 1),
        ('a = "\\x"', 1),
        ("a = [1]", 1),
        ("a = ['x' 'y']", 1),
        ("a = ['x'", 1),
        ("a = {b = 1}", 1),
        ("a = true b = 1", 1),
    ],
)
def test_all_else_is_refused_by_its_line(text: str, line: int) -> None:
    with pytest.raises(TomlError, match=f"line {line}:"):
        read_toml(text)


@given(st.text(alphabet="a=tru\"'[], \n#\\1-\r", max_size=40))
def test_what_is_read_is_what_any_reader_of_toml_reads(text: str) -> None:
    try:
        found: dict[str, Any] = read_toml(text)
    except TomlError:
        return
    assert tomllib.loads(text) == found
