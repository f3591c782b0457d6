"""The page on security names tests that are there."""

import re

from tests.repo.tracked import ROOT, text_of

PAGE = ROOT / "docs/security.md"


def rows(text: str) -> list[str]:
    """Rows of the tables of threats, without their heads."""
    lines = text.partition("\n## Keys and lifetimes\n")[0].splitlines()
    return [line for line in lines if re.match(r"\| (?!threat \|)", line)]


def test_every_threat_names_a_test_that_is_there() -> None:
    found = rows(text_of(PAGE))
    assert len(found) > 20
    for row in found:
        named = re.search(r"\| \[([^\]]+)\]\((\S+)\) \|$", row)
        assert named, row
        name = "test_" + named[1].replace(" ", "_")
        assert re.search(rf"^(async )?def {name}\(", text_of(PAGE.parent / named[2]), re.M), name
