"""Channels and rules of notifications over HTTP: secrets, tests, what was sent."""

from dataclasses import replace
from datetime import timedelta

import msgspec

from cloud.core.channel import ChannelSpec, NotificationChannel
from cloud.core.mask import MASK
from cloud.core.notification import sample_notification
from cloud.core.notification_rule import NotificationRuleSpec
from cloud.core.sending import Delivery, Queue
from cloud.operations.channels import create_channel
from cloud.operations.notifications import create_rule
from cloud.store.transaction import Transaction
from tests.rest.conftest import ApiCaller, World

ONE = "/v1/channels/mail"
RULE = {"name": "fails", "channels": ["mail"], "events": ["node.failed", "channel.*"]}
MAIL = {
    "name": "mail",
    "type": "email",
    "smtpHost": "smtp.example.com",
    "username": "edgesync",
    "password": "open sesame",
    "from": "edgesync@example.com",
    "to": ["ops@example.com"],
}
HOOK = {"name": "hook", "type": "webhook", "url": "https://example.com/hidden"}


async def stored(world: World, name: str) -> NotificationChannel:
    found = await world.store.read(lambda tx: tx.resource(NotificationChannel, "default", name))
    assert found is not None
    return found


async def test_no_answer_shows_a_password_or_an_address_with_a_secret(world: World) -> None:
    made = await world.client.send("POST", "/v1/channels", HOOK)
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    assert made.headers["cache-control"] == "no-store"
    await world.client.call("POST", "/v1/channels", MAIL)
    shown = await world.client.call("GET", ONE)
    assert (shown["password"], shown["url"], shown["secret"]) == (MASK, "", "")
    assert shown["target"] == "ops@example.com by smtp.example.com:587"
    for path in ("/v1/channels", "/v1/channels/hook", ONE, f"{ONE}/revisions", "/v1/audit"):
        text = (await world.client.send("GET", path)).text
        for hidden in (secret, "open sesame", "example.com/hidden"):
            assert hidden not in text, path


async def test_what_is_masked_stays_as_it_is(world: World) -> None:
    await world.client.call("POST", "/v1/channels", MAIL)
    shown = await world.client.call("GET", ONE)
    await world.client.call("PUT", ONE, {**shown, "description": "night shift"})
    channel = await stored(world, "mail")
    assert (channel.spec.password, channel.spec.description) == ("open sesame", "night shift")
    await world.client.call("POST", "/v1/channels", HOOK)
    before = await stored(world, "hook")
    await world.client.call("PUT", "/v1/channels/hook", {"type": "webhook", "url": MASK})
    assert (await stored(world, "hook")).spec == before.spec
    await world.client.call("PATCH", ONE, {"password": "another"})
    assert (await stored(world, "mail")).spec.password == "another"


async def test_a_test_is_answered_with_the_answer_of_the_receiver(world: World) -> None:
    await world.client.call("POST", "/v1/channels", MAIL)
    assert await world.client.call("POST", f"{ONE}/test") == {
        "ok": True,
        "response": "answered 200",
    }
    await world.client.call("PATCH", ONE, {"description": "550 no such user"})
    assert await world.client.call("POST", f"{ONE}/test") == {
        "ok": False,
        "response": "550 no such user",
    }
    shown = await world.client.call("GET", ONE)
    states = [(one["state"], one["error"], one["answer"]) for one in shown["deliveries"]]
    assert sorted(states) == [("givenUp", "550 no such user", ""), ("sent", "", "answered 200")]
    assert {one["title"] for one in shown["deliveries"]} == {"test of the channel mail"}
    entries = await world.client.call("GET", "/v1/audit?action=channel.test")
    assert entries["total"] == 2
    await world.client.refused(
        "POST", "/v1/channels/gone/test", status=404, code="ResourceNotFound"
    )


