"""Objects: files of a config in an object store, and the credentials to fetch them.

A node gets a URL that is signed for it, never the keys. S3's addresses with the bucket in the path
are understood by all these stores (BOS: on its S3-compatible endpoints).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, urlsplit

import msgspec

from cloud.core.mask import MASK
from cloud.core.names import check_data_key
from cloud.errors import CloudError, Invalid

KEY_PREFIX = "_object_"
"""Begins the keys under which nodes find objects; no other key may."""


class Source(StrEnum):
    """Kind of store an object lies in."""

    BAIDUBOS = "baidubos"
    AWSS3 = "awss3"
    MINIO = "minio"
    HTTP = "http"


_ENDPOINTS = {
    Source.AWSS3: "https://s3.{region}.amazonaws.com",
    Source.BAIDUBOS: "https://s3.{region}.bcebos.com",
}
_REGIONS = {Source.AWSS3: "us-east-1", Source.MINIO: "us-east-1", Source.BAIDUBOS: "bj"}
_REGION_IN_HOST = re.compile(
    r"s3[.-](?P<region>[a-z0-9-]+)\.(amazonaws\.com(\.cn)?|bcebos\.com)", re.I
)
_BUCKET = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]{1,254}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


def _baidubos() -> Source:
    return Source.BAIDUBOS


class _Object(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The fields of every kind of object; *ak* and *sk* are both there or neither.

    What is empty is not shown, as the contract does not know all of it.
    """

    endpoint: str = ""
    region: str = ""
    ak: str = ""
    sk: str = ""
    unpack: str = ""
    md5: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class StoredObject(_Object, frozen=True, tag_field="type", tag="object", kw_only=True):
    """A file in an object store, or at a plain URL (contract, "Create Configuration")."""

    source: Source
    bucket: str = ""
    object: str = ""
    url: str = ""


class FunctionObject(_Object, frozen=True, tag_field="type", tag="function", kw_only=True):
    """The code of a function, in an object store (contract, "Create Configuration")."""

    function: str
    version: str
    runtime: str
    handler: str
    bucket: str
    object: str
    source: Source = msgspec.field(default_factory=_baidubos)  # shown also where it is this


AnyObject = StoredObject | FunctionObject


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A request that the owner of the keys allows: GET *url*, within *region*."""

    url: str
    region: str
    ak: str
    sk: str = field(repr=False)


Presign = Callable[[Unsigned], str]
"""Makes the URL by which anybody may do that for a while."""


class CannotSign(CloudError):
    """This server has nothing to sign with."""

    def __init__(self) -> None:
        super().__init__("This server cannot sign URLs of objects: install edgesync[objects].")


def cannot_sign(_request: Unsigned) -> str:
    """Refuse to sign, as a server does that was installed without the extra."""
    raise CannotSign


def object_url(one: AnyObject, presign: Presign) -> str:
    """Where a node gets *one*; signed where keys are given, else the plain address."""
    if isinstance(one, StoredObject) and one.source is Source.HTTP:
        return one.url
    region = _region(one)
    endpoint = one.endpoint or _ENDPOINTS[one.source].format(region=region)
    path = f"/{one.bucket}/{quote(one.object, safe='/~')}"
    url = endpoint.rstrip("/") + path
    return presign(Unsigned(url, region, one.ak, one.sk)) if one.ak else url


def check_object(field: str, key: str, one: AnyObject) -> None:
    """Refuse an object that no node could fetch; Invalid names the field, below *field*."""
    check_data_key(f"{field}.key", KEY_PREFIX + key)
    under = f"{field}.value"
    if isinstance(one, FunctionObject):
        for name in ("function", "version", "runtime", "handler"):
            _check_present(f"{under}.{name}", getattr(one, name))
    if one.source is Source.HTTP:
        _check_plain(under, one)
        return
    _check_place(under, one)
    if bool(one.ak) is not bool(one.sk):
        raise Invalid(f"{under}.{'sk' if one.ak else 'ak'}", "is missing: ak and sk go together")
    if one.sk == MASK:
        raise Invalid(f"{under}.sk", "is masked, and there is no stored one it could stand for")


def masked(one: AnyObject) -> AnyObject:
    """*one* as it may be shown."""
    return msgspec.structs.replace(one, sk=MASK) if one.sk else one


def unmasked(one: AnyObject, before: AnyObject) -> AnyObject:
    """*one* with the secret key of *before*, if it is masked and goes with the same *ak*."""
    same = one.sk == MASK and one.ak == before.ak
    return msgspec.structs.replace(one, sk=before.sk) if same else one


def _region(one: AnyObject) -> str:
    found = _REGION_IN_HOST.fullmatch(urlsplit(one.endpoint).hostname or "")
    return one.region or (found["region"].lower() if found else _REGIONS[one.source])


def _check_plain(under: str, one: AnyObject) -> None:
    if isinstance(one, FunctionObject):
        raise Invalid(f"{under}.source", "http has no buckets; a function is in one")
    _check_url(f"{under}.url", one.url)
    for name in ("ak", "sk"):
        if getattr(one, name):
            raise Invalid(f"{under}.{name}", "does not go with a plain URL")


def _check_place(under: str, one: AnyObject) -> None:
    if not _BUCKET.fullmatch(one.bucket):
        raise Invalid(f"{under}.bucket", f"{one.bucket[:80]!r} is not the name of a bucket")
    _check_present(f"{under}.object", one.object)
    if not {".", ".."}.isdisjoint(one.object.split("/")) or len(one.object.encode()) > 1024:
        raise Invalid(f"{under}.object", "is not the key of an object that a URL can name")
    if one.region and not _REGION.fullmatch(one.region):
        raise Invalid(f"{under}.region", f"{one.region[:80]!r} is not a region")
    if one.endpoint or one.source not in _ENDPOINTS:
        _check_url(f"{under}.endpoint", one.endpoint)
        if "?" in one.endpoint or "#" in one.endpoint:
            raise Invalid(f"{under}.endpoint", "is more than an address")


def _check_url(field: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading it checks it
    except ValueError as error:
        raise Invalid(field, f"{url[:80]!r} is not a URL") from error
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain:
        raise Invalid(field, f"{url[:80]!r} is not a URL with http or https")


def _check_present(field: str, text: str) -> None:
    if not text.strip():
        raise Invalid(field, "is empty")
