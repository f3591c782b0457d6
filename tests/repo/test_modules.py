import ast
import importlib
import inspect
import re

import pytest

from tests.repo.tracked import PACKAGES, ROOT, relative, text_of, tracked_files

LINE_LIMIT = 500

STANDALONE = ("examples/", "scripts/")
"""Programs that import nothing of the tree, nor does anything import them."""

NAMED_BY_LIBRARIES = {"Config", "Meta"}
"""Classes within classes that a library looks for by this name."""


def test_every_module_has_a_docstring() -> None:
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(modules) > len(PACKAGES)
    silent = [relative(path) for path in modules if not ast.get_docstring(ast.parse(text_of(path)))]
    assert silent == []


def test_no_module_is_too_long_to_be_read() -> None:
    modules = [path for path in tracked_files() if path.suffix == ".py"]
    lengths = {relative(path): len(text_of(path).splitlines()) for path in modules}
    assert {path: lines for path, lines in lengths.items() if lines > LINE_LIMIT} == {}


def test_the_name_of_a_class_stands_once() -> None:
    places: dict[str, list[str]] = {}
    for path in tracked_files():
        if path.suffix != ".py" or relative(path).startswith(STANDALONE):
            continue
        nodes = ast.walk(ast.parse(text_of(path)))
        classes = [one for one in nodes if isinstance(one, ast.ClassDef)]
        inner = {
            one
            for outer in classes
            for one in outer.body
            if isinstance(one, ast.ClassDef) and one.name in NAMED_BY_LIBRARIES
        }
        for one in classes:
            if one not in inner:
                places.setdefault(one.name, []).append(relative(path))
    assert places
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def drawn_tree(docstring: str) -> dict[str, str]:
    """Parent of every class in a tree drawn with box characters; "" for its root."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in docstring.splitlines():
        found = re.match(r"(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: {2}|$)", line)
        if found:
            depth = len(found["branch"]) // 4
            above[depth:] = [found["name"]]
            parents[found["name"]] = above[depth - 1] if depth else ""
    return parents


@pytest.mark.parametrize("package", ["cloud", "broker", "certs", "edgesync.client"])
def test_the_tree_of_errors_is_drawn_as_it_is(package: str) -> None:
    module = importlib.import_module(f"{package}.errors")
    classes = [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if one.__module__ == module.__name__ and issubclass(one, Exception)
    ]
    names = {one.__name__ for one in classes}
    actual = {
        one.__name__: next((base.__name__ for base in one.__bases__ if base.__name__ in names), "")
        for one in classes
    }
    assert drawn_tree(module.__doc__ or "") == actual
