"""No answer of a list has more items than the limit, whatever the caller asks for."""

from pathlib import Path

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
