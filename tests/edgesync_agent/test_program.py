"""The agent as machines get it: one file, old Pythons, nothing to install."""

import ast
import io
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import edgesync_agent
from cloud.link.installer import agent_program
from edgesync_agent import agent_process
from tests.edgesync_agent.oldest import NEEDS_PYTHON_3_8, PYTHON_3_8

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


def checked_for_3_8(*sources: Path) -> "subprocess.CompletedProcess[str]":
    """The output of vermin for sources; its status is 1 where Python 3.8 is too old for them."""
    command = [str(Path(sys.executable).with_name("vermin")), "--violations", "--no-tips"]
    command += ["--target=3.8-", *map(str, sources)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_no_module_uses_what_python_3_8_has_not(tmp_path: Path) -> None:
    done = checked_for_3_8(*SOURCES)
    assert done.returncode == 0, done.stdout + done.stderr
    bad = tmp_path / "bad.py"
    bad.write_text("def f(x: str) -> str:\n    return 'edgesync'.removeprefix(x)\n")
    done = checked_for_3_8(bad)
    assert (done.returncode, "str.removeprefix" in done.stdout) == (1, True)


def test_annotations_are_not_evaluated() -> None:
    """So they may name what Python 3.8 cannot evaluate."""
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        future = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "__future__" in future or source.name == "__init__.py", source.name


@NEEDS_PYTHON_3_8
def test_python_3_8_imports_every_module(tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    file.write_bytes(agent_program())
    names = [source.stem for source in SOURCES if source.stem not in {"__init__", "__main__"}]
    script = "import importlib, sys; sys.path.insert(0, sys.argv[1])\n"
    script += "for name in sys.argv[2:]: importlib.import_module('edgesync_agent.' + name)"
    command = [PYTHON_3_8, "-W", "error", "-I", "-S", "-c", script, str(file), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_program_holds_every_module_and_is_always_the_same() -> None:
    program = agent_program()
    assert program == agent_program()
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        names = set(archive.namelist())
    assert names == {"__main__.py", *(f"edgesync_agent/{source.name}" for source in SOURCES)}


def test_commands_for_the_process_import_no_engine_and_no_apps() -> None:
    """`stop` and `wait` compile what they import each time, on machines that may be slow."""
    script = "import sys, edgesync_agent.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    own = {name for name in done.stdout.split() if name.startswith("edgesync_agent.")}
    modules = ("__main__", "agent_process", "errors", "files")
    assert own - {"edgesync_agent.__main__"} <= {f"edgesync_agent.{name}" for name in modules}
    assert "edgesync_agent.agent_process" in own


def test_the_program_runs_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    file.write_bytes(agent_program())

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", "-S", str(file), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)

    help_text = run("--help").stdout
    assert "containers of Docker or Podman" in help_text
    assert "renews its certificate" in help_text.replace("\n", " ")
    for command in ("run", "activate"):
        refused = run(command, "--home", str(tmp_path))
        assert refused.returncode == 1
        assert refused.stderr.startswith("edgesync: ")
        assert "Traceback" not in refused.stderr


COMPILED = """
import contextlib, runpy, sys
def hook(event, arguments):
    if event == "compile":
        print(arguments[1])
sys.addaudithook(hook)
sys.argv = [sys.argv[1], "run", "--home", "none"]
with contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_each_module_of_the_program_is_compiled_once(tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    file.write_bytes(agent_program())
    command = [sys.executable, "-c", COMPILED, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    lines = done.stdout.splitlines()
    names = [line.removeprefix(f"{file}/") for line in lines if line.startswith(str(file))]
    assert "edgesync_agent/agent.py" in names
    twice = {name for name in names if names.count(name) > 1}
    before = {"__main__.py", "edgesync_agent/__init__.py", "edgesync_agent/zip_imports.py"}
    assert twice <= before


def test_waiting_for_the_report_ends_once_the_node_is_written(tmp_path: Path) -> None:
    (tmp_path / "reported").touch()  # as between its creation and what is written to it
    with ThreadPoolExecutor(1) as threads:
        waited = threads.submit(agent_process.wait, tmp_path)
        (tmp_path / "reported").write_text("default.n1")
        assert waited.result(agent_process.PATIENCE) == "default.n1"
