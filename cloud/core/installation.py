"""Installation commands: the token for one activation, and the command that contains it."""

import base64
import hashlib
import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LIFETIME = timedelta(hours=1)
"""How long a token can be used."""

LIVE_LIMIT = 10
"""Tokens of one node or batch at the same time; a further one replaces the oldest."""

INSTALLER_PATH = "/v1/init/install.sh"
AGENT_PATH = "/v1/init/agent.pyz"


class TargetKind(StrEnum):
    """The target of a token."""

    NODE = "node"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class InstallToken:
    """Lets one machine become the node *name*, or a device of the batch *name*, once.

    Only the token's *digest* is stored.
    """

    digest: str
    namespace: str
    kind: TargetKind
    name: str
    created: datetime
    expires: datetime

    def is_valid(self, now: datetime) -> bool:
        """Return whether it can still be used."""
        return now < self.expires


def digest_of(token: str) -> str:
    """The stored form of *token*: its SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def install_command(base_url: str, root_pem: str, token: str) -> str:
    """One line for a POSIX shell that fetches the installer from *base_url* and runs it.

    It trusts *root_pem*, which it carries, and nothing else: no other authority of the machine
    (`--capath`), and no setting of the user's (`-q`). What is written behind it is handed to the
    installer.
    """
    root = base64.b64encode(root_pem.encode()).decode()
    script = (
        'set -eu; umask 077; d=$(mktemp -d); trap "rm -rf \\"$d\\"" EXIT; '
        'python3 -c "import base64,sys;sys.stdout.buffer.write(base64.b64decode(sys.argv[1]))"'
        f' {root} > "$d/ca.pem"; '
        'curl -q -fsS --proto "=https" --cacert "$d/ca.pem" --capath "$d"'
        f' -o "$d/install.sh" "{base_url}{INSTALLER_PATH}?token={token}"; '
        'sh "$d/install.sh" "$d/ca.pem" "$@"'
    )
    return f"sh -c {shlex.quote(script)} edgesync"
