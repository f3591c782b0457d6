"""Why an app is where it is: each reason once, and what holds of all explanations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import App, AppSpec, AppVersion
from cloud.core.core_configuration import Mode
from cloud.core.delta import delta_for
from cloud.core.deploys import EXPIRES_AFTER, Deploy
from cloud.core.desired import Desired
from cloud.core.explain import (
    AppOutcome,
    ExplainFacts,
    Reason,
    awaiting_rollout,
    explained,
    mismatch,
    unselected,
)
from cloud.core.node import Node, NodeSpec
from cloud.core.properties import NO_PROPERTIES
from cloud.core.readiness import Heard, node_status
from cloud.core.report import Order, read_report

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WEB = AppVersion("web", "3")
OLD = AppVersion("web", "2")
NODE = Node("default", "n1", NodeSpec(labels={"role": "shop"}), NOON - DAY, NOON - DAY)
SENT = Deploy(1, NOON, NOON + MINUTE, (WEB,))


def report(*held: AppVersion, status: str = "Running", cause: str = "") -> Any:
    apps = [{"name": app.name, "version": app.version} for app in held]
    stats = [{**app, "status": status, "cause": cause} for app in apps]
    return read_report({"apps": apps, "appstats": stats}, Order())


def facts(**known: Any) -> ExplainFacts:
    """A node that is there, should run `web` in version 3 and has reported something older."""
    now, heard = known.pop("now", NOON + 3 * MINUTE), known.pop("heard", NOON + 3 * MINUTE)
    last = Heard(heard) if heard else None
    given = {
        "node": NODE,
        "is_revoked": False,
        "desired": Desired((WEB,)),
        "properties": NO_PROPERTIES,
        "changed": {"web": NOON},
        "report": report(OLD) if heard else None,
        "deploys": (),
        "is_stale": False,
        **known,
    }
    stands = node_status(last, now, is_revoked=given["is_revoked"])
    return ExplainFacts(now=now, node_status=stands, heard=last, **given)


EXPIRED = SENT.at(SENT.sent + EXPIRES_AFTER)
TABLE: list[tuple[Reason, AppOutcome, str, dict[str, Any]]] = [
    (Reason.RUNNING, AppOutcome.CONVERGED, "runs as wanted", {"report": report(WEB)}),
    (
        Reason.RUNNING,
        AppOutcome.CONVERGED,
        "ran as wanted when the node was heard last, at 11:00:00",
        {"report": report(WEB), "heard": NOON - 60 * MINUTE},
    ),
    (
        Reason.APP_FAILED,
        AppOutcome.FAILED,
        "no such image",
        {"report": report(WEB, status="Failed", cause="no such image"), "deploys": (SENT,)},
    ),
    (
        Reason.STARTING,
        AppOutcome.PENDING,
        "does not report it as running yet",
        {"report": report(WEB, status="Pending"), "deploys": (SENT,)},
    ),
    (
        Reason.OFFLINE_SINCE,
        AppOutcome.PENDING,
        "offline since 11:02:00 (heard last at 11:00:00), the change was made at 12:00:00;"
        " it will be updated when it returns",
        {"heard": NOON - 60 * MINUTE},
    ),
    (
        Reason.OFFLINE_SINCE,
        AppOutcome.PENDING,
        "the update was sent at 12:01:00, with no result reported yet",
        {"heard": NOON - 60 * MINUTE, "deploys": (SENT,)},
    ),
    (
        Reason.OFFLINE_SINCE,
        AppOutcome.PENDING,
        "expired at 2026-01-09 12:01:00",
        {"heard": NOON, "deploys": (EXPIRED,), "now": NOON + 9 * DAY},
    ),
    (
        Reason.EXPIRED,
        AppOutcome.PENDING,
        "not applied within 7 days",
        {"heard": NOON + 9 * DAY, "deploys": (EXPIRED,), "now": NOON + 9 * DAY},
    ),
    (Reason.NOT_SENT, AppOutcome.PENDING, "with its next report", {}),
    (Reason.NOT_SENT, AppOutcome.PENDING, "next in the queue", {"is_stale": True}),
    (
        Reason.NOT_SENT,
        AppOutcome.PENDING,
        "has not been sent yet",
        {"deploys": (Deploy(2, NOON, NOON, ()), SENT)},
    ),
    (
        Reason.REPORT_OLDER_THAN_PUSH,
        AppOutcome.PENDING,
        "sent at 12:01:00; the last report came before that, at 12:00:50",
        {"deploys": (SENT,), "heard": NOON + 50 * MINUTE / 60, "now": NOON + MINUTE},
    ),
    (
        Reason.FETCHING,
        AppOutcome.PENDING,
        "sent at 12:01:00; the node reported since, at 12:03:00, without it",
        {"deploys": (SENT,)},
    ),
    (
        Reason.LOCAL_MODE,
        AppOutcome.PENDING,
        "in local mode",
        {"node": replace(NODE, mode=Mode.LOCAL)},
    ),
    (Reason.NEVER_ACTIVATED, AppOutcome.PENDING, "has never reported", {"heard": None}),
    (
        Reason.ONLY_INIT_REPORTS,
        AppOutcome.PENDING,
        "only baetyl-init reports (last at 12:02:00); baetyl-core, which runs the apps, never has",
        {"heard": None, "init_heard": NOON + 2 * MINUTE},
    ),
    (
        Reason.ONLY_INIT_REPORTS,
        AppOutcome.PENDING,
        "baetyl-core, which runs the apps, was heard last at 11:00:00",
        {"heard": NOON - 60 * MINUTE, "init_heard": NOON + 2 * MINUTE},
    ),
    (
        Reason.OFFLINE_SINCE,
        AppOutcome.PENDING,
        "offline since",
        {"heard": NOON - 60 * MINUTE, "init_heard": NOON - 61 * MINUTE},
    ),
    (
        Reason.NOT_SENT,
        AppOutcome.PENDING,
        "with its next report",
        {"init_heard": NOON + 4 * MINUTE},
    ),
    (Reason.REVOKED, AppOutcome.PENDING, "is shut out", {"is_revoked": True}),
    (
        Reason.REVOKED,
        AppOutcome.PENDING,
        "is shut out; it ran as wanted when the node was heard last, at 12:03:00",
        {"is_revoked": True, "report": report(WEB)},
    ),
    (Reason.REMOVING, AppOutcome.REMOVING, "not wanted any more", {"desired": Desired()}),
    (
        Reason.OFFLINE_SINCE,
        AppOutcome.REMOVING,
        "it will be updated when it returns",
        {"desired": Desired(), "heard": NOON - 60 * MINUTE},
    ),
]


@pytest.mark.parametrize(("reason", "outcome", "words", "known"), TABLE)
def test_each_reason_has_a_message(
    reason: Reason, outcome: AppOutcome, words: str, known: dict[str, Any]
) -> None:
    found = explained(facts(**known))
    (app,) = found.apps
    assert (app.reason, app.outcome) == (reason, outcome), app.message
    assert words in app.message
    assert found.is_converged is (outcome is AppOutcome.CONVERGED)


def test_all_reasons_are_in_the_table() -> None:
    others = {Reason.SELECTOR_MISMATCH, Reason.WAITS_FOR_ROLLOUT, Reason.SECRETS_WITHHELD}
    assert {reason for reason, *_ in TABLE} | others == set(Reason)


def test_an_app_that_its_rollout_has_not_brought_yet_is_pending() -> None:
    app = App("default", "web", AppSpec(selector="role=shop"), "3", NOON, NOON)
    found = awaiting_rollout(app, "version 3 waits for stage tenth")
    assert (found.reason, found.outcome) == (Reason.WAITS_FOR_ROLLOUT, AppOutcome.PENDING)
    assert found.message == found.rollout == "version 3 waits for stage tenth"


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("", "has no selector"),
        ("role=gateway", "asks for role=gateway, and the node's is 'shop'"),
        ("role in (a,b)", "role in (a, b), and the node's is 'shop'"),
        ("role!=shop", "role!=shop, and the node's is 'shop'"),
        ("role notin (shop,b)", "role notin (shop, b), and"),
        ("site", "a label site, and the node has none"),
        ("!role", "no label role, and the node's is 'shop'"),
        ("cores>2", "cores>2, and the node has none"),
        ("cores<2", "cores<2, and the node has none"),
        ("role=shop,site=a", "asks for site=a, and the node has none. The node's labels are"),
    ],
)
def test_an_app_that_is_not_for_the_node_names_the_term_that_does_not_match(
    selector: str, words: str
) -> None:
    app = App("default", "web", AppSpec(selector=selector), "3", NOON, NOON)
    found = unselected(facts(), app)
    assert (found.outcome, found.reason) == (AppOutcome.UNSELECTED, Reason.SELECTOR_MISMATCH)
    assert words in found.message
    assert "role=shop," not in found.message.partition("The node's labels")[0]


def test_of_an_app_that_is_for_the_node_no_term_is_wrong() -> None:
    app = App("default", "web", AppSpec(selector="role=shop"), "3", NOON, NOON)
    assert mismatch(app, NODE.labels) == "web is for this node"


def test_times_are_those_of_the_first_update_sent_to_the_node() -> None:
    first = replaced(SENT, number=1, sent=NOON + MINUTE, acknowledged=NOON + 2 * MINUTE)
    second = replaced(SENT, number=2, sent=NOON + 3 * MINUTE, apps=(WEB, AppVersion("db", "5")))
    (app,) = explained(facts(deploys=(second, first), report=report(WEB))).apps
    assert (app.wanted_at, app.sent) == (NOON, NOON + MINUTE)
    assert (app.acknowledged, app.reported_at) == (NOON + 2 * MINUTE, NOON + 3 * MINUTE)


def test_unlisted_system_apps_are_left_unchanged() -> None:
    held = read_report({"apps": [], "sysapps": [{"name": "core", "version": "1"}]}, Order())
    found = explained(facts(desired=Desired(), report=held))
    assert (found.is_converged, found.apps) == (True, [])


versions = st.builds(AppVersion, st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"]))
app_lists = st.lists(versions, max_size=3, unique_by=lambda app: app.name).map(tuple)


@given(
    wanted=app_lists,
    held=app_lists,
    statuses=st.lists(
        st.sampled_from(["Running", "Succeeded", "Failed", "Pending", ""]), max_size=3
    ),
    silence=st.sampled_from([timedelta(), DAY]),
    mode=st.sampled_from(Mode),
    is_revoked=st.booleans(),
)
def test_a_node_has_converged_if_and_only_if_no_update_is_pending_and_all_apps_run(
    wanted: Any, held: Any, statuses: Any, silence: Any, mode: Any, is_revoked: Any
) -> None:
    apps = [{"name": app.name, "version": app.version} for app in held]
    stats = [{**app, "status": status} for app, status in zip(apps, statuses, strict=False)]
    reported = read_report({"apps": apps, "appstats": stats}, Order())
    up = {own["name"] for own in stats if own["status"] in {"Running", "Succeeded"}}
    found = explained(
        facts(
            desired=Desired(wanted),
            report=reported,
            heard=NOON - silence,
            now=NOON,
            node=replace(NODE, mode=mode),
            is_revoked=is_revoked,
        )
    )
    is_whole = not delta_for(reported, Desired(wanted), NO_PROPERTIES)
    is_up = all(app.name in up for app in wanted)
    assert found.is_converged == (is_whole and is_up and not is_revoked)
    assert {app.name for app in found.apps} == {app.name for app in (*wanted, *held)}
    assert found.message
    assert all(app.message for app in found.apps)


def replaced(deploy: Deploy, **other: Any) -> Deploy:
    return Deploy(**{name: getattr(deploy, name) for name in deploy.__struct_fields__} | other)
