"""The addresses of all pages of the dashboard."""

from collections.abc import Mapping

import httpx


def pages_of(
    api: httpx.Client, *, app: str, config: str, batch: str, node: str
) -> Mapping[str, str]:
    """Addresses by a word for each page, lists of all kinds among them."""
    kinds = [one for one in api.get("/v1/kinds").json()["items"] if not one["parent"]]
    return {
        "overview": "/",
        **{one["plural"]: f"/{one['plural']}" for one in kinds if not one["single"]},
        "node": f"/nodes/{node}",
        "app": f"/apps/{app}",
        "history": f"/apps/{app}?tab=history",
        "form": "/apps/+",
        "config": f"/configs/{config}",
        "editor": "/configs/+",
        "batch": f"/batches/{batch}",
        **{
            name: f"/{name}"
            for name in (
                *("certificates", "events", "audit", "tokens", "guard", "namespaces", "add"),
                "nothing",
            )
        },
    }
