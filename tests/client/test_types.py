"""What type checkers know of both clients; `scripts/check` runs mypy on this module."""

import inspect
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, assert_type

from cloud.answers.apps import AppAnswer
from cloud.answers.common import AppSummary
from cloud.answers.nodes import NodeAnswer
from cloud.answers.overview import RolloutAnswer
from cloud.answers.plans import PlanAnswer
from edgesync.client import AsyncClient, Client

if TYPE_CHECKING:

    def types_of_waiting(client: Client) -> None:
        assert_type(client.apps.get("web"), AppAnswer)
        assert_type(client.apps.find("web"), AppAnswer | None)
        assert_type(client.apps.list(selector="a=b"), Iterator[AppSummary])
        assert_type(client.apps.wait("web"), RolloutAnswer)
        assert_type(client.apps.dry_run.delete("web"), PlanAnswer)
        assert_type(client.nodes.get("n1"), NodeAnswer)
        client.apps.put("web", NodeAnswer)  # type: ignore[arg-type]
        client.apps.get("web", selector="")  # type: ignore[call-arg]

    async def types_of_asyncio(client: AsyncClient) -> None:
        assert_type(await client.apps.get("web"), AppAnswer)
        assert_type(client.apps.list(), AsyncGenerator[AppSummary])
        assert_type(await client.apps.dry_run.delete("web"), PlanAnswer)


def test_methods_have_their_signature_and_docstring() -> None:
    with Client() as client:
        assert "until all its nodes run it" in (inspect.getdoc(client.apps.wait) or "")
        assert list(inspect.signature(client.apps.wait).parameters) == ["name", "timeout", "every"]
