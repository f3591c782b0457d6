"""Open files of the processes of a benchmark: each connection takes one, on both sides."""

import resource

import click

SPARE_FILES = 500
"""Of a process, beside one for each connection."""


def most_files() -> int:
    """How many files a process that is started here may have open at most."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 2**31 - 1 if hard == resource.RLIM_INFINITY else hard


def allow_connections(count: int, what: str) -> None:
    """Raise the limit of open files for processes with *count* connections each.

    ClickException where the system does not allow as many; *what* has that many connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if wanted > most_files():
        raise click.ClickException(
            f"{what} needs {wanted} open files for {count} connections, and the hard limit is"
            f" {hard}: raise it (ulimit -Hn {wanted}, LimitNOFILE= of systemd), or spread the"
            " connections (--brokers)"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
