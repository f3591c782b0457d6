"""The agent as machines get it: one file, old Pythons, nothing to install."""

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import edgesync_agent
from cloud.link.installer import agent_program

SOURCES = sorted(Path(edgesync_agent.__file__).parent.glob("*.py"))
OPTIONAL = {"cryptography"}  # where there is no openssl


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_every_module_is_python_3_8_and_imports_nothing_that_is_to_be_installed() -> None:
    assert len(SOURCES) > 5
    for source in SOURCES:
        tree = ast.parse(source.read_text(), feature_version=(3, 8))
        foreign = imported(tree) - set(sys.stdlib_module_names) - {"edgesync_agent"} - OPTIONAL
        assert not foreign, source.name


def test_the_program_holds_every_module_and_is_always_the_same() -> None:
    program = agent_program()
    assert program == agent_program()
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        names = set(archive.namelist())
    assert names == {"__main__.py", *(f"edgesync_agent/{source.name}" for source in SOURCES)}


def test_the_program_runs_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    file.write_bytes(agent_program())

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", "-S", str(file), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    told = run("--help").stdout
    assert "containers of Docker or Podman" in told
    assert "renews its certificate" in told.replace("\n", " ")
    for command in ("run", "activate"):
        refused = run(command, "--home", str(tmp_path))
        assert refused.returncode == 1
        assert refused.stderr.startswith("edgesync: ")
        assert "Traceback" not in refused.stderr
