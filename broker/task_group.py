"""The task group of a hub that is opened around a block."""

import asyncio
from types import TracebackType


class BlockTaskGroup(asyncio.TaskGroup):
    """A task group that lets an error of the block itself through as it is.

    Its tasks have ended by then, so nothing is left for the group to cancel.
    """

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error_type is not None and not issubclass(error_type, asyncio.CancelledError):
            error_type = error = trace = None
        await super().__aexit__(error_type, error, trace)
