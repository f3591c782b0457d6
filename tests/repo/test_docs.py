import re
import tomllib
from pathlib import Path

from tests.repo.tracked import ROOT, relative, text_of, tracked_files

HEADINGS = {"Before you upgrade", "Highlights", "In detail"}
AREAS = {"Operate", "Nodes", "Certificates and access", "Servers", "Integrate", "Migrate"}
DETAILS = {"Added", "Changed", "Fixed", "Removed", "Security"}


def prose(path: Path) -> str:
    """The page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text_of(path), flags=re.S)


def anchors(path: Path) -> set[str]:
    """What `#...` can name in the page, as forges make it from headings."""
    without_code = re.sub(r"```.*?```", "", text_of(path), flags=re.S)
    titles = re.findall(r"^#+ +(.+?) *$", without_code, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = (path.parent / name).resolve() if name else path
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    return broken


def test_every_link_within_the_docs_leads_somewhere() -> None:
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    broken = {relative(page): links for page in pages if (links := broken_links(page))}
    assert broken == {}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page: `x` & y\n[a](#a-page-x--y) [b](#b) [c](page.md) [d](d.md) [e](page.md#e)"
        " [f](https://example.com/f) `[g](g.md)`\n```\n# h\n[h](h.md)\n```\n[h](#h)\n"
    )
    assert broken_links(page) == ["#b", "d.md", "page.md#e", "#h"]


def test_the_examples_on_the_wire_are_the_golden_ones() -> None:
    _, _, section = text_of(ROOT / "docs/protocol.md").partition("\n## Examples on the wire\n")
    blocks = re.findall(r"```(json)?\n(.*?)\n```", section, flags=re.S)
    golden = [path.read_bytes() for path in sorted((ROOT / "tests/golden/broker").iterdir())]
    assert blocks
    for language, text in blocks:
        assert (text.encode() if language else bytes.fromhex(text)) in golden


def test_changes_stand_under_the_usual_headings() -> None:
    changelog = text_of(ROOT / "CHANGELOG.md")
    assert re.search(r"^## .*$", changelog, flags=re.M)
    assert re.findall(r"^## (.*)$", changelog, flags=re.M)[0] == "Unreleased"
    assert set(re.findall(r"^### (.*)$", changelog, flags=re.M)) <= HEADINGS | DETAILS
    assert set(re.findall(r"^#### (.*)$", changelog, flags=re.M)) <= AREAS


def test_each_decision_has_a_number_of_its_own_that_it_begins_with() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(page.name.partition("-")[0]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    titles = [text_of(page).partition(".")[0] for page in pages]
    assert titles == [f"# {number}" for number in numbers]


def test_files_in_the_page_on_the_architecture_exist_and_are_counted() -> None:
    page = text_of(ROOT / "docs/architecture.md")
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page))
    assert [
        one for one in named if not any((ROOT / at / one).exists() for at in ("", "cloud"))
    ] == []
    walks = re.findall(
        r"^## Walk \d.*?\n\n(\d+) files[.,].*?\n(.*?)(?=^## )", page, flags=re.S | re.M
    )
    assert len(walks) == 3
    for count, walk in walks:
        assert len(set(re.findall(r"^\| \d+ \| `(.*?)` \|", walk, flags=re.M))) == int(count)


def test_the_layers_in_the_page_on_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one.get("containers") == ["cloud"]]
    page = text_of(ROOT / "docs/architecture.md")
    drawn = " ".join(re.findall(r"^`app`.*?(?=\n\n)", page, flags=re.S | re.M)[0].split())
    assert (
        re.split(r" \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ", drawn.replace("`", ""))
        == layers
    )
