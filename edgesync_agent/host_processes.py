"""A `Runtime` of processes of the host, for apps with `mode: native`.

Each instance has a directory: `instance.json` (what it is), `recipe.json` (how to start it),
`begun` (its last start), `exit` (written by its shim), `log` and `root`, where it runs. What runs
is asked of the kernel (`shims`), so an agent that was killed, replaced or restarted goes on with
the same processes, and an instance that ran when the machine went down counts as created.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from edgesync_agent.cgroups import Cgroups
from edgesync_agent.checks import check_http, check_tcp
from edgesync_agent.fields import SpecError
from edgesync_agent.files import replace_file, write_private
from edgesync_agent.kernel import boot_id
from edgesync_agent.process_log import ProcessLog
from edgesync_agent.programs import (
    Recipe,
    argv_of,
    check_service,
    directory_of,
    link_mounts,
    recipe_of,
)
from edgesync_agent.runtime import (
    CREATED,
    EXITED,
    INIT,
    RUNNING,
    AppFiles,
    Create,
    FailureReason,
    Instance,
    InstanceStep,
    InstanceUsage,
    RuntimeFailure,
    Slot,
    Start,
    Stop,
)
from edgesync_agent.shims import Launch, Shims
from edgesync_agent.spec import AppDefinition, ProbeDefinition

GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as engines have it
KILLED = 137  # exit code of what ended without one: 128 + SIGKILL, as a shell has it
LOCAL = "127.0.0.1"


class HostProcesses:
    """Runs instances below *root*; limits of CPU time need *cgroups*."""

    def __init__(self, root: Path, cgroups: Cgroups | None, grace: float = GRACE) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve()
        self.cgroups = cgroups
        self.grace = grace
        self.shims = Shims(self.root)
        self._boot = boot_id()
        self._logs: dict[Path, ProcessLog] = {}
        # CPU seconds of each instance at the last look, and when that was.
        self._used: dict[str, tuple[float, float]] = {}
        for folder in self.shims.folders():
            if not (folder / "instance.json").exists():
                self._end(folder)  # its removal was cut short

    def describe(self) -> str:
        """Nothing: the host is no container runtime."""
        return ""

    def observe(self) -> Sequence[Instance]:
        """Every instance; looks after the size of the logs, too."""
        found = []
        for path in sorted(self.root.glob("*/*/instance.json")):
            folder = path.parent
            made = _read(path)
            if made and not folder.name.startswith("."):  # it may be removed by now
                self._log(folder).tend(time.time())
                found.append(self._instance(folder, made))
        return found

    def missing(self, app: AppDefinition) -> Sequence[str]:
        """Nothing: a program is one of the app's files. RuntimeFailure for what cannot be had."""
        self._check(app)
        return []

    def fetch(self, app: AppDefinition, files: AppFiles) -> None:
        """Check that this machine can run *app*; there is nothing to bring."""
        self._check(app)

    def carry_out(self, step: InstanceStep, app: AppDefinition | None, files: AppFiles) -> None:
        """Create, start, stop or remove an instance; RuntimeFailure states why not."""
        try:
            if isinstance(step, Create):
                if app is not None:
                    self._create(step, app, files)
            elif isinstance(step, Start):
                self._start(self.root / step.instance.key)
            elif isinstance(step, Stop):
                self._end(self.root / step.instance.key)
            else:
                self._remove(self.root / step.instance.key)
        except OSError as error:
            raise RuntimeFailure(FailureReason.START, str(error)) from error

    def forget(self, app: str) -> None:
        """Remove what is left of an app."""
        for folder in list((self.root / app).glob("*")):
            self._remove(folder)
        shutil.rmtree(self.root / app, ignore_errors=True)

    def check(self, instance: Instance, probe: ProbeDefinition) -> str:
        """One check: of the host's own address, or by a program beside the instance."""
        if probe.kind == "tcpSocket":
            return check_tcp(probe.host or LOCAL, probe.port, probe.timeout)
        if probe.kind == "httpGet":
            return check_http(probe.host or LOCAL, probe.port, probe)
        folder = self.root / instance.key
        launch = self._launch(folder)
        try:
            done = subprocess.run(  # the output of the app
                list(probe.command),
                cwd=launch.directory,
                env=dict(launch.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=probe.timeout,
            )
        except subprocess.TimeoutExpired:
            return f"{probe.command[0]} did not end within {probe.timeout} s"
        except (OSError, IndexError) as error:
            return f"cannot be run: {error}"
        if done.returncode == 0:
            return ""
        last = done.stdout.decode(errors="replace").strip().rpartition("\n")[2][:200]
        return f"{probe.command[0]} ended with code {done.returncode}{last and ': '}{last}"

    def logs(
        self, instance: Instance, *, lines: int, since: float = 0.0, follow: float = 0.0
    ) -> Iterator[bytes]:
        """The end of the log, then what comes."""
        log = self._log(self.root / instance.key)
        end, place = log.tail(lines, since)
        yield end
        yield from log.follow(place, follow)

    def usage(self, instances: Sequence[Instance]) -> Mapping[str, InstanceUsage]:
        """Usage since the last look; the first look at an instance knows its memory alone."""
        now, found = time.monotonic(), {}
        used = self._usage_now()
        for instance in instances:
            if instance.key not in used or instance.state != RUNNING:
                continue
            seconds, memory = used[instance.key]
            before, at = self._used.get(instance.key, (seconds, now))
            cpu = max(seconds - before, 0.0) / (now - at) if now > at else 0.0
            found[instance.key] = InstanceUsage(cpu, memory)
        self._used = {key: (seconds, now) for key, (seconds, _) in used.items()}
        return found

    def prune(self, apps: Sequence[AppDefinition]) -> None:
        """Nothing: programs are files of their apps."""

    # one step

    def _check(self, app: AppDefinition) -> None:
        try:
            for service in (*app.init_services, *app.services):
                check_service(app, service, can_limit_cpu=self.cgroups is not None)
        except SpecError as error:
            raise RuntimeFailure(FailureReason.REFUSED, str(error)) from error

    def _create(self, step: Create, app: AppDefinition, files: AppFiles) -> None:
        self._check(app)
        slot = step.slot
        folder = self.root / key_of(slot)
        if (folder / "instance.json").exists():
            return
        services = app.init_services if slot.stage == INIT else app.services
        service = next(one for one in services if one.name == slot.service)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            (new / "root").mkdir()
            link_mounts(app, service, files, slot, new / "root")
            recipe = recipe_of(app, service, files, slot, folder / "root")
            write_private(new / "recipe.json", json.dumps(asdict(recipe)).encode())
            # The directory gets its name at the end: nothing is there by halves.
            made = {"slot": slot._asdict(), "version": step.version, "created": time.time()}
            write_private(new / "instance.json", json.dumps(made).encode())
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _start(self, folder: Path) -> None:
        if self.shims.is_running(folder):
            return
        if self.shims.members(folder):
            self._end(folder)  # its shim was killed, and not what it had started
        with contextlib.suppress(FileNotFoundError):
            (folder / "exit").unlink()
        launch = self._launch(folder)
        begun = {"boot": self._boot, "at": time.time()}
        replace_file(folder / "begun", json.dumps(begun).encode())
        self.shims.start(folder, launch, folder / "log", folder / "exit")

    def _end(self, folder: Path) -> None:
        self.shims.stop(folder, self.grace)
        if self.cgroups:
            self.cgroups.kill(_group_name(self._key(folder)))

    def _remove(self, folder: Path) -> None:
        if not folder.exists():
            return
        self._end(folder)
        if self.cgroups:
            self.cgroups.remove(_group_name(self._key(folder)))
        gone = folder.with_name(f".gone-{folder.name}")
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._logs.pop(folder, None)

    # what is there

    def _instance(self, folder: Path, made: dict[str, Any]) -> Instance:
        begun = _read(folder / "begun")
        state, code, finished = CREATED, 0, 0.0
        if self.shims.is_running(folder):
            state = RUNNING
        elif (begun and begun.get("boot") == self._boot) or (folder / "exit").exists():
            state, code, finished = EXITED, *_exit(folder / "exit")
        key = self._key(folder)
        is_starved = state == EXITED and code != 0 and self.cgroups is not None
        return Instance(
            key=key,
            slot=Slot(**made["slot"]),
            version=made["version"],
            state=state,
            created=made["created"],
            started=begun.get("at", 0.0) if state != CREATED else 0.0,
            finished=finished,
            exit_code=code,
            out_of_memory=bool(
                is_starved and self.cgroups and self.cgroups.has_run_out_of_memory(_group_name(key))
            ),
        )

    def _launch(self, folder: Path) -> Launch:
        recipe, root = Recipe(**_read(folder / "recipe.json")), folder / "root"
        group, memory = "", recipe.memory
        if self.cgroups:
            name = _group_name(self._key(folder))
            group, memory = str(self.cgroups.create(name, recipe.cpu, memory)), 0
        argv, directory = argv_of(recipe, root), directory_of(recipe, root)
        return Launch(argv, recipe.environment, directory, memory, group)

    def _usage_now(self) -> dict[str, tuple[float, int]]:
        """Seconds of CPU time so far and bytes of memory, by key."""
        found = {}
        ticks = os.sysconf("SC_CLK_TCK")
        for folder, members in self.shims.sessions().items():
            key = self._key(folder)
            used = self.cgroups.usage(_group_name(key)) if self.cgroups else None
            seconds = sum(one.ticks for one in members) / ticks
            found[key] = used or (seconds, sum(one.memory for one in members))
        return found

    def _log(self, folder: Path) -> ProcessLog:
        return self._logs.setdefault(folder, ProcessLog(folder / "log"))

    def _key(self, folder: Path) -> str:
        return str(folder.relative_to(self.root))


def key_of(slot: Slot) -> str:
    """The directory of an instance below the root."""
    return f"{slot.app}/{slot.service}-{slot.replica}-{slot.stage}-{slot.digest}"


def _group_name(key: str) -> str:
    return re.sub("[^-._a-zA-Z0-9]", ".", key)


def _read(path: Path) -> dict[str, Any]:
    """The content of a file of the agent's own; empty where it is missing or cut short."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _exit(path: Path) -> tuple[int, float]:
    """Exit code, and when; a shim that left none was killed."""
    try:
        return int(path.read_text()), path.stat().st_mtime
    except (OSError, ValueError):
        return KILLED, time.time()
