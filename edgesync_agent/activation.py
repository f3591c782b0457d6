"""Become a node: a key of its own, a certificate for it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import urllib.error
from pathlib import Path
from typing import Any

from edgesync_agent.certificate import run_openssl
from edgesync_agent.clock import Clock
from edgesync_agent.encryption import EncryptionKeys
from edgesync_agent.errors import AgentError
from edgesync_agent.files import replace_folder, write_private
from edgesync_agent.https import post
from edgesync_agent.machine import fingerprint


def keep_key(folder: Path, before: Path, openssl: str | None) -> Path:
    """The P-256 key in *folder*: the one that is there, that of *before*, or a new one.

    A key is there as a whole or not at all, before it is used.
    """
    key, beside = folder / "key.pem", folder / "key.new"
    if key.exists():
        return key
    if before.exists():
        write_private(beside, before.read_bytes())
    elif openssl:
        make = [openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(beside)]
        run_openssl(make)
    else:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        private = ec.generate_private_key(ec.SECP256R1())
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        write_private(beside, private.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    beside.rename(key)
    return key


def signing_request(key: Path, openssl: str | None) -> str:
    """A request, PEM, to certify the *key*; the server decides the name."""
    if openssl:
        config = key.with_name("request.conf")
        config.write_text("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=edgesync node\n")
        ask = [openssl, "req", "-new", "-sha256", "-key", str(key), "-config", str(config)]
        try:
            return run_openssl(ask).decode()
        finally:
            config.unlink()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    private: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def openssl_command() -> str | None:
    """The command openssl; None where Python's package suffices; AgentError if neither is there."""
    found = shutil.which("openssl")
    if found is None and importlib.util.find_spec("cryptography") is None:
        raise AgentError(
            "needs the command openssl (apt-get install openssl), or Python's package cryptography"
        )
    return found


def activate(home: Path, ca: Path, settings: dict[str, Any], clock: Clock) -> str:
    """Become a node and keep key and certificate in *home*; the node's id.

    A retry in the same *home*, because the answer was lost or the machine is brought in
    anew, comes with the same key: the server gives a node to no other.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = home / "activating"
    folder.mkdir(mode=0o700, exist_ok=True)
    openssl = openssl_command()
    key = keep_key(folder, home / "identity" / "key.pem", openssl)
    claim: dict[str, Any] = {
        "installToken": settings["token"],
        "csr": signing_request(key, openssl),
    }
    keys = EncryptionKeys(home, folder, openssl, clock, lambda line: print(f"edgesync: {line}"))
    if (proof := keys.proof()) is not None:
        claim["encryptionKey"] = proof
    if settings["kind"] == "batch":
        claim["batchName"] = settings["name"]
        claim["fingerprintValue"] = fingerprint(settings["fingerprint"])
    answer = ask_to_activate(settings["activation"], ca, claim, clock)
    identity = {
        "nodeId": f"{answer['namespace']}.{answer['nodeName']}",
        "activation": settings["activation"],
        "mqttHost": settings["mqttHost"],
        "mqttPort": settings["mqttPort"],
    }
    write_private(folder / "cert.pem", answer["certificate"]["cert"].encode())
    write_private(folder / "ca.pem", ca.read_bytes())
    write_private(folder / "identity.json", json.dumps(identity).encode())
    replace_folder(folder, home / "identity")
    return str(identity["nodeId"])


def ask_to_activate(url: str, ca: Path, claim: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """The server's answer to *claim*; AgentError carries its reason."""
    try:
        return post(url + "/v1/active", ca, claim, clock)
    except urllib.error.HTTPError as error:
        shown = claim.get("fingerprintValue")
        of = f" This machine's fingerprint: {shown}." if shown else ""
        reason = f"the server does not activate this machine: {reason_of(error)}.{of}"
        raise AgentError(reason) from error
    except (OSError, ValueError) as error:
        raise AgentError(f"the server cannot be reached: {error}") from error


def reason_of(error: urllib.error.HTTPError) -> str:
    """The message of the server, with the id under which its log has details."""
    try:
        body = json.load(error)
        return f"{body['message'].rstrip('.')} (request id {body['request-id']})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(error)
