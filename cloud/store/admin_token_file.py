"""The file with the administrator's token, `admin.token`."""

from pathlib import Path

from cloud.errors import Invalid
from cloud.store.sealing import sync_directory

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105  # its name

_SHORTEST = 16


def write_admin_token(file: Path, token: str) -> None:
    """Put *token* into *file*, whole and for its owner alone."""
    partial = file.with_suffix(".new")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(token + "\n", encoding="ascii")
    partial.replace(file)
    sync_directory(file.parent)


def read_admin_token(file: Path) -> str:
    """The token in *file*; Invalid if others may read it, or if it holds none."""
    if file.stat().st_mode & 0o077:
        raise Invalid("", f"others may read it; chmod 600 {file}")
    token = file.read_text(encoding="ascii").strip()
    if len(token) < _SHORTEST:
        raise Invalid("", "holds no token; remove it to have a new one made")
    return token
