"""The history of updates sent to a node: when they were sent, and how they ended."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from starlette.datastructures import Headers

from cloud.core.core_configuration import Mode
from cloud.core.deploys import APPLY_TICK, EXPIRES_AFTER, Deploy, DeployOutcome
from cloud.core.explain import AppOutcome, Reason
from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.core.version_progress import NodeFailure
from cloud.errors import CloudError, NotFound, TooManyRequests, Unavailable
from cloud.http.errors import error_response
from cloud.operations import apps, deploys, nodes
from cloud.operations.explain import explain_node
from cloud.operations.overview import failures_of_app, rollout_of_app
from cloud.operations.properties import set_mode
from cloud.operations.reports import deltas_for, receive_report, record_sent
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, NOW, add_nodes, app_spec

NODE = f"{NAMESPACE}.n1"
SECOND = timedelta(seconds=1)
NO_ORDER = Order()


class DeploySite:
    """One node and its server; a second passes before each thing that happens."""

    def __init__(self, tx: Transaction, *, kept: int = 20) -> None:
        self.tx = tx
        self.kept = kept
        self.now = NOW
        add_nodes(tx, n1="gateway")

    def put(self, name: str = "web", image: str = "nginx:1") -> dict[str, str]:
        """The app as a node names it."""
        now = self._tick()
        put = apps.update_app if self.tx.app(NAMESPACE, name) else apps.create_app
        app = put(self.tx, NAMESPACE, name, app_spec(image=image), now=now)
        return {"name": app.name, "version": app.version}

    def report(self, *held: dict[str, str], status: str = "Running", cause: str = "") -> Any:
        """The delta that answers a report of a node which holds these apps."""
        stats = [{**app, "status": status, "cause": cause} for app in held]
        return self.receive({"apps": list(held), "appstats": stats})

    def receive(self, content: dict[str, Any], order: Order = NO_ORDER) -> Any:
        now = self._tick()
        report = read_report(content, order)
        answer = receive_report(self.tx, NODE, report, "json", now=now, deploys_kept=self.kept)
        return answer.delta

    def push(self) -> int:
        """How many nodes receive an update without a report."""
        now = self._tick()
        pushes = deltas_for(self.tx, list(self.tx.take_pending(100)), now=now)
        record_sent(self.tx, pushes, now=now, deploys_kept=self.kept)
        return len(pushes)

    def history(self) -> list[Deploy]:
        return list(deploys.deploys_of_node(self.tx, NAMESPACE, "n1", now=self.now))

    def only(self) -> Deploy:
        (deploy,) = self.history()
        return deploy

    def outcomes(self) -> list[str]:
        return [deploy.outcome.value for deploy in self.history()]

    def _tick(self) -> datetime:
        self.now += SECOND
        return self.now


async def test_a_change_is_sent_then_acknowledged_then_runs(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        wanted = site.now
        site.report()
        sent = site.now
        assert site.only().outcome is DeployOutcome.PENDING
        site.report()
        site.report(web, status="Pending")
        taken = site.now
        assert site.only().acknowledged == taken
        site.report(web)
        deploy = site.only()
        assert (deploy.wanted, deploy.sent) == (wanted, sent)
        assert (deploy.acknowledged, deploy.ended) == (taken, site.now)
        assert (deploy.outcome, deploy.number) == (DeployOutcome.CONVERGED, 1)
        assert [app.name for app in deploy.apps] == ["web"]
        assert tx.open_deploy(NAMESPACE, "n1") is None

    await store.write(work)


async def test_a_push_tells_once(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.report()
        site.put()
        assert site.push() == 1
        sent = site.now
        site.report()
        tx.mark_pending([nodes.existing_node(tx, NAMESPACE, "n1")])
        assert site.push() == 1
        assert site.only().sent == sent

    await store.write(work)


async def test_a_failed_deploy_has_a_cause_and_may_still_converge(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.report()
        site.report(web, status="Failed", cause="no such image")
        failed = site.only()
        assert (failed.outcome, failed.ended) == (DeployOutcome.FAILED, site.now)
        assert failed.cause == "web: no such image"
        site.report(web, status="Pending")
        site.report(web, status="Failed", cause="again")
        assert site.only() == failed
        site.report(web)
        deploy = site.only()
        assert (deploy.outcome, deploy.cause) == (DeployOutcome.CONVERGED, "")
        assert (deploy.ended, deploy.acknowledged) == (site.now, failed.acknowledged)
        site.report(web, status="Failed")
        assert site.only() == deploy

    await store.write(work)


async def test_the_failure_of_an_earlier_version_is_not_this_one(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.report()
        old = {"name": "web", "version": "0", "status": "Failed"}
        site.receive({"apps": [web], "appstats": [old]})
        assert site.only().outcome is DeployOutcome.PENDING
        site.receive({"apps": [web], "appstats": [{"name": "web", "status": "Failed"}]})
        assert site.only().outcome is DeployOutcome.FAILED

    await store.write(work)


REFUSALS: list[dict[str, Any]] = [
    {"apps": [], "appstats": [{"name": "web", "cause": "no such image"}]},
    {
        "apps": [{"name": "web", "version": "0"}],
        "appstats": [
            {"name": "web", "version": "0", "status": "Running", "cause": "no such image"}
        ],
    },
    {
        "apps": [{"name": "web", "version": "1"}],
        "appstats": [
            {
                "name": "web",
                "version": "1",
                "status": "Unknown",
                "instances": {"web-1": {"status": "Unknown", "cause": "no such image"}},
            }
        ],
    },
]


def wanted_in(content: dict[str, Any], web: dict[str, str]) -> dict[str, Any]:
    """*content* with the version of *web* where it stands for the wanted one."""
    text = msgspec.json.encode(content).decode()
    named = text.replace('"version":"1"', f'"version":"{web["version"]}"')
    return msgspec.json.decode(named, type=dict[str, Any])


@pytest.mark.parametrize("content", REFUSALS, ids=["new", "version before", "instance"])
async def test_what_stock_agents_could_not_apply_has_failed_everywhere(
    store: Store, content: dict[str, Any]
) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.receive({"apps": [], "appstats": []})
        web = site.put()
        assert site.push() == 1
        wanted = wanted_in(content, web)
        site.receive(wanted)
        deploy = site.only()
        assert (deploy.outcome, deploy.cause) == (DeployOutcome.FAILED, "web: no such image")
        rollout = rollout_of_app(tx, NAMESPACE, "web")
        assert (rollout.selected, rollout.failed, rollout.pending) == (1, 1, 0)
        assert failures_of_app(tx, rollout.app) == [NodeFailure("n1", "no such image")]
        reported = {app["version"] for app in wanted["apps"]}
        assert {version for version, _ in rollout.versions} == reported
        [shown] = explain_node(tx, NAMESPACE, "n1", now=site.now).explanation.apps
        assert (shown.outcome, shown.reason) == (AppOutcome.FAILED, Reason.APP_FAILED)
        assert "no such image" in shown.message
        site.report(web)
        assert site.only().outcome is DeployOutcome.CONVERGED
        assert rollout_of_app(tx, NAMESPACE, "web").running == 1

    await store.write(work)


@pytest.mark.parametrize("error", [Unavailable("it restarts"), TooManyRequests(1.0)])
@pytest.mark.parametrize("content", REFUSALS[:2], ids=["new", "version before"])
async def test_what_this_server_could_not_answer_is_no_failure(
    store: Store, content: dict[str, Any], error: CloudError
) -> None:
    """Stock agents report the error that answered a request for bodies, and ask again."""

    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.receive({"apps": [], "appstats": []})
        web = site.put()
        assert site.push() == 1
        answer = error_response(error, {"request-id": "q"}, Headers())
        cause = f"[{answer.status_code}] {bytes(answer.body).decode()}"
        stats = [{**own, "cause": cause} for own in content["appstats"]]
        site.receive(wanted_in({**content, "appstats": stats}, web))
        assert site.only().outcome is DeployOutcome.PENDING
        rollout = rollout_of_app(tx, NAMESPACE, "web")
        assert (rollout.selected, rollout.failed, rollout.pending) == (1, 0, 1)
        assert failures_of_app(tx, rollout.app) == []
        site.report(web)
        assert site.only().outcome is DeployOutcome.CONVERGED

    await store.write(work)


async def test_a_cause_of_the_version_before_does_not_fail_the_next(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.report()
        refused = {"apps": [], "appstats": [{"name": "web", "cause": "no such image"}]}
        site.receive(refused)
        web = site.put(image="nginx:2")
        assert rollout_of_app(tx, NAMESPACE, "web").failed == 0
        assert site.push() == 1
        site.receive(refused)
        assert site.outcomes() == ["pending", "failed"]
        assert rollout_of_app(tx, NAMESPACE, "web").failed == 0
        site.now += APPLY_TICK
        site.receive(refused)
        assert site.outcomes() == ["failed", "failed"]
        assert rollout_of_app(tx, NAMESPACE, "web").failed == 1
        site.report(web)
        assert site.outcomes() == ["converged", "failed"]

    await store.write(work)


@pytest.mark.parametrize(("status", "outcome"), [("Pending", "superseded"), ("Failed", "failed")])
async def test_what_comes_after_ends_what_was_open(store: Store, status: str, outcome: str) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.report()
        web = site.put()
        assert site.push() == 1
        site.report(web, status=status)
        site.put(image="nginx:2")
        assert site.push() == 1
        assert site.outcomes() == ["pending", outcome]
        newer, older = site.history()
        if outcome == "superseded":
            assert older.ended == newer.sent
        assert newer.number == 2

    await store.write(work)


async def test_a_change_taken_back_is_superseded_by_what_ran_before(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.report()
        site.report(web)
        site.put("other")
        site.push()
        apps.delete_app(tx, NAMESPACE, "other")
        assert site.push() == 1  # a stock agent would go on trying
        assert site.report(web) == {}
        assert site.outcomes() == ["superseded", "converged"]
        assert tx.open_deploy(NAMESPACE, "n1") is None

    await store.write(work)


async def test_who_takes_too_long_is_no_longer_waited_for(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.report()
        sent = site.now
        site.now = sent + EXPIRES_AFTER - SECOND
        assert site.outcomes() == ["pending"]
        site.now += SECOND
        assert site.outcomes() == ["expired"]
        assert site.only().ended == sent + EXPIRES_AFTER
        site.report()
        assert site.outcomes() == ["pending", "expired"]
        site.report(web)
        assert site.outcomes() == ["converged", "expired"]

    await store.write(work)


async def test_a_node_without_stats_converges_by_the_apps_it_names(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.receive({})
        site.receive({"apps": [web]})
        assert site.only().outcome is DeployOutcome.CONVERGED

    await store.write(work)


async def test_a_report_that_was_overtaken_changes_no_history(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        site.receive({"apps": []}, Order("r", 2))
        stats = [{**web, "status": "Failed"}]
        site.receive({"apps": [web], "appstats": stats}, Order("r", 1))
        assert site.only().outcome is DeployOutcome.PENDING
        assert site.only().acknowledged is None

    await store.write(work)


async def test_a_node_that_runs_what_it_should_has_no_history(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        web = site.put()
        assert site.report(web) == {}
        assert site.history() == []
        with pytest.raises(NotFound):
            deploys.deploys_of_node(tx, NAMESPACE, "n2", now=NOW)

    await store.write(work)


async def test_the_change_of_a_label_is_when_it_was_wanted(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.put()
        nodes.update_node(tx, NAMESPACE, "n1", NodeSpec(), now=site.now)
        site.report()
        assert site.history() == []
        site.now += timedelta(days=1)
        again = site.now
        nodes.update_node(tx, NAMESPACE, "n1", NodeSpec({"role": "gateway"}), now=again)
        site.report()
        assert site.only().wanted == again
        assert site.only().sent == again + SECOND

    await store.write(work)


async def test_the_oldest_go_when_there_are_too_many(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx, kept=3)
        for image in range(5):
            web = site.put(image=f"nginx:{image}")
            site.report()
            site.report(web)
        assert [deploy.number for deploy in site.history()] == [5, 4, 3]
        nodes.delete_node(tx, NAMESPACE, "n1", now=site.now)
        assert tx.deploys(NAMESPACE, "n1") == []
        tx.put_deploy(NAMESPACE, "n1", Deploy(1, NOW, NOW), is_open=True)
        with pytest.raises(NotFound):
            tx.finish()

    await store.write(work)


async def test_a_node_in_local_mode_begins_no_deploy(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.put()
        site.report()
        set_mode(tx, nodes.existing_node(tx, NAMESPACE, "n1"), Mode.LOCAL, now=site.now)
        site.put(image="nginx:2")
        site.report()
        assert site.outcomes() == ["superseded"]

    await store.write(work)


async def test_a_node_that_is_gone_receives_no_update(store: Store) -> None:
    def work(tx: Transaction) -> None:
        site = DeploySite(tx)
        site.report()
        site.put()
        pushes = deltas_for(tx, [(NAMESPACE, "n1")], now=NOW)
        nodes.delete_node(tx, NAMESPACE, "n1", now=site.now)
        record_sent(tx, pushes, now=site.now)
        assert tx.deploys(NAMESPACE, "n1") == []

    await store.write(work)
