import re

from tests.repo.tracked import ROOT, relative, text_of, tracked_files

# Put together here, so that this file does not contain what it looks for.
PLACES = re.compile(
    r"(?<![\w./-])/(?:work|root)/|"
    + "|".join(
        re.escape(".".join(host))
        for host in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("proxy", "golang", "org"),
        )
    )
    + "|"
    + "-".join(("index", "url")),
    re.IGNORECASE,
)


def test_no_file_names_the_machine_it_was_made_on_or_its_registries() -> None:
    found = {
        relative(path): match.group()
        for path in tracked_files()
        if (match := PLACES.search(text_of(path)))
    }
    assert found == {}


def test_the_places_looked_for_are_found() -> None:
    for place in ("work", "root"):
        assert PLACES.search(f"see /{place}/x")
        assert not PLACES.search(f"data/{place}/x")


def test_every_golden_file_is_named_by_a_test() -> None:
    golden = [path for path in tracked_files() if relative(path).startswith("tests/golden/")]
    tests = [text_of(path) for path in (ROOT / "tests").rglob("*.py") if "golden" in text_of(path)]
    unused = [
        relative(path)
        for path in golden
        if not any(f'"{path.stem}"' in text or path.name in text for text in tests)
    ]
    assert unused == []
