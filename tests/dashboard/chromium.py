"""The system's own Chromium, driven by Playwright; nothing is downloaded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

# The headless shell renders the same with a third of the CPU: it has no windows.
_PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, _PROGRAMS)), "")
NEEDS_CHROMIUM = [
    pytest.mark.chromium,
    pytest.mark.skipif(
        not PROGRAM and "CI" not in os.environ,
        reason="chromium is not installed",
    ),
]
# What it would otherwise do on the network or with the screen of a machine that has none.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser with a profile of its own, thrown away at the end."""
    with sync_playwright() as playwright:
        program = PROGRAM or "/usr/bin/chromium-headless-shell"
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
