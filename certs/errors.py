"""The errors of this package.

CertError
├── BadSigningRequest   what a device sent cannot be certified; the reason is safe to send back
├── BadSignature        what a device signed does not prove what it should
├── AuthorityNotValid   the authority's own certificate has expired or not yet begun
├── BadAuthority        the files of an authority are incomplete, or do not belong together
│   └── BadPassphrase   a key is encrypted and cannot be opened, or is plain and should not be
├── NotAnAuthority      an imported certificate cannot sign for nodes and servers
└── UnsafePermissions   a private key can be read by others
"""

from datetime import datetime
from pathlib import Path


class CertError(Exception):
    """Anything this package raises on purpose."""


class BadSigningRequest(CertError):
    """A signing request that is not granted; *reason* is what is wrong with it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class BadSignature(CertError):
    """A key or signature that proves nothing; *reason* is what is wrong with it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class AuthorityNotValid(CertError):
    """Nothing can be issued now: what signs is valid from *begins* to *ends* only."""

    def __init__(self, begins: datetime, ends: datetime) -> None:
        self.begins = begins
        self.ends = ends
        super().__init__(f"the authority is valid from {begins} to {ends} only")


class BadAuthority(CertError):
    """An authority that cannot be used as it stands in *path*."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class BadPassphrase(BadAuthority):
    """The passphrase and the key in *path* do not go together."""


class NotAnAuthority(CertError):
    """A certificate that cannot be an authority's; *reason* is why, and how to make it one."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class UnsafePermissions(CertError):
    """The private key in *path* is not the owner's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path}: others may read this key; run chmod 600 {path}")
