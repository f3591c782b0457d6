"""Messages of nodes, through the real store."""

import base64
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.errors import Unavailable
from cloud.http.metrics import Metrics
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.link.measures import Measures
from cloud.operations.nodes import delete_node
from cloud.store.transaction import Store, Transaction
from tests.link.conftest import NOW, FakeHub, describe

REPORT = Message("report", {"apps": [], "node": {"hostname": "h"}}, {"seq": 1, "run": "r"})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def messages(metrics: Metrics) -> dict[tuple[str, str], float]:
    """How many messages came over MQTT, by channel and what became of them."""
    return {
        (sample.labels["channel"], sample.labels["outcome"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "edgesync_messages_total" and sample.value
    }


@pytest.fixture
async def inbox(hub: FakeHub, store: Store, metrics: Metrics) -> NodeInbox:
    await store.write(describe)
    return NodeInbox(hub, Exchange(store, lambda: NOW), measures=Measures(metrics))


def desire(*infos: tuple[str, str]) -> Message:
    content = {"infos": [{"kind": kind, "name": name, "version": "1"} for kind, name in infos]}
    return Message("desire", content, {"x-baetyl-request-id": "q1", "sync": "true"})


async def ask(
    inbox: NodeInbox, hub: FakeHub, channel: Channel, message: Message | bytes
) -> Message:
    hub.pushed.clear()
    await inbox.handle([hub.inbound(channel, message)])
    [(_, _, answer, _)] = hub.pushed
    return answer


async def test_a_report_is_kept_acknowledged_and_answered_with_the_delta(
    inbox: NodeInbox, hub: FakeHub, store: Store
) -> None:
    answer = await ask(inbox, hub, Channel.REPORT, REPORT)
    app = await store.read(lambda tx: tx.app("default", "web"))
    assert app is not None
    assert answer.kind == "report"
    assert answer.content == {"apps": [{"name": "web", "version": app.version}]}
    assert answer.meta == {"seq": 1, "run": "r", "time": "2026-01-02T03:04:05Z"}
    stored = await store.read(lambda tx: tx.report("default", "n1"))
    assert stored is not None
    assert msgspec.json.decode(stored.report.document) == REPORT.content
    assert len(hub.acked) == 1


async def test_a_node_that_runs_what_it_should_gets_an_empty_delta(
    inbox: NodeInbox, hub: FakeHub
) -> None:
    delta = (await ask(inbox, hub, Channel.REPORT, REPORT)).content
    answer = await ask(inbox, hub, Channel.REPORT, Message("report", delta, {"seq": 2, "run": "r"}))
    assert answer.content == {}


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_the_answer_comes_in_the_encoding_of_the_question(
    inbox: NodeInbox, hub: FakeHub, encoding: Encoding
) -> None:
    await inbox.handle([hub.inbound(Channel.REPORT, REPORT, encoding=encoding)])
    assert [used for *_, used in hub.pushed] == [encoding]


async def test_an_older_report_of_the_same_run_is_answered_but_not_kept(
    inbox: NodeInbox, hub: FakeHub, store: Store
) -> None:
    await ask(
        inbox, hub, Channel.REPORT, Message("report", {"node": {"hostname": "new"}}, {"seq": 5})
    )
    await ask(
        inbox, hub, Channel.REPORT, Message("report", {"node": {"hostname": "old"}}, {"seq": 4})
    )
    stored = await store.read(lambda tx: tx.report("default", "n1"))
    assert stored is not None
    assert b"new" in stored.report.document


async def test_a_new_run_starts_counting_anew(inbox: NodeInbox, hub: FakeHub, store: Store) -> None:
    await ask(inbox, hub, Channel.REPORT, Message("report", {}, {"seq": 500, "run": "a"}))
    newer = Message("report", {"node": {"hostname": "again"}}, {"seq": 1, "run": "b"})
    await ask(inbox, hub, Channel.REPORT, newer)
    stored = await store.read(lambda tx: tx.report("default", "n1"))
    assert stored is not None
    assert b"again" in stored.report.document


async def test_an_unknown_app_in_a_report_is_named_and_dropped_by_the_delta(
    inbox: NodeInbox, hub: FakeHub
) -> None:
    content = {"apps": [{"name": "ghost", "version": "1"}]}
    answer = await ask(inbox, hub, Channel.REPORT, Message("report", content, {"seq": 1}))
    assert "content.apps[0].name" in str(answer.meta["warning"])
    assert "ghost" in str(answer.meta["warning"])
    assert [app["name"] for app in answer.content["apps"]] == ["web"]


@pytest.mark.parametrize(
    ("channel", "message", "field"),
    [
        (Channel.REPORT, b"", "payload"),
        (Channel.REPORT, b"\x00\x01", "payload"),
        (Channel.REPORT, b"{", "payload"),
        (Channel.REPORT, b"{}", "kind"),
        (Channel.REPORT, b'{"kind":"report","content":"x"}', "content"),
        (Channel.REPORT, b'{"kind":"desire","content":{}}', "kind"),
        (Channel.REPORT, b'{"kind":"report","content":{"apps":[{"name":1}]}}', "apps[0].name"),
        (Channel.REPORT, b'{"kind":"report","content":{},"meta":{"seq":-1}}', "meta.seq"),
        (Channel.REPORT, b'{"kind":"report","content":{},"meta":{"seq":"x"}}', "meta.seq"),
        (Channel.REPORT, b'{"kind":"report","content":{},"meta":{"seq":[1]}}', "meta"),
        (Channel.REPORT, b'{"kind":"report","content":' + b"[" * 5000, "payload"),
        (Channel.STATS, b'{"kind":"stats","content":{"usage":{}}}', "content.nodestats"),
        (Channel.STATS, b'{"kind":"stats","content":{"nodestats":3}}', "content.nodestats"),
        (Channel.DESIRE, b'{"kind":"desire","content":{}}', "content.infos"),
        (
            Channel.DESIRE,
            b'{"kind":"desire","content":{"infos":[{"kind":"node"}]}}',
            "infos[0].kind",
        ),
    ],
)
async def test_malformed_input_is_answered_with_an_error_that_names_the_field(
    inbox: NodeInbox,
    hub: FakeHub,
    store: Store,
    metrics: Metrics,
    channel: Channel,
    message: bytes,
    field: str,
) -> None:
    answer = await ask(inbox, hub, channel, message)
    assert answer.kind == "error"
    assert answer.meta["code"] == "RequestParamInvalid"
    assert field in answer.content
    assert hub.acked == [message]
    [((counted, outcome), count)] = messages(metrics).items()
    assert (counted, count) == (channel.value, 1)
    assert outcome in {"malformed", "refused"}
    assert await store.read(lambda tx: tx.report("default", "n1")) is None


async def test_a_bad_message_does_not_touch_the_others_of_its_group(
    inbox: NodeInbox, hub: FakeHub, store: Store
) -> None:
    group = [
        hub.inbound(Channel.REPORT, b"garbage"),
        hub.inbound(Channel.REPORT, REPORT),
        hub.inbound(Channel.REPORT, REPORT, node_id="default.unknown"),
        hub.inbound(Channel.DESIRE, desire(("application", "web"))),
    ]
    await inbox.handle(group)
    assert [message.kind for _, _, message, _ in hub.pushed] == [
        "error",
        "report",
        "error",
        "desire",
    ]
    assert len(hub.acked) == 4


async def test_a_deleted_node_gets_the_error_text_that_agents_look_for(
    inbox: NodeInbox, hub: FakeHub, store: Store
) -> None:
    await store.write(lambda tx: delete_node(tx, "default", "n1", now=NOW))
    meta: dict[str, str | int] = {"source": "baetyl-core", "namespace": "default", "name": "n1"}
    answer = await ask(inbox, hub, Channel.REPORT, Message("report", {}, meta))
    assert answer.kind == "error"
    assert answer.content == f"The (node) resource ({answer.meta['name']}) is not found."
    assert answer.meta["code"] == "ResourceNotFound"


async def test_bodies_come_at_the_versions_the_app_names(inbox: NodeInbox, hub: FakeHub) -> None:
    answer = await ask(inbox, hub, Channel.DESIRE, desire(("application", "web")))
    assert answer.meta["x-baetyl-request-id"] == "q1"
    assert answer.meta["sync"] == "true"
    [app] = answer.content["values"]
    assert app["value"]["services"][0]["image"] == "nginx:1"
    conf, password, hub_volume = app["value"]["volumes"]
    assert hub_volume["secret"] == app["value"]["registries"][0]
    answer = await ask(
        inbox,
        hub,
        Channel.DESIRE,
        desire(("configuration", "conf"), ("secret", "password"), ("secret", "hub")),
    )
    config, secret, registry = (value["value"] for value in answer.content["values"])
    assert config["version"] == conf["config"]["version"]
    assert config["data"] == {"a.conf": "{{ .Hostname }}"}
    assert secret["version"] == password["secret"]["version"]
    assert base64.b64decode(secret["data"]["password"]).decode() == "öpen"
    assert (registry["name"], registry["version"]) == ("hub", hub_volume["secret"]["version"])
    assert base64.b64decode(registry["data"]["password"]).decode() == "of hub"


async def test_a_body_that_is_named_often_comes_once(inbox: NodeInbox, hub: FakeHub) -> None:
    infos = [("config", "conf"), ("app", "web"), ("configuration", "conf")] * 300
    answer = await ask(inbox, hub, Channel.DESIRE, desire(*infos))
    found = [(value["kind"], value["name"]) for value in answer.content["values"]]
    assert found == [("config", "conf"), ("app", "web")]


async def test_an_answer_that_is_too_large_is_refused_before_it_is_made(
    hub: FakeHub, store: Store
) -> None:
    await store.write(describe)
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW, answer_bytes=300))
    answer = await ask(inbox, hub, Channel.DESIRE, desire(("secret", "password"), ("app", "web")))
    assert answer.kind == "error"
    assert answer.meta["code"] == "RequestParamInvalid"
    assert "content.infos[1]: with the app 'web' the answer has" in answer.content
    assert "more than 300" in answer.content


