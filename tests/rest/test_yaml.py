"""Bodies and answers in YAML are those in JSON."""

import httpx
import yaml

from cloud.http.answers import YAML
from tests.rest.conftest import CONFIG, NODE, ApiCaller, describe

IN_YAML = {"Content-Type": YAML}
AS_YAML = {"Accept": YAML}


async def sent(client: ApiCaller, method: str, path: str, text: str) -> httpx.Response:
    return await client.saying(**IN_YAML).send(method, path, text.encode())


async def test_a_thing_is_made_read_and_put_back_in_yaml(client: ApiCaller) -> None:
    await describe(client)
    plain = await client.call("GET", "/v1/apps/web")
    answer = await client.saying(**AS_YAML).send("GET", "/v1/apps/web")
    assert answer.headers["content-type"] == YAML
    assert (answer.headers["vary"], "etag" in answer.headers) == ("Accept", True)
    assert yaml.safe_load(answer.text) == plain
    assert list(yaml.safe_load(answer.text)) == list(plain)
    back = await sent(client, "PUT", "/v1/apps/web", answer.text)
    assert back.json() == plain
    made = await sent(client, "POST", "/v1/configs", "name: c2\ndata: []\n")
    assert made.json()["name"] == "c2"
    patched = await sent(client, "PATCH", "/v1/configs/c2", "description: by hand\n")
    assert patched.json()["description"] == "by hand"


async def test_lists_are_yaml_too_and_errors_stay_json(client: ApiCaller) -> None:
    await client.call("POST", "/v1/nodes", NODE)
    listed = await client.saying(**AS_YAML).send("GET", "/v1/nodes")
    assert yaml.safe_load(listed.text)["total"] == 1
    lost = await client.saying(**AS_YAML).send("GET", "/v1/nodes/nothing")
    assert lost.json()["code"] == "ResourceNotFound"


async def test_json_is_answered_to_who_does_not_name_yaml(client: ApiCaller) -> None:
    for accept in ("*/*", "application/*", "application/json, application/yaml;q=0.5", "text/html"):
        answer = await client.saying(Accept=accept).send("GET", "/v1/nodes")
        assert answer.headers["content-type"] == "application/json"


async def test_what_is_wrong_in_yaml_is_refused_by_its_place(client: ApiCaller) -> None:
    for text, words, place in [
        ("name: a\nname: b\n", "line 2, column 1", (None, 2, 1)),
        ("name: &a b\ndata: [*a]\n", "line 1, column 7", (None, 1, 7)),
        ("- 1\n", "an object", (None, None, None)),
        ("name: c\ndata: 5\n", "data: ", ("data", 2, 1)),
        ("name: c\nspec: {}\n", "spec: unknown field", ("spec", 2, 1)),
        (
            "name: c\ndata:\n- key: a\n  value: {type: kv, value: x}\n- key: b\n",
            "missing",
            ("data[1].value", 5, 3),
        ),
        ("name: c\ndata: []\nlabels:\n  a.b/c: 5\n", "labels.a.b/c", ("labels.a.b/c", 4, 3)),
    ]:
        answer = await sent(client, "POST", "/v1/configs", text)
        error = answer.json()
        assert (answer.status_code, error["code"]) == (400, "RequestParamInvalid")
        assert words in error["message"]
        assert tuple(error.get(name) for name in ("field", "line", "column")) == place


async def test_yaml_that_is_not_called_so_is_refused(client: ApiCaller) -> None:
    answer = await client.send("POST", "/v1/configs", b"name: c\n")
    assert answer.status_code == 400


async def test_the_same_thing_in_either_form_is_one_version(client: ApiCaller) -> None:
    await client.call("POST", "/v1/configs", CONFIG)
    before = await client.call("GET", "/v1/configs/site")
    same = await sent(client, "PUT", "/v1/configs/site", yaml.safe_dump(CONFIG))
    assert same.json() == before
