"""The transaction of `interface`, over anything that runs the statements of `sql`."""

from cloud.store.parts.batches import BatchPart
from cloud.store.parts.credentials import CredentialPart
from cloud.store.parts.reports import ReportPart
from cloud.store.parts.resources import ResourcePart


class SqlTransaction(ResourcePart, BatchPart, CredentialPart, ReportPart):
    """A `Transaction` between its begin and its end, which are the caller's business."""
