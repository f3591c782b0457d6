"""Sites: answers, and rows of the route table."""

import msgspec

from cloud.answers.common import Answer
from cloud.core.mask import MASK
from cloud.core.times import time_text
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.store.transaction import Transaction
from tests.kinds.site.core import Site
from tests.kinds.site.operations import SITES


class SiteSummary(Answer):
    """A site in a list."""

    name: str
    namespace: str
    address: str
    labels: dict[str, str]
    description: str
    version: str
    create_time: str
    update_time: str


class SiteAnswer(SiteSummary):
    """A site; its door code is masked."""

    door_code: str


def _summary(_: RequestContext, site: Site) -> SiteSummary:
    return SiteSummary(
        name=site.name,
        namespace=site.namespace,
        address=site.spec.address,
        labels=site.spec.labels,
        description=site.spec.description,
        version=site.version,
        create_time=time_text(site.created),
        update_time=time_text(site.updated),
    )


def _respond(context: RequestContext, _: Transaction, site: Site) -> ResourceResponse[SiteAnswer]:
    shown = msgspec.structs.asdict(_summary(context, site))
    code = MASK if site.spec.door_code else ""
    return ResourceResponse(SiteAnswer(**shown, door_code=code), site)


SITE_ROUTES = crud_routes(Crud(SITES, _summary, SiteSummary, _respond, SiteAnswer))
