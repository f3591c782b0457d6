"""Become a node: a key of its own, a certificate for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from edgesync_agent.errors import Trouble
from edgesync_agent.files import replace_folder, write_private
from edgesync_agent.link import trusting
from edgesync_agent.machine import fingerprint


def make_key(folder: Path, openssl: str | None) -> str:
    """Write a P-256 key to *folder*, key.pem; a signing request for it, PEM."""
    key = folder / "key.pem"
    if openssl:
        config = folder / "request.conf"
        config.write_text("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=edgesync node\n")
        make = [openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)]
        ask = [openssl, "req", "-new", "-sha256", "-key", str(key), "-config", str(config)]
        try:
            subprocess.run(make, check=True, capture_output=True)
            request = subprocess.run(ask, check=True, capture_output=True).stdout.decode()
        except subprocess.CalledProcessError as error:
            raise Trouble(f"openssl failed: {error.stderr.decode(errors='replace')}") from error
        config.unlink()
        return request
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise Trouble(
            "needs the command openssl (apt-get install openssl), or Python's package cryptography"
        ) from None
    private = ec.generate_private_key(ec.SECP256R1())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_private(key, private.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(private, hashes.SHA256()).public_bytes(pem).decode()


def activate(home: Path, ca: Path, settings: dict[str, Any]) -> str:
    """Become a node and keep key and certificate in *home*; the node's id."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="identity-", dir=home))
    try:
        claim = {
            "installToken": settings["token"],
            "csr": make_key(folder, shutil.which("openssl")),
        }
        if settings["kind"] == "batch":
            claim["batchName"] = settings["name"]
            claim["fingerprintValue"] = fingerprint(settings["fingerprint"])
        answer = ask_to_activate(settings["activation"], ca, claim)
        identity = {
            "nodeId": f"{answer['namespace']}.{answer['nodeName']}",
            "mqttHost": settings["mqttHost"],
            "mqttPort": settings["mqttPort"],
        }
        write_private(folder / "cert.pem", answer["certificate"]["cert"].encode())
        write_private(folder / "ca.pem", ca.read_bytes())
        write_private(folder / "identity.json", json.dumps(identity).encode())
        replace_folder(folder, home / "identity")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return str(identity["nodeId"])


def ask_to_activate(url: str, ca: Path, claim: dict[str, Any]) -> dict[str, Any]:
    """The server's answer to *claim*; Trouble carries its reason."""
    request = urllib.request.Request(
        url + "/v1/active", json.dumps(claim).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60, context=trusting(ca)) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        try:
            reason = json.load(error)["message"]
        except (ValueError, KeyError, TypeError):
            reason = str(error)
        raise Trouble(f"the server does not activate this machine: {reason}") from error
    except (OSError, ValueError) as error:
        raise Trouble(f"the server cannot be reached: {error}") from error
