"""What a callback may be, how it is signed, when it is sent again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.callback import (
    CallbackSpec,
    activation_content,
    checked_callback_spec,
    content_of,
    masked,
    signed_headers,
)
from cloud.core.mask import MASK
from cloud.core.sending import (
    LIFETIME,
    LONGEST_PAUSE,
    Delivery,
    after_failure,
    new_secret,
    secret_key,
)
from tests.core.refusals import field_refused
from tests.core.strategies import START

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC = CallbackSpec(url="https://example.com/hook", secret=SECRET)
DELIVERY = Delivery("msg_p5jXN8AQM9LWM0D4loKWxJek", "default", "c", "{}", START, START)


def spec(**changes: Any) -> CallbackSpec:
    return msgspec.structs.replace(SPEC, **changes)


def test_the_signature_is_that_of_the_published_example() -> None:
    """https://docs.svix.com/receiving/verifying-payloads/how-manual"""
    now = datetime.fromtimestamp(1614265330.9, UTC)
    headers = signed_headers(SPEC, DELIVERY, b'{"test": 2432232314}', now=now)
    assert headers == {
        "Content-Type": "application/json",
        "webhook-id": DELIVERY.id,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "https://h:8443/a/b?c=d",
        "https://192.0.2.1/",
        "http://[2001:db8::1]:80/x",
        "HTTPS://example.com",
    ],
)
def test_a_url_is_http_or_https(url: str) -> None:
    assert checked_callback_spec(spec(url=url)).url == url


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": ""}, "url"),
        ({"url": "ftp://h/"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "//h/"}, "url"),
        ({"url": "https:///x"}, "url"),
        ({"url": "https://h:99999/"}, "url"),
        ({"url": "https://h:0/"}, "url"),
        ({"url": "https://user@h/"}, "url"),
        ({"url": "https://user:password@h/"}, "url"),
        ({"url": "https://h/#part"}, "url"),
        ({"url": "https://h/a b"}, "url"),
        ({"url": "https://h/\r\nHost: x"}, "url"),
        ({"url": "https://hö/"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"url": "https://h/" + "x" * 2048}, "url"),
        ({"header": {"Host": "x"}}, "header.Host"),
        ({"header": {"Webhook-Signature": "x"}}, "header.Webhook-Signature"),
        ({"header": {"content-length": "1"}}, "header.content-length"),
        ({"header": {"a b": "x"}}, "header"),
        ({"header": {"": "x"}}, "header"),
        ({"header": {"X-A": "a\r\nX-B: c"}}, "header.X-A"),
        ({"header": {"X-A": "ö"}}, "header.X-A"),
        ({"header": {"X-A": " a"}}, "header.X-A"),
        ({"body": {"edgesync": "x"}}, "body.edgesync"),
        ({"body": {"a": "x" * 20_000}}, ""),
        ({"secret": ""}, "secret"),
        ({"secret": "open sesame"}, "secret"),
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
        ({"secret": "whsec_!!!"}, "secret"),
        ({"secret": MASK}, "secret"),
        ({"secret": SECRET.removeprefix("whsec_")}, "secret"),
    ],
)
def test_what_cannot_be_called_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    assert field_refused(checked_callback_spec, spec(**changes)) == field


def test_no_refusal_and_no_text_shows_a_secret() -> None:
    with pytest.raises(Exception, match="secret") as caught:
        checked_callback_spec(spec(secret="whsec_hidden"))
    assert "hidden" not in str(caught.value)
    assert SECRET not in repr(SPEC)
    assert masked(SPEC).secret == MASK


def test_a_secret_is_made_of_a_token() -> None:
    made = new_secret("a token")
    assert len(secret_key(made)) == 32
    assert new_secret("a token") == made != new_secret("another")


def test_the_servers_fields_never_come_from_the_device() -> None:
    sent = {"edgesync": "forged", "site": "north", "line": "7"}
    text = activation_content(sent, {"nodeName": "n1"}, START)
    content = content_of(
        spec(body={"site": "nowhere", "token": "t"}), replace(DELIVERY, content=text)
    )
    assert json.loads(content) == {
        "site": "north",
        "line": "7",
        "token": "t",
        "edgesync": {"event": "activation", "nodeName": "n1", "time": "2026-01-02T03:04:05Z"},
    }


def test_what_is_not_json_is_sent_as_it_is() -> None:
    plain = replace(DELIVERY, content="öpen", content_type="text/plain")
    assert content_of(spec(body={"a": "b"}), plain) == "öpen".encode()


def test_pauses_double_up_to_an_hour_and_end_after_three_days() -> None:
    now, delivery, pauses = START, DELIVERY, []
    while delivery.due is not None:
        now = delivery.due
        delivery = after_failure(delivery, "answered 500", now=now, jitter=0)
        pauses.append(delivery.due - now if delivery.due else None)
    assert [pause.total_seconds() for pause in pauses[:4] if pause] == [1, 2, 4, 8]
    assert pauses[-2:] == [LONGEST_PAUSE, None]
    assert LIFETIME - LONGEST_PAUSE <= now - START <= LIFETIME
    assert (delivery.attempts, delivery.error) == (len(pauses), "answered 500")


@given(st.integers(0, 10**6), st.floats(0, 1), st.text(max_size=1000))
def test_a_pause_is_at_least_half_of_what_it_could_be(
    attempts: int, jitter: float, error: str
) -> None:
    now = START + timedelta(minutes=1)
    after = after_failure(replace(DELIVERY, attempts=attempts), error, now=now, jitter=jitter)
    assert after.due is not None
    whole = min(2 ** min(attempts, 20), LONGEST_PAUSE.total_seconds())
    assert whole / 2 <= (after.due - now).total_seconds() <= whole
    assert len(after.error) <= 200
