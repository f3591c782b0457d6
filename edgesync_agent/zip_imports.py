"""Imports from the zip that the agent is."""

from __future__ import annotations

import sys
from zipimport import zipimporter


class _Importer(zipimporter):
    """An importer that names the file of a module without compiling what is in it."""

    def get_filename(self, fullname: str) -> str:
        """Return the path of a module; what it replaces compiles the module, to no other end."""
        path = f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}"
        return f"{path}/__init__.py" if self.is_package(fullname) else f"{path}.py"


def compile_once() -> None:
    """Have modules of a zip compiled once each, and not twice, from now on."""
    sys.path_hooks.insert(0, _Importer)
    sys.path_importer_cache.clear()
