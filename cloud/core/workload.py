"""How an app runs on its nodes: mode, kind of workload, and the deadlines of an update.

The names are those of Kubernetes and of present-day baetyl-cloud.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from cloud.core.probes import Number
from cloud.core.quantities import check_memory
from cloud.errors import Invalid

DEFAULT_PROGRESS_DEADLINE_SECONDS = 600
"""Kubernetes' default of `progressDeadlineSeconds`."""

_EMPTY_DIR_FIELDS = ("medium", "sizeLimit")
_MEDIA = ("", "Memory")


class AppMode(StrEnum):
    """The runtime of an app: containers (`kube`), or processes of the host (`native`)."""

    KUBE = "kube"
    NATIVE = "native"


class Workload(StrEnum):
    """Which kind of workload an app is."""

    DEPLOYMENT = "deployment"
    DAEMON_SET = "daemonset"
    STATEFUL_SET = "statefulset"
    JOB = "job"


class JobRestartPolicy(StrEnum):
    """When an instance of a job is started again."""

    NEVER = "Never"
    ON_FAILURE = "OnFailure"


class JobConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How often a job runs; what is left out has the node's default."""

    completions: Number | UnsetType = UNSET
    parallelism: Number | UnsetType = UNSET
    backoff_limit: Number | UnsetType = UNSET
    restart_policy: JobRestartPolicy = JobRestartPolicy.NEVER


class PullPolicy(StrEnum):
    """When a node fetches an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


def check_deadlines(min_ready: int | UnsetType, progress: int | UnsetType) -> None:
    """Refuse a deadline for progress that ends before an instance could count as available."""
    deadline = DEFAULT_PROGRESS_DEADLINE_SECONDS if isinstance(progress, UnsetType) else progress
    ready = 0 if isinstance(min_ready, UnsetType) else min_ready
    if deadline <= ready:
        reason = f"{deadline} is not more than minReadySeconds ({ready})"
        raise Invalid("progressDeadlineSeconds", reason)


def check_empty_dir(field: str, empty_dir: Mapping[str, str]) -> None:
    """Refuse what Kubernetes' `emptyDir` does not know."""
    for key in empty_dir:
        if key not in _EMPTY_DIR_FIELDS:
            raise Invalid(f"{field}.{key[:80]}", "unknown field")
    medium, limit = empty_dir.get("medium", ""), empty_dir.get("sizeLimit", "")
    if medium not in _MEDIA:
        raise Invalid(f"{field}.medium", f"{medium[:80]!r} is neither empty nor Memory")
    if limit:
        check_memory(f"{field}.sizeLimit", limit)
