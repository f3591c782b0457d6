"""Rules of notifications: rows of the route table."""

from collections.abc import Sequence

import msgspec

from cloud.answers.notification_rules import NotificationRuleSummary
from cloud.core.notification_rule import NotificationRule
from cloud.core.times import time_text
from cloud.operations.kinds import NOTIFICATION_RULES
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


def _summary(_: RequestContext, rule: NotificationRule) -> NotificationRuleSummary:
    return NotificationRuleSummary(
        name=rule.name,
        namespace=rule.namespace,
        **msgspec.structs.asdict(rule.spec),
        version=rule.version,
        create_time=time_text(rule.created),
        update_time=time_text(rule.updated),
    )


def _respond(
    context: RequestContext, _: Transaction, rule: NotificationRule
) -> ResourceResponse[NotificationRuleSummary]:
    return ResourceResponse(_summary(context, rule), rule)


NOTIFICATION_RULE_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(NOTIFICATION_RULES, _summary, NotificationRuleSummary, _respond, NotificationRuleSummary)
)
