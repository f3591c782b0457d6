import base64
import hashlib
import re
from html.parser import HTMLParser

from cloud.rest.document import openapi_document
from cloud.rest.page import content_security_policy, html_page
from cloud.rest.routes import ROUTES

PAGE = html_page(openapi_document(ROUTES, version="1.2.3<"))


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read() -> Reader:
    reader = Reader()
    reader.feed(PAGE)
    assert reader.open == []
    return reader


def test_the_page_runs_nothing_and_fetches_nothing() -> None:
    reader = read()
    assert reader.tags.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    assert {link for link in reader.links if not link.startswith("#")} == {"openapi.json"}
    assert not re.search(r"@import|url\(|\sstyle=|\son\w+=", PAGE)


def test_every_link_of_the_page_leads_to_one_place() -> None:
    reader = read()
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)


def test_the_page_shows_every_route() -> None:
    for route in ROUTES:
        assert f'<b class="method">{route.method}</b> <code>{route.path}</code>' in PAGE


def test_the_policy_allows_the_style_of_the_page_alone() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in content_security_policy()


def test_text_of_the_document_cannot_become_html() -> None:
    assert "1.2.3&lt;" in PAGE
    assert "1.2.3<" not in PAGE