async def test_a_preview_of_a_test_sends_nothing(world: World) -> None:
    await world.client.call("POST", "/v1/channels", MAIL)
    await world.client.call("POST", f"{ONE}/test?dryRun=true")
    assert (await world.client.call("GET", ONE))["deliveries"] == []


async def test_how_a_channel_does_is_shown_and_what_was_given_up_tried_again(world: World) -> None:
    await world.client.call("POST", "/v1/channels", MAIL)
    now = world.clock.now
    content = msgspec.json.encode(sample_notification("default", "mail", now=now)).decode()
    waiting = Delivery("m1", "default", "mail", content, now, now, queue=Queue.CHANNELS)
    earlier = now - timedelta(seconds=9)
    dead = replace(waiting, id="m2", created=earlier, due=None, attempts=9, error="answered 500")
    sent = replace(waiting, id="m3", due=None, sent=now, created=earlier - timedelta(seconds=1))

    def put(tx: Transaction) -> None:
        for one in (waiting, dead, sent):
            tx.put_delivery(one)

    await world.store.write(put)
    shown = await world.client.call("GET", ONE)
    assert [(one["id"], one["state"]) for one in shown["deliveries"]] == [
        ("m1", "waiting"),
        ("m2", "givenUp"),
        ("m3", "sent"),
    ]
    assert (shown["state"]["pending"], shown["state"]["givenUp"]) == (1, 1)
    assert shown["state"]["lastSentTime"] is not None
    (listed,) = (await world.client.call("GET", "/v1/channels"))["items"]
    assert listed["state"] == shown["state"]
    world.woken.clear()
    again = await world.client.call("POST", f"{ONE}/retry")
    assert (again["state"]["pending"], again["state"]["givenUp"]) == (2, 0)
    assert world.woken == ["channels"]


async def test_a_rule_names_channels_that_are_there_and_stay(client: ApiCaller) -> None:
    message = await client.refused(
        "POST", "/v1/notificationrules", RULE, status=400, code="RequestParamInvalid"
    )
    assert "(channels[0]: " in message
    await client.call("POST", "/v1/channels", MAIL)
    made = await client.call("POST", "/v1/notificationrules", RULE)
    assert (made["severity"], made["threshold"], made["quietMinutes"]) == (
        "warning",
        {"count": 1, "of": "events", "minutes": 10},
        60,
    )
    message = await client.refused("DELETE", ONE, status=403, code="ResourceHasBeenUsed")
    assert "notification rules fails" in message
    await client.call("DELETE", "/v1/notificationrules/fails")
    await client.call("DELETE", ONE)


async def test_the_number_of_channels_and_rules_is_bounded(world: World) -> None:
    now = world.clock.now
    mail = msgspec.convert({key: MAIL[key] for key in MAIL if key != "name"}, ChannelSpec)
    rule = NotificationRuleSpec(("n0",), ("node.failed",))

    def fill(tx: Transaction) -> None:
        for number in range(100):
            name = f"n{number}"
            create_channel(tx, "default", name, mail, now=now, new_token=lambda: "")
            create_rule(tx, "default", name, rule, now=now)

    await world.store.write(fill)
    for path, body in (("/v1/channels", MAIL), ("/v1/notificationrules", RULE)):
        message = await world.client.refused(
            "POST", path, body, status=400, code="RequestParamInvalid"
        )
        assert "(name: " in message


async def test_operators_write_rules_and_only_administrators_channels(world: World) -> None:
    token = (await world.client.call("POST", "/v1/tokens", {"name": "op", "role": "operator"}))[
        "token"
    ]
    await world.client.call("POST", "/v1/channels", MAIL)
    own = world.client.saying(Authorization=f"Bearer {token}")
    for method, path, body, status in (
        ("POST", "/v1/channels", HOOK, 403),
        ("POST", f"{ONE}/test", None, 403),
        ("GET", ONE, None, 200),
        ("POST", "/v1/notificationrules", RULE, 200),
    ):
        answer = await own.send(method, path, body)
        assert answer.status_code == status, path
