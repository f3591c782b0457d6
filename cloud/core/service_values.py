"""Values in the description of a service that are taken from a list, or have a form.

Each check takes the full path of the field, which is what Invalid names. Sources: the contract
("Create Application"), and Kubernetes where the contract is silent.
"""

from collections.abc import Mapping

from cloud.core.names import is_address, is_host_name
from cloud.core.quantities import check_cpu, check_memory, parse_quantity
from cloud.errors import Invalid

RESTART_POLICIES = ("Always", "OnFailure", "Never")

HOST_PATH_TYPES = (
    *("DirectoryOrCreate", "Directory", "FileOrCreate", "File"),
    *("Socket", "CharDevice", "BlockDevice"),
)
"""The types that Kubernetes defines (core/v1, HostPathType)."""

RESOURCES_LIMIT = 32
"""Kinds of resources in `limits`, and in `requests`."""

_DEVICE_RIGHTS = frozenset("rwm")
_HOSTNAME_LIMIT = 63
_SHOWN = 40


def check_restart_policy(field: str, policy: str) -> None:
    """Refuse what is no policy of the contract; empty stands for the default of the node."""
    _check_among(field, policy, RESTART_POLICIES)


def check_backoff(field: str, least: int, most: int, factor: float) -> None:
    """Refuse pauses that do not grow from *least* to *most*."""
    if least > most:
        raise Invalid(f"{field}.max", "is less than min")
    if factor < 1:
        raise Invalid(f"{field}.factor", "is less than 1")


def check_device_policy(field: str, policy: str) -> None:
    """Refuse what is not made of r (read), w (write) and m (mknod), each once."""
    if not _DEVICE_RIGHTS.issuperset(policy) or len(set(policy)) != len(policy):
        raise Invalid(field, f"{policy[:_SHOWN]!r} is not made of the letters r, w and m")


def check_host_ip(field: str, address: str) -> None:
    """Refuse what is no IP address; empty stands for all of the node's."""
    if address and not is_address(address):
        raise Invalid(field, f"{address[:_SHOWN]!r} is not an IP address")


def check_hostname(field: str, name: str) -> None:
    """Refuse what no machine can be called; empty stands for the default of the node."""
    if name and (len(name) > _HOSTNAME_LIMIT or not is_host_name(name)):
        raise Invalid(field, f"{name[:_SHOWN]!r} is not a host name of up to 63 characters")


def check_host_path_type(field: str, kind: str) -> None:
    """Refuse what Kubernetes does not know; empty stands for no check on the node."""
    _check_among(field, kind, HOST_PATH_TYPES)


def check_sub_path(field: str, path: str) -> None:
    """Refuse a path that leads out of its volume."""
    if path.startswith("/") or ".." in path.split("/"):
        raise Invalid(field, "leads out of the volume")


def check_variable_name(field: str, name: str) -> None:
    """Refuse the name of a variable that no environment can hold."""
    if not name.strip():
        raise Invalid(field, "is empty")
    if "=" in name:
        raise Invalid(field, f"{name[:_SHOWN]!r} contains '='")


def check_quantities(field: str, quantities: Mapping[str, str]) -> None:
    """Refuse resources whose amount is no quantity: `cpu`, `memory`, or an extended resource."""
    if len(quantities) > RESOURCES_LIMIT:
        raise Invalid(field, f"{len(quantities)} of them, more than the limit of {RESOURCES_LIMIT}")
    for key, quantity in quantities.items():
        place = f"{field}.{key[:_SHOWN]}"
        if key == "cpu":
            check_cpu(place, quantity)
        elif key == "memory":
            check_memory(place, quantity)
        elif parse_quantity(quantity) is None:
            raise Invalid(place, f"{quantity[:_SHOWN]!r} is not a quantity such as 1 or 50Mi")


def _check_among(field: str, value: str, known: tuple[str, ...]) -> None:
    if value and value not in known:
        raise Invalid(field, f"{value[:_SHOWN]!r} is none of {', '.join(known)}")