async def test_large_answers_are_made_and_sent_a_few_at_a_time(hub: FakeHub, store: Store) -> None:
    await store.write(describe)
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW, answer_bytes=1500))
    message = desire(("app", "web"))
    await inbox.handle([hub.inbound(Channel.DESIRE, message) for _ in range(5)])
    assert [answer.kind for _, _, answer, _ in hub.pushed] == ["desire"] * 5
    assert len(hub.acked) == 5


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("content.apps", {"apps": [{"name": "a", "version": "1"}] * 1001}),
        ("content.appstats", {"appstats": [{"name": "a"}] * 1001}),
        ("content.sysappstats", {"sysappstats": [{"name": "a"}] * 1001}),
        (
            "content.appstats[1].instances",
            {"appstats": [{"name": "a", "instances": {f"i{n}": {} for n in range(1500)}}] * 2},
        ),
        ("content.nodeprops", {"nodeprops": {f"k{n}": "v" for n in range(1001)}}),
    ],
)
async def test_a_report_with_too_many_entries_is_refused_by_name(
    inbox: NodeInbox, hub: FakeHub, field: str, content: Any
) -> None:
    answer = await ask(inbox, hub, Channel.REPORT, Message("report", content))
    assert answer.kind == "error"
    assert f"({field}: " in answer.content


