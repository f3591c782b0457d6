import msgspec
import pytest

from cloud.core.config import SIZE_LIMIT, ConfigItem, ConfigSpec, KeyValue, checked_config_spec
from cloud.core.decoding import decode_json
from tests.core.refusals import field_refused


def spec_of(*items: tuple[str, str]) -> ConfigSpec:
    return ConfigSpec(data=tuple(ConfigItem(key, KeyValue(value)) for key, value in items))


def test_a_config_holds_files_of_any_text() -> None:
    spec = spec_of(("a.conf", "x = 1\n"), (".hidden", ""), ("b", "\0é\U0001f600"))
    assert checked_config_spec(spec) == spec


def test_a_config_may_be_empty() -> None:
    assert checked_config_spec(ConfigSpec()) == ConfigSpec()


def test_a_value_has_its_type() -> None:
    body = b'{"data":[{"key":"a","value":{"type":"kv","value":"1"}}]}'
    assert decode_json(body, ConfigSpec) == spec_of(("a", "1"))
    assert msgspec.json.decode(msgspec.json.encode(spec_of(("a", "1"))))["data"] == [
        {"key": "a", "value": {"type": "kv", "value": "1"}}
    ]


@pytest.mark.parametrize("key", ["", "a/b", "..", "..data", "a b", "x" * 254])
def test_a_key_that_is_no_file_name_is_refused(key: str) -> None:
    assert field_refused(checked_config_spec, spec_of(("a", ""), (key, ""))) == "data[1].key"


def test_a_file_is_there_once() -> None:
    assert field_refused(checked_config_spec, spec_of(("a", "1"), ("a", "1"))) == "data[1].key"


def test_a_config_has_a_limit_in_bytes() -> None:
    rest = len(msgspec.json.encode(spec_of(("a", ""))))
    full = spec_of(("a", "é" * ((SIZE_LIMIT - rest) // 2)))
    assert checked_config_spec(full) is full
    assert field_refused(checked_config_spec, spec_of(("a", "é" * (SIZE_LIMIT // 2)))) == "data"
