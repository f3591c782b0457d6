"""Manifests of the examples that come with edgesync."""

from importlib.resources import files

from edgesync.cli.resources.manifests import Document, read_text


def example_resources(*names: str) -> list[Document]:
    """Documents of the examples *names*, in their order."""
    folder = files("edgesync") / "examples"
    return [
        document
        for name in names
        for document in read_text((folder / f"{name}.yaml").read_text(encoding="utf-8"), name)
    ]
