"""Configs: the handlers of their own, and rows of the route table."""

from collections.abc import Sequence

import msgspec

from cloud.answers.configs import ConfigAnswer, ConfigSummary
from cloud.core.config import Config, ConfigSpec, KeyValue, masked_config_spec
from cloud.core.times import time_text
from cloud.errors import Invalid
from cloud.operations.kinds import CONFIGS
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


def _summary(_: RequestContext, config: Config) -> ConfigSummary:
    return ConfigSummary(
        name=config.name,
        namespace=config.namespace,
        labels=config.spec.labels,
        description=config.spec.description,
        version=config.version,
        create_time=time_text(config.created),
        update_time=time_text(config.updated),
    )


def _respond(
    context: RequestContext, _: Transaction, config: Config
) -> ResourceResponse[ConfigAnswer]:
    shown = msgspec.structs.asdict(_summary(context, config))
    return ResourceResponse(
        ConfigAnswer(**shown, data=masked_config_spec(config.spec).data), config
    )


def _check_can_sign(context: RequestContext, spec: ConfigSpec) -> None:
    """Invalid where the config names objects whose URLs this server cannot sign."""
    for index, item in enumerate(spec.data):
        if not context.api.can_sign and not isinstance(item.value, KeyValue) and item.value.ak:
            raise Invalid(
                f"data[{index}].value.ak",
                "this server cannot sign URLs of objects; it needs edgesync[objects]",
            )


CONFIG_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(CONFIGS, _summary, ConfigSummary, _respond, ConfigAnswer, check=_check_can_sign)
)
