"""The command line with a kind that is registered and nothing else."""

import sys
from pathlib import Path

import yaml

from cloud.core.mask import MASK
from tests.kinds.conftest import CODE, KindShell, site


def test_the_command_line_takes_its_manifests(kind_shell: KindShell) -> None:
    run, manifest = kind_shell.run, {"kind": "Site", **site("quay", doorCode=CODE)}
    file = kind_shell.file("site.yaml", yaml.safe_dump({**manifest, "labels": {"area": "b"}}))
    assert run("apply", "-f", file, "--dry-run").split()[:2] == ["created", "site/quay"]
    assert run("apply", "-f", file).split() == ["created", "site/quay"]
    assert run("apply", "-f", file).split() == ["unchanged", "site/quay"]
    table = run("get", "si", "-l", "area=b").splitlines()
    assert table[0].split() == ["NAME", "ADDRESS", "UPDATED", "DESCRIPTION"]
    assert table[1].split()[:4] == ["quay", "1", "quay", "road"]
    assert f"doorCode: '{MASK}'" in run("describe", "site", "quay").replace('"', "'")
    assert run("label", "site", "quay", "floor=2").split() == ["changed", "site/quay"]

    edit = "import pathlib, sys\np = pathlib.Path(sys.argv[1])\n"
    edit += "p.write_text(p.read_text().replace('quay road', 'pier'))\n"
    kind_shell.env["EDITOR"] = f"{sys.executable} {kind_shell.file('edit.py', edit)}"
    assert run("edit", "site/quay").split() == ["changed", "site/quay"]
    assert "1 pier" in run("get", "sites", "quay")
    assert "update" in run("history", "site/quay")
    assert "quay" in run("undo", "site/quay")

    exported = kind_shell.file("all.yaml", run("export", "sites", "-l", "area=b"))
    (document,) = yaml.safe_load_all(Path(exported).read_text())
    assert document == {
        "kind": "Site",
        "name": "quay",
        "address": "1 quay road",
        "doorCode": MASK,
        "labels": {"area": "b", "floor": "2"},
    }
    assert run("apply", "-f", exported).split() == ["unchanged", "site/quay"]
    assert run("delete", "-f", exported).split() == ["deleted", "site/quay"]
    assert "address: missing" in run(
        "apply", "-f", kind_shell.file("wrong.yaml", "kind: Site\nname: x\n"), code=1
    )
