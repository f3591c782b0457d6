"""Handlers: what nodes were told to run, and what came of it."""

from cloud.core.delta import listed
from cloud.core.deploys import Deploy
from cloud.core.times import time_text
from cloud.operations import deploys
from cloud.rest.call import Call
from cloud.rest.views import View


async def list_deploys(call: Call) -> View:
    """`GET /v1/nodes/{name}/deploys`: the newest first."""
    name = call.path("name")
    found = await call.store.read(
        lambda tx: deploys.deploys_of_node(tx, call.namespace, name, now=call.now)
    )
    return {"total": len(found), "items": [_deploy_view(deploy) for deploy in found]}


def _deploy_view(deploy: Deploy) -> View:
    return {
        "number": deploy.number,
        "apps": listed(deploy.apps),
        "sysapps": listed(deploy.sysapps),
        "outcome": deploy.outcome,
        "cause": deploy.cause,
        "wantedTime": time_text(deploy.wanted),
        "toldTime": time_text(deploy.told),
        "acknowledgedTime": time_text(deploy.acknowledged) if deploy.acknowledged else None,
        "endTime": time_text(deploy.ended) if deploy.ended else None,
    }
