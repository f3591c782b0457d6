"""An authority: a root that is trusted, and an intermediate that signs; no disk here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certs import profiles
from certs.errors import AuthorityNotValid
from certs.keys import PublicKey, SigningKey, new_private_key
from certs.profiles import Issuer
from certs.revocation import LIFETIME, Revoked, revocation_list


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was just made."""

    certificate: x509.Certificate
    issuer: x509.Certificate

    @property
    def serial(self) -> int:
        """Serial number, at most 159 bits."""
        return self.certificate.serial_number

    @property
    def not_after(self) -> datetime:
        """Last moment it is valid, aware UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def issuer_pem(self) -> str:
        """The certificate of who signed."""
        return _pem(self.issuer)

    @property
    def certificate_pem(self) -> str:
        """The one certificate and nothing else: stock edge agents read no chain."""
        return _pem(self.certificate)

    @property
    def chain_pem(self) -> str:
        """The certificate and the intermediate, as a server sends them."""
        return _pem(self.certificate) + _pem(self.issuer)


@dataclass(frozen=True, slots=True)
class Signer:
    """An intermediate and its key."""

    certificate: x509.Certificate
    key: SigningKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs for servers and nodes with the intermediate; the root's key stays with its files.

    The *retired* intermediates sign nothing but lists of what was revoked; what they signed before
    is valid until it ends.
    """

    root: x509.Certificate
    intermediate: x509.Certificate
    key: SigningKey = field(repr=False)
    retired: tuple[Signer, ...] = ()

    @classmethod
    def create(
        cls, label: str, *, now: datetime, serials: tuple[int, int]
    ) -> tuple[Self, ec.EllipticCurvePrivateKey]:
        """A new authority, and the root's key, which it does not need until it is renewed."""
        root_key = new_private_key()
        root_builder = profiles.root(root_key.public_key(), label, now=now, serial=serials[0])
        root = root_builder.sign(root_key, hashes.SHA256())
        signer = new_signer(root, root_key, label, now=now, serial=serials[1])
        return cls(root, signer.certificate, signer.key), root_key

    def succeeded_by(self, signer: Signer) -> "Authority":
        """The authority once *signer* signs, and the intermediate of now is retired."""
        own = Signer(self.intermediate, self.key)
        return Authority(self.root, signer.certificate, signer.key, (own, *self.retired))

    @property
    def root_pem(self) -> str:
        """The certificates that nodes and people have to trust, and no others."""
        return _pem(self.root)

    @property
    def intermediate_pem(self) -> str:
        """The certificate of what signs."""
        return _pem(self.intermediate)

    @property
    def trusted_pem(self) -> str:
        """Root and intermediates, to verify a node that sends its own certificate only."""
        signers = (self.intermediate, *(signer.certificate for signer in self.retired))
        return "".join(map(_pem, (self.root, *signers)))

    def issue_node(
        self, public_key: PublicKey, node_id: str, *, now: datetime, serial: int
    ) -> IssuedCertificate:
        """Certify that *public_key* is that of *node_id*; ValueError if that is too long.

        AuthorityNotValid if the intermediate is not valid at *now*; no certificate outlives it.
        """
        issuer = self._issuer(now)
        return self._issue(profiles.node(public_key, node_id, issuer, now=now, serial=serial))

    def issue_server(
        self,
        public_key: PublicKey,
        dns_names: Sequence[str],
        ip_addresses: Sequence[str],
        *,
        now: datetime,
        serial: int,
        is_peer: bool = False,
    ) -> IssuedCertificate:
        """Certify that *public_key* is that of the server under these names and addresses.

        *is_peer* if it connects to others of its kind too. AuthorityNotValid as for `issue_node`.
        """
        issuer = self._issuer(now)
        builder = profiles.server(
            public_key, dns_names, ip_addresses, issuer, now=now, serial=serial, is_peer=is_peer
        )
        return self._issue(builder)

    def issue_broker_client(
        self, public_key: PublicKey, name: str, *, now: datetime, serial: int
    ) -> IssuedCertificate:
        """Certify that *public_key* is that of a server, which a broker is to know as *name*.

        AuthorityNotValid as for `issue_node`.
        """
        issuer = self._issuer(now)
        return self._issue(profiles.broker_client(public_key, name, issuer, now=now, serial=serial))

    def sign(self, data: bytes) -> bytes:
        """The intermediate's signature of *data* with SHA-256: ECDSA, or RSA (PKCS#1 v1.5)."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def revocation_lists(
        self, revoked: Iterable[Revoked], *, number: int, issued: datetime, now: datetime
    ) -> list[x509.CertificateRevocationList]:
        """Revocation lists, valid for LIFETIME from *now*; one of each intermediate.

        First that of the one which issues, then of those retired that are still valid: a verifier
        needs the list of its issuer. All name all, as no serial number is given out twice.
        AuthorityNotValid as for `issue_node`.
        """
        self._issuer(now)
        entries = list(revoked)
        return [
            revocation_list(
                signer.certificate,
                signer.key,
                entries,
                number=number,
                issued=issued,
                ends=min(now + LIFETIME, signer.certificate.not_valid_after_utc),
            )
            for signer in (Signer(self.intermediate, self.key), *self.retired)
            if now < signer.certificate.not_valid_after_utc
        ]

    def _issuer(self, now: datetime) -> Issuer:
        begins, ends = self.intermediate.not_valid_before_utc, self.intermediate.not_valid_after_utc
        if not begins <= now < ends:
            raise AuthorityNotValid(begins, ends)
        return Issuer.of(self.intermediate)

    def _issue(self, builder: x509.CertificateBuilder) -> IssuedCertificate:
        return IssuedCertificate(builder.sign(self.key, hashes.SHA256()), self.intermediate)


def new_signer(
    root: x509.Certificate, root_key: SigningKey, label: str, *, now: datetime, serial: int
) -> Signer:
    """A new intermediate under *root*; AuthorityNotValid if that is not valid at *now*."""
    begins, ends = root.not_valid_before_utc, root.not_valid_after_utc
    if not begins <= now < ends:
        raise AuthorityNotValid(begins, ends)
    key = new_private_key()
    builder = profiles.intermediate(
        key.public_key(), label, Issuer.of(root), now=now, serial=serial
    )
    return Signer(builder.sign(root_key, hashes.SHA256()), key)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
