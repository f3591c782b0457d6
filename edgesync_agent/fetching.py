"""Brings versions of apps to this machine, one at a time, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from typing import Callable, Mapping, Sequence

from edgesync_agent.fields import SpecError
from edgesync_agent.objects import ObjectFailure
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import FailureReason, Runtime, RuntimeFailure
from edgesync_agent.situation import Failure, FetchState
from edgesync_agent.spec import AppDefinition
from edgesync_agent.volumes import Volumes

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds between attempts, doubled each time

RetainedApps = Callable[[], Sequence[AppDefinition]]
"""Versions that may have to run again; what only others need is removed."""


class Fetcher:
    """Fetches versions on request and reports the progress of each; *done* is called after each."""

    def __init__(
        self,
        releases: Releases,
        volumes: Volumes,
        runtimes: Mapping[str, Runtime],
        note: Callable[[str], None],
        done: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.releases = releases
        self.volumes = volumes
        self.runtimes = runtimes  # those that are there, by mode
        self.note = note
        self.done = done
        self.clock = clock
        self.lock = threading.Lock()
        self.states: dict[tuple[str, str], FetchState] = {}
        self.failures: dict[tuple[str, str], int] = {}
        self.stale: set[tuple[str, str]] = set()  # versions whose bodies have to be asked for again
        self.waiting: queue.Queue[tuple[str, str] | RetainedApps | None] = queue.Queue()
        self.thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def begin(self, name: str, version: str) -> None:
        """Have a version fetched; `states_of` returns the progress."""
        with self.lock:
            before = self.states.get((name, version), FetchState())
            self.states[name, version] = FetchState(is_running=True, failure=before.failure)
        self.waiting.put((name, version))

    def prune(self, kept: RetainedApps) -> None:
        """Have removed what was fetched and *kept* does not name, once nothing is being fetched."""
        self.waiting.put(kept)

    def states_of(self, name: str) -> dict[str, FetchState]:
        """How far the versions of an app are."""
        with self.lock:
            return {key[1]: state for key, state in self.states.items() if key[0] == name}

    def forget(self, name: str) -> None:
        """Try again what failed, and look again at what is here."""
        with self.lock:
            for key in [key for key in self.states if key[0] == name]:
                if not self.states[key].is_running:
                    del self.states[key]
                    self.failures.pop(key, None)

    def take_stale(self) -> set[tuple[str, str]]:
        """Versions that have to be asked for again, each once."""
        with self.lock:
            found, self.stale = self.stale, set()
            return found

    def close(self) -> None:
        """End the thread; what is being fetched is not waited for."""
        self.waiting.put(None)

    def _run(self) -> None:
        while True:
            found = self.waiting.get()
            if found is None:
                return
            try:
                if isinstance(found, tuple):
                    self._finish(*found, self._fetch(*found))
                else:
                    self._prune(found())
            except Exception as error:  # noqa: BLE001  # the other apps have to be fetched
                self.note(f"cannot fetch or prune: {error!r}")
                if isinstance(found, tuple):
                    self._finish(*found, error)
            self.done()

    def _fetch(self, name: str, version: str) -> Exception | None:
        try:
            app = self.releases.app(name, version)
            self.releases.objects(app).fetch()
            self.volumes.prepare(app)
            runtime = self.runtimes.get(app.mode)
            if runtime is None:
                return RuntimeFailure(FailureReason.NO_RUNTIME, "nothing runs such apps here")
            runtime.fetch(app, self.volumes)
        except ObjectFailure as error:
            with self.lock:
                self.stale.add((name, version))
            return error
        except (RuntimeFailure, SpecError, OSError) as error:
            return error
        return None

    def _finish(self, name: str, version: str, error: Exception | None) -> None:
        key = name, version
        with self.lock:
            if error is None:
                self.failures.pop(key, None)
                self.states[key] = FetchState(is_here=True)
                return
            count = self.failures[key] = self.failures.get(key, 0) + 1
            reason = error.reason if isinstance(error, RuntimeFailure) else FailureReason.DISK
            if isinstance(error, SpecError):
                reason = FailureReason.REFUSED
            pause = min(FIRST_PAUSE * 2 ** min(count - 1, 10), LONGEST_PAUSE)
            failure = Failure(version, reason, str(error)[:500])
            self.states[key] = FetchState(failure=failure, not_before=self.clock() + pause)
        self.note(f"app {name} version {version} cannot be fetched: {error}")

    def _prune(self, kept: Sequence[AppDefinition]) -> None:
        for mode, runtime in list(self.runtimes.items()):
            runtime.prune([app for app in kept if app.mode == mode])
