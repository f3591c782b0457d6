"""A write without effect, to find out whether writes succeed."""

from cloud.store.parts.part import NOTHING, TransactionPart
from cloud.store.statements import statement

WRITE_PROBE = statement(
    "UPDATE write_probe SET number = number + 1 WHERE id = 1", writes={"write_probe"}
)


class ProbePart(TransactionPart):
    """The row that is written to see whether anything can be."""

    def probe(self) -> None:
        """Change the row; whether that is on disk is known once the transaction is committed."""
        self._run(WRITE_PROBE, NOTHING)
