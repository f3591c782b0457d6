"""Deploys: the desired states sent to nodes, and their outcomes."""

from collections.abc import Sequence

from cloud.answers.deploys import DeployAnswer, DeploysAnswer
from cloud.core.deploys import Deploy
from cloud.core.times import time_text
from cloud.operations import deploys
from cloud.rest.answers import time_or_none
from cloud.rest.context import RequestContext
from cloud.rest.described import Described
from cloud.rest.route import ApiRoute


async def list_deploys(context: RequestContext) -> DeploysAnswer:
    """`GET /v1/nodes/{name}/deploys`: the newest first."""
    name = context.path("name")
    found = await context.store.read(
        lambda tx: deploys.deploys_of_node(tx, context.namespace, name, now=context.now)
    )
    return DeploysAnswer(len(found), [_answer(deploy) for deploy in found])


def _answer(deploy: Deploy) -> DeployAnswer:
    return DeployAnswer(
        number=deploy.number,
        apps=list(deploy.apps),
        sysapps=list(deploy.sysapps),
        outcome=deploy.outcome,
        cause=deploy.cause,
        wanted_time=time_text(deploy.wanted),
        told_time=time_text(deploy.sent),
        acknowledged_time=time_or_none(deploy.acknowledged),
        end_time=time_or_none(deploy.ended),
    )


DEPLOY_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/deploys",
        list_deploys,
        Described("Deploys of a node and their outcomes", DeploysAnswer),
        needs="read nodes",
    ),
)
