"""Where settings are from: flags, then `EDGESYNC_*` in the environment, then a TOML file.

An unknown key is an error wherever it stands; what none of them names has its default. A key that
was replaced is read with a warning.
"""

import json
import logging
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloud.config import BadSettings, Settings
from cloud.core.deprecated_settings import DEPRECATED_SETTINGS, DeprecatedSetting
from cloud.store.permissions import secret_file_trouble, written_file_trouble

logger = logging.getLogger(__name__)

PREFIX = "EDGESYNC_"

NOT_SETTINGS = frozenset(
    f"EDGESYNC_{name}"
    for name in (
        *("CONFIG", "HOME", "INPUT", "URL", "CA", "CA_PASSPHRASE", "TOKEN", "TOKEN_FILE"),
        *("BACKUP_PASSPHRASE", "BACKUP_PASSPHRASE_FILE", "CONTEXT", "CONTEXTS"),
    )
)
"""Variables with the prefix that are read elsewhere; `EDGESYNC_SIM_*` and `EDGESYNC_TEST_*` too."""

PATHS = frozenset(
    {
        *("data_dir", "ca_passphrase_file", "login_file", "crl_file", "ready_file"),
        *(
            "broker_credentials_file",
            "key_encryption_file",
            "secret_source_dir",
            "vault_token_file",
            "vault_ca_file",
        ),
    }
)
"""Settings that are paths."""

_KINDS: Mapping[str, type] = {
    **{one.name: type(one.default) for one in fields(Settings)},
    **dict.fromkeys(PATHS, Path),
}

NAMES = tuple(setting.name for setting in fields(Settings))


def load_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Path | None,
    *,
    warn: Callable[[str], None] = logger.warning,
    deprecated: Iterable[DeprecatedSetting] = DEPRECATED_SETTINGS,
) -> Settings:
    """Settings from all three places, the first that names one wins; BadSettings has the reason.

    *flags* holds only what was given. *warn* is called with a message for each setting that is
    *deprecated*.
    """
    names = _Names({one.old: one for one in deprecated}, warn)
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_from_file(file, names))
        _check_config_file(file, values)
    values.update(_from_environment(environ, names))
    values.update(names.current({f"--{name.replace('_', '-')}": name for name in flags}, flags))
    return Settings(**values)


def settings_text(settings: Settings) -> str:
    """*settings* as a TOML file that `load_settings` reads: what is not the default, and can move.

    The data directory is where the file lies; the ready file and lost keys are of one start.
    """
    values = {
        setting.name: getattr(settings, setting.name)
        for setting in fields(Settings)
        if setting.name not in {"data_dir", "ready_file", "replace_lost_keys"}
        and getattr(settings, setting.name) != setting.default
    }
    return "".join(f"{name} = {json.dumps(value, default=str)}\n" for name, value in values.items())


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of settings, those that are *deprecated* too."""

    deprecated: Mapping[str, DeprecatedSetting]
    warn: Callable[[str], None]

    def current(self, keys: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
        """*values* by the names that settings have now; *keys* has the place of each.

        BadSettings for a name that there is not, or two names of one setting.
        """
        found: dict[str, Any] = {}
        for where, key in keys.items():
            replaced = self.deprecated.get(key)
            if replaced is not None:
                self.warn(replaced.warning(where))
            name = replaced.new if replaced else key
            if name not in NAMES:
                raise BadSettings(f"{where}: no such setting; there are {', '.join(NAMES)}")
            if name in found:
                raise BadSettings(f"{where}: {name} has a value already")
            found[name] = values[key]
        return found


def _from_file(file: Path, names: _Names) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{file}: {error}") from error
    found = names.current({f"{file}: {key}": key for key in content}, content)
    return {key: _read(f"{file}: {key}", key, value) for key, value in found.items()}


def _check_config_file(file: Path, values: Mapping[str, Any]) -> None:
    """Refuse one that others can write to, or read where it holds a password."""
    holds_secret = bool(urlsplit(values.get("database", "")).password)
    trouble = secret_file_trouble(file) if holds_secret else written_file_trouble(file)
    if trouble:
        raise BadSettings(trouble)


def _from_environment(environ: Mapping[str, str], names: _Names) -> dict[str, Any]:
    others = ("EDGESYNC_SIM_", "EDGESYNC_TEST_", "EDGESYNC_DEMO_")
    keys = {
        variable: variable.removeprefix(PREFIX).lower()
        for variable in environ
        if variable.startswith(PREFIX)
        and variable not in NOT_SETTINGS
        and not variable.startswith(others)
    }
    found = names.current(keys, {key: environ[variable] for variable, key in keys.items()})
    return {key: _read_text(f"{PREFIX}{key.upper()}", key, text) for key, text in found.items()}


def _read_text(where: str, key: str, text: str) -> Any:
    """Value of *key* from a variable's text."""
    kind = _KINDS.get(key, str)
    if kind is int:
        try:
            return int(text)
        except ValueError as error:
            raise BadSettings(f"{where}: {text!r} is not a whole number") from error
    if kind is bool:
        truth = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in truth:
            raise BadSettings(f"{where}: {text!r} is neither true nor false")
        return truth[text.lower()]
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return Path(text) if kind is Path else text


def _read(where: str, key: str, value: Any) -> Any:
    """Value of *key* from a file, where it has a type already."""
    kind = _KINDS.get(key, str)
    if kind is tuple and isinstance(value, list) and all(isinstance(x, str) for x in value):
        return tuple(value)
    if key == "function_runtimes" and isinstance(value, dict):
        return tuple(f"{runtime}={image}" for runtime, image in value.items())
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind in {int, bool, str} and type(value) is kind:
        return value
    expected = {int: "a whole number", bool: "true or false", tuple: "a list of strings"}
    raise BadSettings(f"{where}: {value!r} is not {expected.get(kind, 'a string')}")
