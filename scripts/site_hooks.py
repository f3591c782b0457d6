"""Hooks of mkdocs.yml: add pages from outside docs/ and check what links and pages refer to."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Files outside docs/ that are pages of the site, and their names there."""

CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#]+)(#[^)\s]*)?\)")
LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt links to the site: of a link to a file that is no page of it, only the text stays.

    PluginError if the file of a link does not exist.
    """
    here = page.file.src_uri
    outside = {name: source for source, name in PAGES.items()}
    source = outside.get(here, f"docs/{here}")

    def adapt(match: re.Match[str]) -> str:
        text, name, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", name):
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        if not (ROOT / file).exists():
            raise PluginError(f"{source}: {name} does not exist")
        target = PAGES.get(file, file.removeprefix("docs/"))
        if files.get_file_from_path(target) is None:
            return text.strip("![]")
        return f"{text}({posixpath.relpath(target, posixpath.dirname(here) or '.')}{anchor})"

    parts = CODE.split(markdown)
    return "".join(part if at % 2 else LINK.sub(adapt, part) for at, part in enumerate(parts))


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Return the page as it is; PluginError if it loads something from another host."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[0]}")
    return output