@pytest.mark.parametrize(
    "info",
    [
        ("secret", "other"),
        ("secret", "other-hub"),
        ("secret", "none"),
        ("app", "other"),
        ("config", "password"),
        ("config", "hub"),
    ],
)
async def test_a_node_gets_nothing_that_its_own_apps_do_not_mount(
    inbox: NodeInbox, hub: FakeHub, info: tuple[str, str]
) -> None:
    answer = await ask(inbox, hub, Channel.DESIRE, desire(("application", "web"), info))
    assert answer.kind == "error"
    assert answer.meta["code"] == "ResourceNotFound"
    assert info[1] in answer.content


async def test_usage_is_kept_beside_the_report_and_not_answered(
    inbox: NodeInbox, hub: FakeHub, store: Store
) -> None:
    await ask(inbox, hub, Channel.REPORT, REPORT)
    hub.pushed.clear()
    usage = {"nodestats": {"usage": {"cpu": "0.5"}}}
    await inbox.handle([hub.inbound(Channel.STATS, Message("stats", usage))])
    assert hub.pushed == []
    stored = await store.read(lambda tx: tx.report("default", "n1"))
    assert stored is not None
    assert stored.usage is not None
    assert msgspec.json.decode(stored.usage) == usage


class FailingStore:
    """A store that raises *errors* one after the other, then works."""

    def __init__(self, store: Store, errors: list[Exception]) -> None:
        self._store = store
        self._errors = errors

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return await self._store.write(work)

    write_concurrent = write

    async def read(self, work: Callable[[Transaction], Any]) -> Any:
        return await self._store.read(work)

    read_short = read


async def test_nothing_is_acknowledged_before_the_store_is_back(
    hub: FakeHub, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(describe)
    failing = FailingStore(store, [Unavailable("disk full")])
    acks_at_retry: list[int] = []

    async def pause(seconds: float) -> None:
        acks_at_retry.append(len(hub.acked))

    inbox = NodeInbox(hub, Exchange(failing, lambda: NOW), pause=pause)
    with caplog.at_level(logging.WARNING):
        await inbox.handle([hub.inbound(Channel.REPORT, REPORT)])
    assert acks_at_retry == [0]
    assert len(hub.acked) == 1
    assert "disk full" in caplog.text


async def test_a_message_that_makes_the_server_fail_takes_no_other_with_it(
    hub: FakeHub, store: Store, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(describe)
    failing = FailingStore(store, [RuntimeError("first"), RuntimeError("second")])
    inbox = NodeInbox(hub, Exchange(failing, lambda: NOW), measures=Measures(metrics))
    group = [hub.inbound(Channel.REPORT, REPORT), hub.inbound(Channel.REPORT, REPORT)]
    await inbox.handle(group)
    first, second = (message for _, _, message, _ in hub.pushed)
    assert (first.kind, first.meta["code"]) == ("error", "UnknownError")
    assert second.kind == "report"
    assert messages(metrics) == {("report", "failed"): 1, ("report", "ok"): 1}
    assert "second" not in first.content
