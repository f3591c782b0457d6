"""The transaction of `interface`, over anything that runs the statements of `sql`."""

from cloud.core.audit import Chain
from cloud.store.memory import Memory
from cloud.store.parts.audit import AuditPart
from cloud.store.parts.batches import BatchPart
from cloud.store.parts.callbacks import CallbackPart
from cloud.store.parts.commands import CommandPart
from cloud.store.parts.credentials import CredentialPart
from cloud.store.parts.deploys import DeployPart
from cloud.store.parts.events import EventPart
from cloud.store.parts.part import Run
from cloud.store.parts.plans import PlanPart
from cloud.store.parts.reports import ReportPart
from cloud.store.parts.resources import ResourcePart
from cloud.store.parts.revisions import RevisionPart
from cloud.store.parts.servers import ServerPart
from cloud.store.parts.usage import UsagePart
from cloud.store.sealing import Sealer


class SqlTransaction(
    ResourcePart,
    RevisionPart,
    BatchPart,
    CallbackPart,
    CredentialPart,
    ReportPart,
    AuditPart,
    DeployPart,
    ServerPart,
    EventPart,
    UsagePart,
    CommandPart,
    PlanPart,
):
    """A `Transaction` between its begin and its end, which are the caller's business."""

    def __init__(self, run: Run, sealer: Sealer, memory: Memory, chain: Chain) -> None:
        super().__init__(run, sealer, memory)
        self._chain = chain
