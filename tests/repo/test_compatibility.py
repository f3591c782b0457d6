import json
import re
from typing import NamedTuple

from cloud.rest.routes import ROUTES
from tests.repo.tracked import ROOT, text_of

PAGE = ROOT / "docs/compatibility.md"


class RouteRow(NamedTuple):
    """A route, a golden answer of it, and the test that holds it."""

    method: str
    path: str
    golden: str
    test: str
    module: str


def rows(text: str) -> list[RouteRow]:
    _, _, section = text.partition("\n## Every route\n")
    pattern = r"^\| `(\w+) (\S+)` \| \[.+?\]\((\S+)\) \| \[(.+?)\]\((\S+)\) \|$"
    return [RouteRow(*found) for found in re.findall(pattern, section, flags=re.M)]


def is_call_of(row: RouteRow, method: str, path: str) -> bool:
    template = re.sub(r"{\w+}", r"[^/?]+", row.path)
    return row.method == method and bool(re.fullmatch(rf"{template}(\?.*)?", path))


def test_every_route_of_the_table_has_its_row() -> None:
    named = [(row.method, row.path) for row in rows(text_of(PAGE))]
    assert named == [(route.method, route.path) for route in ROUTES]


def test_every_row_leads_to_an_answer_of_its_route() -> None:
    for row in rows(text_of(PAGE)):
        golden = json.loads(text_of(PAGE.parent / row.golden))
        assert is_call_of(row, golden["request"]["method"], golden["request"]["path"]), row
        assert golden["status"] == 200, row


def test_every_row_names_a_test_that_is_there() -> None:
    for row in rows(text_of(PAGE)):
        name = "test_" + row.test.replace(" ", "_")
        assert re.search(rf"^(async )?def {name}\(", text_of(PAGE.parent / row.module), re.M), row
