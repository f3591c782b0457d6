"""No answer of a list has more items than the limit, whatever the caller asks for."""

from pathlib import Path
from typing import Any

import pytest

from tests.rest.conftest import NODE, open_world

NAMES = ["n1", "n2", "n3", "n4", "n5"]


@pytest.mark.parametrize("query", ["", "?limit=0", "?limit=999999999"])
async def test_a_list_has_so_many_items_and_leads_to_the_rest(tmp_path: Path, query: str) -> None:
    async with open_world(tmp_path, list_limit=3) as world:
        for name in NAMES:
            await world.client.call("POST", "/v1/nodes", {**NODE, "name": name})
        first = await world.client.call("GET", f"/v1/nodes{query}")
        assert [node["name"] for node in first["items"]] == NAMES[:3]
        assert first["total"] == len(NAMES)
        place = first["listOptions"]["continue"]
        rest = await world.client.call("GET", f"/v1/nodes?continue={place}")
        assert [node["name"] for node in rest["items"]] == NAMES[3:]
        assert not rest["listOptions"].get("continue")


async def test_a_numbered_page_has_so_many_items(tmp_path: Path) -> None:
    async with open_world(tmp_path, list_limit=3) as world:
        for name in NAMES:
            await world.client.call("POST", "/v1/register", {"name": name})
        pages = [
            await world.client.call("GET", f"/v1/register?pageSize=999999999&pageNo={number}")
            for number in (1, 2)
        ]
        assert [(page["total"], page["pageSize"]) for page in pages] == [(5, 3), (5, 3)]
        assert sorted(item["name"] for page in pages for item in page["items"]) == NAMES


def config(size: int) -> dict[str, Any]:
    return {"data": [{"key": "a", "value": {"type": "kv", "value": "x" * size}}]}


async def test_a_list_reads_so_many_bytes_and_leads_to_the_rest(tmp_path: Path) -> None:
    async with open_world(tmp_path, list_bytes=4_000) as world:
        for name in NAMES:
            await world.client.call("POST", "/v1/configs", {**config(1000), "name": name})
        await world.client.call("POST", "/v1/configs", {**config(10_000), "name": "large"})
        pages, place = [], ""
        for _ in range(6):
            page = await world.client.call("GET", f"/v1/configs?continue={place}")
            assert page["total"] == 6
            pages.append([item["name"] for item in page["items"]])
            if not (place := page["listOptions"].get("continue", "")):
                break
        # A resource that is larger than that by itself is a page.
        assert pages == [["large"], ["n1", "n2"], ["n3", "n4"], ["n5"]]


async def test_nodes_and_users_of_a_resource_are_read_the_same_way(tmp_path: Path) -> None:
    async with open_world(tmp_path, list_bytes=300) as world:
        for name in NAMES:
            await world.client.call(
                "POST", "/v1/nodes", {**NODE, "name": name, "description": "x" * 100}
            )
        first = await world.client.call("GET", "/v1/nodes")
        assert 0 < len(first["items"]) < len(NAMES)
        assert first["listOptions"]["continue"]
        await world.client.call("POST", "/v1/configs", {**config(1000), "name": "conf"})
        for name in ("one", "two"):
            app = {
                "name": name,
                "selector": "a=b",
                "services": [{"name": "web", "image": "nginx:1"}],
                "volumes": [{"name": "conf", "config": {"name": "conf"}}],
            }
            await world.client.call("POST", "/v1/apps", app)
        users = await world.client.call("GET", "/v1/configs/conf/apps")
        assert [user["name"] for user in users["items"]] == ["one"]
        assert users["total"] == 2
