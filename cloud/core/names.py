"""Valid names and node ids: one rule for REST paths, topics and certificates."""

import ipaddress
import re
from collections.abc import Mapping

from cloud.errors import Invalid

NODE_ID_LIMIT = 64
"""Characters in a certificate's common name (X.520 ub-common-name)."""

NODE_NAME_LABEL = "baetyl-node-name"
"""Label every node bears with its own name; selects exactly one node."""

BATCH_LABEL = "baetyl-batch"
"""Label every batch forces on its nodes."""

RESERVED = "baetyl"
"""Part of a name that operators may not use for apps, configs and secrets."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that only this machine reaches."""

NAME_PATTERN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""Regular expression of a whole name (DNS subdomain); it has at most 63 characters besides."""

NAMESPACE_PATTERN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""Regular expression of a whole namespace; it has at most 32 characters besides."""

_NAME = re.compile(NAME_PATTERN)
_NAMESPACE = re.compile(NAMESPACE_PATTERN)
_HOST_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_FINGERPRINT = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?")


def is_host_name(text: str) -> bool:
    """Return whether *text* is a host name, which a certificate can be for (RFC 1123, section 2.1).

    Without a dot at the end; a wildcard is none.
    """
    labels = text.split(".")
    return len(text) <= 253 and all(map(_HOST_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def is_address(text: str) -> bool:
    """Return whether *text* is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_name(field: str, name: str) -> str:
    """Return *name* if a resource may bear it (DNS subdomain, 1 to 63 characters), else Invalid."""
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise Invalid(
            field,
            f"{_shown(name)} is not a valid name: 1 to 63 lower-case letters, digits, '-' and '.',"
            " starting and ending with a letter or digit",
        )
    return name


def check_own_name(field: str, name: str) -> str:
    """Return *name* if an operator may give it to an app, config or secret: not the server's."""
    if RESERVED in name:
        raise Invalid(
            field, f"{_shown(name)} contains {RESERVED!r}, which is reserved for the server"
        )
    return check_name(field, name)


def check_service_name(field: str, name: str) -> str:
    """Return *name* if a service may bear it: as `check_name`, without dots."""
    if "." in name:
        raise Invalid(field, f"{_shown(name)} is not a valid name: it may not contain a dot")
    return check_name(field, name)


def check_namespace(field: str, namespace: str) -> str:
    """Return *namespace* if it is one: as a name, at most 32 characters, without dots."""
    if len(namespace) > 32 or not _NAMESPACE.fullmatch(namespace):
        raise Invalid(
            field,
            f"{_shown(namespace)} is not a valid namespace: 1 to 32 lower-case letters, digits"
            " and '-', starting and ending with a letter or digit",
        )
    return namespace


def node_id(namespace: str, name: str) -> str:
    """Identity of a node on the wire: common name, client id and topic level."""
    return f"{namespace}.{name}"


def split_node_id(identity: str) -> tuple[str, str]:
    """Namespace and name of a node id, parted at the first dot; Invalid if there is none."""
    namespace, dot, name = identity.partition(".")
    if not dot or not namespace or not name:
        raise Invalid("", f"{_shown(identity)} is not a node id")
    return namespace, name


def check_node_name(field: str, namespace: str, name: str) -> str:
    """Return *name* if a node of *namespace* may bear it: its id has to fit into a certificate."""
    check_name(field, name)
    room = NODE_ID_LIMIT - len(namespace) - 1
    if len(name) > room:
        raise Invalid(
            field,
            f"{_shown(name)} is too long: the name of a node in namespace {namespace} has at most"
            f" {room} characters, because namespace and name stand in its certificate",
        )
    return name


def check_labels(field: str, labels: Mapping[str, str]) -> None:
    """Refuse labels that no selector could name (Kubernetes label syntax)."""
    for key, value in labels.items():
        check_label_key(field, key)
        check_label_value(f"{field}.{key}", value)


def check_label_key(field: str, key: str) -> str:
    """Return *key* if a label may have it: 1 to 63 characters, perhaps after `domain/`."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and _NAME.fullmatch(prefix)):
        raise Invalid(field, f"{_shown(key)} is not a valid label: its prefix is no domain name")
    if len(name) > 63 or not _LABEL_PART.fullmatch(name):
        raise Invalid(field, f"{_shown(key)} is not a valid label name")
    return key


def check_label_value(field: str, value: str) -> str:
    """Return *value* if a label may have it: at most 63 characters, perhaps none."""
    if len(value) > 63 or (value and not _LABEL_PART.fullmatch(value)):
        raise Invalid(field, f"{_shown(value)} is not a valid label value")
    return value


def check_data_key(field: str, key: str) -> str:
    """Return *key* if it may name a file of a config or secret; no path can be built from it.

    Kubernetes mounts such files through names of its own that begin with two dots.
    """
    if len(key) > 253 or not _DATA_KEY.fullmatch(key) or key == "." or key.startswith(".."):
        raise Invalid(
            field,
            f"{_shown(key)} is not a valid key: 1 to 253 letters, digits, '-', '.' and '_', not"
            " starting with two dots",
        )
    return key


def check_fingerprint(field: str, value: str) -> str:
    """Return *value* if it may stand as a fingerprint: 1 to 63 letters, digits, '-' and '.'."""
    if len(value) > 63 or not _FINGERPRINT.fullmatch(value):
        raise Invalid(
            field,
            f"{_shown(value)} is not a valid fingerprint: 1 to 63 letters, digits, '-' and '.',"
            " starting and ending with a letter or digit",
        )
    return value


def _shown(text: str) -> str:
    """Quote what the caller sent, cut to what fits in a message."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
