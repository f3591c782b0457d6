"""The file of the identity providers."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from cloud.core.identity_providers import FILE_LIMIT, IdentityProvider, read_providers
from cloud.errors import Invalid
from cloud.http.yaml_text import decode_yaml
from cloud.rest.sign_in.provider_client import ProviderClient
from cloud.store.permissions import secret_file_trouble, written_file_trouble


def read_login_file(path: Path, timer: Callable[[], float]) -> Sequence[ProviderClient]:
    """A client for each provider in *path*; Invalid names what is wrong, OSError: cannot be read.

    The file gives access to everything: it must not be one that others can write to.
    """
    if trouble := written_file_trouble(path):
        raise Invalid("", trouble)
    with path.open("rb") as file:
        content = file.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise Invalid("", f"is larger than {FILE_LIMIT} bytes")
    return [
        ProviderClient(one, _secret_of(one, path.parent), _trust_of(one, path.parent), timer)
        for one in read_providers(decode_yaml(content))
    ]


def _secret_of(provider: IdentityProvider, directory: Path) -> str:
    if not provider.client_secret_file:
        return ""
    path = directory / provider.client_secret_file
    if trouble := secret_file_trouble(path):
        raise Invalid(f"clientSecretFile of {provider.name}", trouble)
    return path.read_text(encoding="utf-8").strip()


def _trust_of(provider: IdentityProvider, directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if provider.ca_file:
        context.load_verify_locations(directory / provider.ca_file)
    return context
