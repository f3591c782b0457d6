"""The registry of kinds that the server publishes, from which its dashboard is made."""

import re

import msgspec

from cloud.core.kinds import KINDS
from cloud.http.yaml_text import decode_yaml
from cloud.rest.routes import ROUTES
from tests.rest.conftest import ApiCaller

GENERATED = {"secret", "securityKey"}
"""What the server makes up where it is left out."""


async def test_every_kind_of_the_registry_is_listed(client: ApiCaller) -> None:
    listed = await client.call("GET", "/v1/kinds")
    assert [one["name"] for one in listed["items"]] == [kind.name for kind in KINDS]
    assert listed["total"] == len(KINDS)
    paths = {route.path for route in ROUTES}
    for one in listed["items"]:
        assert one["path"] in paths
        assert one["summary"].endswith(".")
        assert one["columns"]


async def test_an_example_can_be_created_as_it_is(client: ApiCaller) -> None:
    for one in (await client.call("GET", "/v1/kinds"))["items"]:
        if one["example"]:
            body = decode_yaml(one["example"].encode())
            name = (await client.call("POST", one["path"], body))["name"]
            assert name == body["name"]
            shown = await client.call("GET", f"{one['path']}/{name}")
            assert {column["path"].split(".")[0] for column in one["columns"]} <= set(shown)


async def test_what_is_shown_without_defaults_changes_nothing_when_it_is_sent(
    client: ApiCaller,
) -> None:
    for one in (await client.call("GET", "/v1/kinds"))["items"]:
        if one["example"]:
            body = decode_yaml(one["example"].encode())
            path = f"{one['path']}/{(await client.call('POST', one['path'], body))['name']}"
            shown = await client.call("GET", f"{path}?specOnly=true")
            assert shown.keys() - GENERATED <= body.keys()
            assert not shown.keys() & set(one["readOnly"])
            assert (await client.call("PUT", f"{path}?dryRun=true", shown))["action"] == "none"


def test_a_spec_has_the_fields_that_its_kind_names() -> None:
    for kind in KINDS:
        fields = {field.encode_name for field in msgspec.structs.fields(kind.spec)}
        hidden = {re.split(r"[.\[?]", path)[0] for path in kind.hidden}
        others = {field for field, _ in (*kind.references, *kind.replaced_by)}
        required = {*kind.required, *kind.required_to_create}
        assert hidden | others | required | set(kind.hidden_in_log) <= fields, kind.name
        assert None not in [KINDS.named(word) for _, word in kind.references]
