"""Checks that files and directories of the server are closed to other users."""

import os
import stat
from pathlib import Path

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Variable that names where systemd puts credentials, which only the service can read."""


def secret_file_trouble(path: Path) -> str:
    """The error in the permissions of a file with a secret, and its remedy; empty: none.

    Refused is any bit for group or others, with two exceptions: files of root that this process's
    own group may read and not write, and systemd's credentials. OSError if there is no such file.
    """
    found = path.stat()
    credentials = os.environ.get(CREDENTIALS)
    if credentials and path.resolve().is_relative_to(Path(credentials).resolve()):
        return ""
    is_given_to_us = found.st_uid == 0 and found.st_gid == os.getegid() != 0
    allowed = stat.S_IRGRP if is_given_to_us else 0
    if found.st_mode & 0o077 & ~allowed:
        return f"{path}: others can use this file, which holds a secret; run chmod 600 {path}"
    return _owner_trouble(path, found)


def written_file_trouble(path: Path) -> str:
    """The same for a file that others may read, and not write."""
    found = path.stat()
    if found.st_mode & 0o022:
        return f"{path}: others can write to this file; run chmod go-w {path}"
    return _owner_trouble(path, found)


def directory_trouble(path: Path) -> str:
    """The same for a directory: others may look into it, and not write."""
    found = path.stat()
    if found.st_mode & 0o022:
        return f"{path}: others can write to this directory; run chmod go-w {path}"
    return _owner_trouble(path, found)


def _owner_trouble(path: Path, found: os.stat_result) -> str:
    """Its owner can grant itself every right."""
    if found.st_uid in (0, os.geteuid()):
        return ""
    return f"{path}: belongs to another user; run chown {os.geteuid()} {path}"
