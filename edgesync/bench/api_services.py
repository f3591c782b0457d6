"""The API server of a benchmark: without nodes that are connected, and without limits."""

import itertools
import time
from datetime import UTC, datetime

from cloud.core.channel import NotificationChannel
from cloud.core.installation import digest_of
from cloud.core.sending import Delivery, DeliveryAttempt
from cloud.http.metrics import Metrics
from cloud.http.refusals import RefusalLog
from cloud.jobs.event_feed import EventFeed
from cloud.rest.authenticator import NO_LIMITS, Authenticator
from cloud.rest.continuation import Continuations
from cloud.rest.count_cache import CountCache
from cloud.rest.event_stream import EventStreams
from cloud.rest.services import Services
from cloud.rest.sessions import Sessions
from cloud.rest.sign_in.command_line import CommandLineSignIn
from cloud.rest.sign_in.local import LocalSignIn
from cloud.rest.sign_in.passwords import Passwords
from cloud.store.transaction import NotifyingStore

NAMESPACE = "default"
TOKEN = "the token of the benchmark"  # noqa: S105


def services_of(store: NotifyingStore, feed: EventFeed) -> Services:
    """An API server without nodes that are connected and without limits."""

    def clock() -> datetime:
        return datetime.now(UTC)

    digest, numbers = digest_of(TOKEN), itertools.count()
    refusals = RefusalLog(store, time.monotonic)
    return Services(
        store=store,
        clock=clock,
        new_id=lambda: f"id{next(numbers)}",
        new_token=lambda: "",
        version="",
        default_namespace=NAMESPACE,
        authenticator=Authenticator(digest, store, clock, NO_LIMITS, refusals, store.revision),
        sessions=Sessions(bytes(32)),
        local_sign_in=LocalSignIn(
            store,
            Passwords(),
            refusals,
            clock=clock,
            timer=time.monotonic,
            new_id=lambda: f"id{next(numbers)}",
        ),
        command_line=CommandLineSignIn(
            store, bytes(32), clock=clock, timer=time.monotonic, new_id=lambda: f"id{next(numbers)}"
        ),
        continuations=Continuations(bytes(32)),
        counts=CountCache(clock),
        streams=EventStreams(feed),
        metrics=Metrics(),
        refusals=refusals,
        on_revoked=lambda _node: None,
        is_connected=lambda _node: None,
        wake_callbacks=lambda: None,
        try_channel=_refused,
        install_command=lambda token: token,
        function_runtimes={},
        checks={},
    )


async def _refused(_channel: NotificationChannel, delivery: Delivery) -> DeliveryAttempt:
    return DeliveryAttempt(delivery, "no message is sent here")
