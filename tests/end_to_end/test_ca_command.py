"""`edgesync ca` as people run it, beside a server and its nodes."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from certs.files import load_or_create_authority
from certs.profiles import INTERMEDIATE_LIFETIME
from edgesync.__main__ import main
from tests.end_to_end.conftest import activate, make_batch, running_server
from tests.end_to_end.mosquitto import lets_in

PASSPHRASE = "EDGESYNC_CA_PASSPHRASE"


def run(*arguments: str | Path, fails: bool = False, **variables: str) -> str:
    done = CliRunner().invoke(main, ["ca", *map(str, arguments)], env=variables)
    assert (done.exit_code != 0) is fails, done.output
    return done.output


def shown(data: Path) -> dict[str, Any]:
    found = json.loads(run("show", "--json", "--data-dir", data))
    return {one["role"]: one for one in found}


def test_nodes_stay_through_a_rotation_and_new_ones_come(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server, server.client() as api:
        batch = make_batch(api)
        old = activate(server, batch, "old")
        before = shown(data)
        assert set(before) == {"root", "intermediate", "server"}
        assert "signs from the next start" in run("rotate", "--data-dir", data)
        assert lets_in(server.mqtt_port, old)
        between = activate(server, batch, "between")
    with running_server(data) as server:
        new = activate(server, batch, "new")
        for identity in (old, between, new):
            assert lets_in(server.mqtt_port, identity), identity.name
        with server.devices() as client:
            lists = client.get("/crl.pem").text
        export = ("export", "crl", "--data-dir", data, "--activation-url")
        assert run(*export, server.activation) == lists
        assert "Error" in run(*export, server.mqtt.replace("mqtts", "https"), fails=True)
        assert lists.count("BEGIN X509 CRL") == 2
    after = shown(data)
    assert after["root"] == before["root"]
    assert after["retired"]["sha256"] == before["intermediate"]["sha256"]
    assert after["server"]["serial"] != before["server"]["serial"]
    issued = x509.load_pem_x509_certificate(new.cert.read_bytes())
    assert issued.issuer.rfc4514_string() == after["intermediate"]["subject"]
    run("drop", before["intermediate"]["serial"], "--data-dir", data)
    with running_server(data) as server:
        assert not lets_in(server.mqtt_port, old)
        assert lets_in(server.mqtt_port, new)


def test_a_server_with_encrypted_keys_starts_with_the_passphrase_alone(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "passphrase"
    file.write_text("a passphrase\n")
    file.chmod(0o600)
    with running_server(data, "--ca-passphrase-file", str(file)) as server, server.client() as api:
        identity = activate(server, make_batch(api), "n1")
        assert lets_in(server.mqtt_port, identity)
        assert server.stop() == 0
    assert {row["key"] for role, row in shown(data).items() if role != "server"} == {"encrypted"}
    command = ["serve", "--data-dir", str(data)]
    for variables, reason in (({}, "no passphrase is given"), ({PASSPHRASE: "x"}, "cannot be")):
        done = CliRunner().invoke(main, command, env=variables)
        assert done.exit_code == 1
        assert reason in done.output
    with running_server(data, **{PASSPHRASE: "a passphrase"}) as server:
        assert lets_in(server.mqtt_port, identity)


def test_an_operators_own_authority_is_imported_and_served(tmp_path: Path) -> None:
    (tmp_path / "extensions").write_text(
        "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    for command in (
        "req -x509 -newkey rsa:3072 -nodes -keyout root.key -out root.pem -subj /CN=Works -days 9"
        " -addext keyUsage=critical,keyCertSign,cRLSign",
        "req -newkey rsa:2048 -nodes -keyout int.key -out int.csr -subj /CN=Edge",
        "x509 -req -in int.csr -CA root.pem -CAkey root.key -days 8 -out int.pem"
        " -extfile extensions",
    ):
        subprocess.run(
            ["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
    data = tmp_path / "data"
    given: list[str | Path] = ["import", "--data-dir", data, "--certificate", tmp_path / "int.pem"]
    given += ["--key", tmp_path / "int.key"]
    assert "give the root too" in run(*given, fails=True)
    assert "Edge" in run(*given, "--root", tmp_path / "root.pem")
    assert run("export", "root", "--data-dir", data) == (tmp_path / "root.pem").read_text()
    trusted = run("export", "trusted", "--data-dir", data).encode()
    names = [one.subject.rfc4514_string() for one in x509.load_pem_x509_certificates(trusted)]
    assert names == ["CN=Works", "CN=Edge"]
    with running_server(data) as server, server.client() as api:
        identity = activate(server, make_batch(api), "n1")
        assert lets_in(server.mqtt_port, identity)
    assert shown(data)["root"]["key"] == "away"


def test_a_server_warns_while_its_authority_ends_and_a_rotation_helps_after(
    tmp_path: Path,
) -> None:
    data, now = tmp_path / "data", datetime.now(UTC)
    load_or_create_authority(data / "ca", now=now - INTERMEDIATE_LIFETIME + timedelta(days=20))
    with running_server(data) as server, server.client() as api:
        identity = activate(server, make_batch(api), "n1")
        assert "the intermediate of the authority ends at" in server.log()
        assert "the root of the authority ends at" not in server.log()
    days = shown(data)["intermediate"]["days_left"]
    assert days in {19, 20}
    issued = x509.load_pem_x509_certificate(identity.cert.read_bytes())
    assert issued.not_valid_after_utc - now < timedelta(days=21), "worth nothing without its issuer"

    ended = tmp_path / "ended"
    load_or_create_authority(ended / "ca", now=now - INTERMEDIATE_LIFETIME - timedelta(days=20))
    done = CliRunner().invoke(main, ["serve", "--data-dir", str(ended)])
    assert done.exit_code == 1
    assert "the authority is valid from" in done.output
    run("rotate", "--data-dir", ended)
    with running_server(ended) as server, server.client() as api:
        assert lets_in(server.mqtt_port, activate(server, make_batch(api), "n1"))
        with server.devices() as client:
            assert client.get("/crl.pem").text.count("BEGIN X509 CRL") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("rotate",),
        ("request",),
        ("drop", "ab"),
        ("drop", "no number"),
        ("encrypt", "--plain"),
        ("encrypt",),
        ("export", "trusted"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_a_message_and_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    name, *rest = arguments
    output = run(name, "--data-dir", tmp_path, *rest, fails=True)
    assert "Error" in output
    assert "Traceback" not in output
