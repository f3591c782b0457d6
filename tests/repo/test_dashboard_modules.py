"""Modules of the dashboard import what they use, and nothing else: nothing else would notice."""

import re
from pathlib import Path

import pytest

from tests.repo.tracked import ROOT

STATIC = ROOT / "cloud/rest/dashboard/static"
MODULES = sorted(STATIC.glob("*.js"))
IMPORT = re.compile(r"import \{([^}]*)\} from \"([^\"]+)\"", flags=re.S)


def imports_of(text: str) -> dict[str, str]:
    """Where each imported name comes from, by the name it has there."""
    return {
        name.strip().partition(" as ")[0]: place
        for names, place in IMPORT.findall(text)
        for name in names.split(",")
        if name.strip()
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_what_it_uses(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imported = imports_of(text)
    defined = set(re.findall(r"(?:function|const|class|let) (\w+)", text))
    used = set(re.findall(r"\$\{([A-Z]\w+)\}", text))
    assert used <= defined | imported.keys()
    assert [name for name in imported if len(re.findall(rf"\b{name}\b", text)) < 2] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_what_a_module_imports_is_exported(path: Path) -> None:
    for name, place in imports_of(path.read_text(encoding="utf-8")).items():
        if "vendor" in place:
            continue
        there = (STATIC / place).read_text(encoding="utf-8")
        exported = (
            rf"export (?:async )?(?:function|const|class|let) {name}\b|export \{{[^}}]*\b{name}\b"
        )
        assert re.search(exported, there), f"{name} of {place}"


def test_only_an_open_editor_loads_its_libraries() -> None:
    loaded: set[str] = set()
    found = {"./app.js"}
    while found:
        loaded |= found
        texts = [(STATIC / place).read_text(encoding="utf-8") for place in found]
        found = {place for text in texts for place in imports_of(text).values()} - loaded
    assert "./editor.js" in loaded
    assert not loaded & {"./vendor/codemirror.js", "./vendor/yaml.js"}
