"""Channels of notifications: handlers, and rows of the route table.

The secret of a webhook is shown once, by the answer to its creation.
"""

from collections.abc import Sequence

import msgspec

from cloud.answers.channels import (
    ChannelAnswer,
    ChannelState,
    ChannelSummary,
    ChannelTestAnswer,
    SentMessage,
)
from cloud.core.channel import NotificationChannel
from cloud.core.mask import MASK
from cloud.core.notification import Notification
from cloud.core.sending import Delivery
from cloud.core.times import time_text
from cloud.operations import channels
from cloud.operations.kinds import CHANNELS
from cloud.rest.answers import time_or_none
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import Described
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_MESSAGE = msgspec.json.Decoder(Notification)


async def try_channel(context: RequestContext) -> ChannelTestAnswer:
    """`POST /v1/channels/{name}/test`: sends one message, and waits for what comes of it."""
    name = context.path("name")
    with context.api.channel_tests.place(caller_of(context.request).actor):

        def begin(tx: Transaction) -> tuple[NotificationChannel, Delivery]:
            own_id = context.api.new_id()
            return channels.begin_test(tx, context.namespace, name, now=context.now, new_id=own_id)

        channel, delivery = await context.store.write(begin)
        attempt = await context.api.try_channel(channel, delivery)
    return ChannelTestAnswer(not attempt.error, attempt.error or attempt.answer)


async def retry_channel(context: RequestContext) -> ResourceResponse[ChannelAnswer]:
    """`POST /v1/channels/{name}/retry`: what was given up is tried again."""
    name, precondition = context.path("name"), context.precondition()

    def retry(tx: Transaction) -> ResourceResponse[ChannelAnswer]:
        precondition.check(lambda: channels.existing_channel(tx, context.namespace, name))
        channel = channels.retry_channel(tx, context.namespace, name, now=context.now)
        return _respond(context, tx, channel)

    shown = await context.store.write(retry)
    context.api.wake_channels()
    return shown


def _respond(
    _: RequestContext, tx: Transaction, channel: NotificationChannel
) -> ResourceResponse[ChannelAnswer]:
    return ResourceResponse(_answer(tx, channel), channel, is_whole=False)


def _created(
    _: RequestContext, tx: Transaction, channel: NotificationChannel
) -> ResourceResponse[ChannelAnswer]:
    """The only answer with the secret."""
    answer = _answer(tx, channel)
    answer.secret = channel.spec.secret
    return ResourceResponse(answer, channel, is_whole=False, is_secret=True)


def _answer(tx: Transaction, channel: NotificationChannel) -> ChannelAnswer:
    spec = channel.spec
    shown = _summary_of(channels.SeenChannel(channel, channels.channel_status(tx, channel)))
    return ChannelAnswer(
        **msgspec.structs.asdict(shown),
        url=MASK if spec.url else "",
        secret=MASK if spec.secret else "",
        smtp_host=spec.smtp_host,
        smtp_port=spec.smtp_port,
        smtp_security=spec.smtp_security,
        username=spec.username,
        password=MASK if spec.password else "",
        sender=spec.sender,
        to=spec.to,
        deliveries=[_sent(one) for one in channels.channel_deliveries(tx, channel)],
    )


def _summary(_: RequestContext, seen: channels.SeenChannel) -> ChannelSummary:
    return _summary_of(seen)


def _summary_of(seen: channels.SeenChannel) -> ChannelSummary:
    channel, status = seen.channel, seen.status
    return ChannelSummary(
        name=channel.name,
        namespace=channel.namespace,
        type=channel.spec.type,
        target=channel.spec.target,
        description=channel.spec.description,
        state=ChannelState(
            status.pending, status.given_up, time_or_none(status.last_sent), status.last_error
        ),
        version=channel.version,
        create_time=time_text(channel.created),
        update_time=time_text(channel.updated),
    )


def _sent(delivery: Delivery) -> SentMessage:
    message = _MESSAGE.decode(delivery.content)
    return SentMessage(
        id=delivery.id,
        title=message.title,
        rule=message.rule,
        state=delivery.state,
        create_time=time_text(delivery.created),
        sent_time=time_or_none(delivery.sent),
        next_time=time_or_none(delivery.due),
        attempts=delivery.attempts,
        answer=delivery.answer,
        error=delivery.error,
    )


CHANNEL_ROUTES: Sequence[ApiRoute] = (
    *crud_routes(
        Crud(CHANNELS, _summary, ChannelSummary, _respond, ChannelAnswer, created=_created)
    ),
    ApiRoute(
        "POST",
        "/v1/channels/{name}/test",
        try_channel,
        Described("Send a test message by a channel", ChannelTestAnswer),
    ),
    ApiRoute(
        "POST",
        "/v1/channels/{name}/retry",
        retry_channel,
        Described("Retry the failed messages of a channel", ChannelAnswer),
    ),
)
