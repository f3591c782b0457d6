"""Nodes under a policy run, and are served, the version that is for each of them."""

from collections.abc import Sequence

import msgspec
import pytest

from cloud.core.app import AppVersion
from cloud.core.audit import SERVER, Attempt, AuditFilter
from cloud.core.kinds import CONFIG, SECRET
from cloud.core.node import NodeSpec
from cloud.core.objects import cannot_sign
from cloud.core.registry import RegistrySpec
from cloud.core.report import Order, read_report
from cloud.core.revisions import RevisionAction, Thing
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState, rollout_name
from cloud.core.rollout_policy import AppChoice, RolloutPolicy, RolloutPolicySpec
from cloud.core.secret import SecretSpec
from cloud.errors import InUse, NotFound
from cloud.operations.apps import create_app, delete_app, update_app
from cloud.operations.configs import create_config, delete_config, update_config
from cloud.operations.desires import Info, InfoKind, deliver
from cloud.operations.nodes import apps_of_node, create_node
from cloud.operations.pinned_versions import unpin_unused
from cloud.operations.registries import create_registry, refresh_registry
from cloud.operations.reports import deltas_for, receive_report
from cloud.operations.restored_versions import restore_version
from cloud.operations.revisions import list_revisions
from cloud.operations.secrets import create_secret, delete_secret, update_secret
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, app_spec, config_spec

NODE = f"{NAMESPACE}.n"
SPEC = app_spec(configs=["conf"], secrets=["password"], registries=["hub"])


def govern(tx: Transaction) -> None:
    spec = RolloutPolicySpec(apps=AppChoice(names=("web",)))
    tx.put_resource(RolloutPolicy(NAMESPACE, "careful", spec, tx.next_version(), NOW, NOW))


def plant(tx: Transaction) -> None:
    """A node, and an app with something of each kind that apps use."""
    create_node(tx, NAMESPACE, "n", NodeSpec({"role": "gateway"}), now=NOW)
    create_config(tx, NAMESPACE, "conf", config_spec("old"), now=NOW)
    create_secret(tx, NAMESPACE, "password", SecretSpec({"k": "old"}), now=NOW)
    hub = RegistrySpec("hub.example.com", "puller", "old")
    create_registry(tx, NAMESPACE, "hub", hub, now=NOW)
    create_app(tx, NAMESPACE, "web", SPEC, now=NOW)


def version(tx: Transaction) -> str:
    app = tx.app(NAMESPACE, "web")
    assert app is not None
    return app.version


def put_rollout(tx: Transaction, base: str, state: RolloutState = RolloutState.RUNNING) -> Rollout:
    target = version(tx)
    rollout = Rollout(
        NAMESPACE,
        rollout_name("web", target),
        "web",
        "careful",
        RolloutPolicySpec(),
        base,
        target,
        state,
        NOW,
        NOW,
    )
    tx.put_rollout(rollout)
    return rollout


def end_rollout(tx: Transaction) -> None:
    """Let things be deleted that a rollout which is under way could go back to."""
    newest = tx.newest_rollout(NAMESPACE, "web")
    assert newest is not None
    tx.put_rollout(msgspec.structs.replace(newest, state=RolloutState.ABORTED))


def assign(tx: Transaction, to: str, previous: str, node: str = "n") -> None:
    state = AssignmentState.ADMITTED
    tx.put_assignments(NAMESPACE, [Assignment(node, "web", to, previous, state)])


def everything() -> Sequence[Info]:
    return [
        Info(InfoKind.APP, "web"),
        Info(InfoKind.CONFIG, "conf"),
        Info(InfoKind.SECRET, "password"),
        Info(InfoKind.SECRET, "hub"),
    ]


def served(tx: Transaction, infos: Sequence[Info] = ()) -> list[dict[str, object]]:
    """The bodies for the node, without their heads."""
    content = deliver(tx, NODE, infos or everything(), presign=cannot_sign).content
    return list(content["values"])


def desired(tx: Transaction) -> dict[str, str]:
    return {app.name: app.version for app in apps_of_node(tx, NAMESPACE, "n")}


async def test_a_node_keeps_version_and_bodies_until_it_is_admitted(store: Store) -> None:
    def story(tx: Transaction) -> tuple[list[dict[str, object]], str]:
        plant(tx)
        govern(tx)
        before, base = served(tx), version(tx)
        update_config(tx, NAMESPACE, "conf", config_spec("new"), now=LATER)
        put_rollout(tx, base)
        update_secret(tx, NAMESPACE, "password", SecretSpec({"k": "new"}), now=LATER)
        put_rollout(tx, base)
        refresh_registry(tx, NAMESPACE, "hub", "new", now=LATER)
        put_rollout(tx, base)
        spec = app_spec(image="nginx:2", configs=["conf"], secrets=["password"], registries=["hub"])
        update_app(tx, NAMESPACE, "web", spec, now=LATER)
        put_rollout(tx, base)
        return before, base

    before, base = await store.write(story)

    def waits(tx: Transaction) -> None:
        assert desired(tx) == {"web": base}
        assert served(tx) == before

    await store.read(waits)

    def admit(tx: Transaction) -> list[dict[str, object]]:
        assign(tx, version(tx), base)
        return served(tx)

    after = await store.write(admit)
    assert desired_versions(after) == [await store.read(version)]
    assert all(new != old for new, old in zip(after, before, strict=True))

    def bring_back(tx: Transaction) -> list[dict[str, object]]:
        assign(tx, base, version(tx))
        return served(tx)

    assert await store.write(bring_back) == before


def desired_versions(bodies: Sequence[dict[str, object]]) -> list[object]:
    return [body["version"] for body in bodies if body["kind"] == "app"]


async def test_an_update_is_sent_to_admitted_nodes_alone(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        create_node(tx, NAMESPACE, "m", NodeSpec({"role": "gateway"}), now=NOW)
        govern(tx)
        base = version(tx)
        held = {"apps": [{"name": "web", "version": base}]}
        for name in "nm":
            report = read_report(held, Order())
            reply = receive_report(tx, f"{NAMESPACE}.{name}", report, "json", now=NOW)
            assert not reply.delta
        update_app(tx, NAMESPACE, "web", app_spec(image="nginx:2"), now=LATER)
        put_rollout(tx, base)
        nodes = [(NAMESPACE, name) for name in "nm"]
        assert deltas_for(tx, nodes, now=NOW) == []
        assign(tx, version(tx), base, "m")
        (update,) = deltas_for(tx, nodes, now=NOW)
        assert update.node_id == f"{NAMESPACE}.m"
        assert update.desired.apps == (AppVersion("web", version(tx)),)
        reply = receive_report(tx, NODE, read_report(held, Order()), "json", now=LATER)
        assert not reply.delta

    await store.write(story)


async def test_apps_of_one_node_may_use_a_config_at_different_versions(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        create_app(tx, NAMESPACE, "other", app_spec(configs=["conf"]), now=NOW)
        base, old = version(tx), tx.resource_version(CONFIG, NAMESPACE, "conf")
        update_config(tx, NAMESPACE, "conf", config_spec("new"), now=LATER)
        put_rollout(tx, base)
        new = tx.resource_version(CONFIG, NAMESPACE, "conf")
        asked = [Info(InfoKind.CONFIG, "conf", one) for one in (old, new, old)]
        texts = [(body["version"], body["value"]["data"]) for body in served(tx, asked)]  # type: ignore[index]
        assert texts == [(old, {"a.conf": "old"}), (new, {"a.conf": "new"})]
        web, other = served(tx, [Info(InfoKind.APP, "web"), Info(InfoKind.APP, "other")])
        used = [
            next(one["config"]["version"] for one in body["value"]["volumes"] if "config" in one)  # type: ignore[index]
            for body in (web, other)
        ]
        assert used == [old, new]

    await store.write(story)


async def test_a_node_to_which_no_version_is_assigned_gets_nothing_of_the_app(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        put_rollout(tx, "")
        assert desired(tx) == {}
        with pytest.raises(NotFound):
            served(tx, [Info(InfoKind.APP, "web")])
        with pytest.raises(NotFound):
            served(tx, [Info(InfoKind.SECRET, "password")])
        assign(tx, version(tx), "")
        assert desired(tx) == {"web": version(tx)}
        assert served(tx)

    await store.write(story)


async def test_the_selector_of_the_version_for_a_node_counts(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        base = version(tx)
        update_app(tx, NAMESPACE, "web", app_spec("role=camera"), now=LATER)
        put_rollout(tx, base)
        assert desired(tx) == {"web": base}
        assign(tx, version(tx), base)
        assert desired(tx) == {}

    await store.write(story)


async def test_what_a_rollout_may_return_to_is_not_deleted(store: Store) -> None:
    def begin(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        base = version(tx)
        update_app(tx, NAMESPACE, "web", app_spec(secrets=["password"]), now=LATER)
        put_rollout(tx, base)

    await store.write(begin)
    with pytest.raises(InUse) as refused:
        await store.write(lambda tx: delete_config(tx, NAMESPACE, "conf"))
    assert "rollout web." in str(refused.value)

    def finish(tx: Transaction) -> None:
        rollout = tx.newest_rollout(NAMESPACE, "web")
        assert rollout is not None
        # A node that was skipped keeps its version, and what that uses.
        assign(tx, rollout.base, "")
        tx.put_rollout(msgspec.structs.replace(rollout, state=RolloutState.DONE))
        before = served(tx)
        delete_config(tx, NAMESPACE, "conf")
        assert served(tx) == before
        tx.delete_assignments(NAMESPACE, "web")
        unpin_unused(tx, NAMESPACE, "web")
        assert tx.pinned_app(NAMESPACE, "web", rollout.base) is None

    await store.write(finish)


async def test_nothing_is_left_of_an_app_that_is_deleted(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        base = version(tx)
        update_app(tx, NAMESPACE, "web", app_spec(), now=LATER)
        put_rollout(tx, base)
        assign(tx, version(tx), base)
        delete_app(tx, NAMESPACE, "web")
        assert desired(tx) == {}
        assert tx.pinned_users(NAMESPACE, SECRET, "password") == []
        assert tx.assigned_versions(NAMESPACE, "n") == {}
        tx.delete_resource(RolloutPolicy.kind, NAMESPACE, "careful")
        create_app(tx, NAMESPACE, "web", app_spec(), now=LATER)
        assert desired(tx) == {"web": version(tx)}

    await store.write(story)


async def test_versions_of_apps_without_a_policy_are_not_kept(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        before = version(tx)
        update_app(tx, NAMESPACE, "web", app_spec(), now=LATER)
        assert tx.pinned_app(NAMESPACE, "web", before) is None

    await store.write(story)


async def test_a_version_keeps_what_it_used_when_the_app_alone_gets_it_again(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        before, base = served(tx), version(tx)
        update_config(tx, NAMESPACE, "conf", config_spec("new"), now=LATER)
        rollout = put_rollout(tx, base)
        tx.put_rollout(msgspec.structs.replace(rollout, state=RolloutState.ROLLED_BACK))
        older = tx.pinned_app(NAMESPACE, "web", base)
        assert older is not None
        tx.put_resource(older)
        assert version(tx) == base
        assert served(tx) == before

    await store.write(story)


async def test_an_app_gets_an_earlier_version_again_with_all_that_it_used(store: Store) -> None:
    attempt = Attempt(SERVER, "rollout.rollback", LATER, NAMESPACE, "web", reason="2 nodes failed")

    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        create_app(tx, NAMESPACE, "other", app_spec(configs=["conf"]), now=NOW)
        other = tx.app(NAMESPACE, "other")
        before, base = served(tx), version(tx)
        update_config(tx, NAMESPACE, "conf", config_spec("new"), now=LATER)
        update_app(tx, NAMESPACE, "web", app_spec(image="nginx:2"), now=LATER)
        end_rollout(tx)
        delete_secret(tx, NAMESPACE, "password")
        put_rollout(tx, base)
        target = version(tx)
        restored = restore_version(tx, NAMESPACE, "web", base, attempt)
        assert (restored.version, restored.spec) == (base, SPEC)
        assert tx.app(NAMESPACE, "web") == restored
        assert served(tx) == before
        # What a node that is not back yet runs is kept, and it is not assigned to others.
        assert tx.pinned_app(NAMESPACE, "web", target) is not None
        assert desired(tx)["web"] == base
        again = tx.app(NAMESPACE, "other")
        assert other is not None
        assert again is not None
        assert int(again.version) > int(target) > int(other.version)
        assert restore_version(tx, NAMESPACE, "web", base, attempt) == restored
        with pytest.raises(NotFound):
            restore_version(tx, NAMESPACE, "web", "999", attempt)

    await store.write(story)

    def entries(tx: Transaction) -> list[tuple[str, str, str]]:
        found = tx.audit_links(AuditFilter(NAMESPACE), below=2**62, limit=10)
        own = [one.entry.attempt for one in found]
        return [(one.action, one.name, one.reason) for one in own]

    assert sorted(await store.read(entries)) == [
        ("app.undo", "web", "2 nodes failed"),
        ("config.undo", "conf", "2 nodes failed"),
        ("secret.undo", "password", "2 nodes failed"),
    ]
    newest = await store.read(
        lambda tx: list_revisions(tx, Thing("app", NAMESPACE, "web"), limit=1, after=None)
    )
    assert newest.page.items[0].action is RevisionAction.UNDO


async def test_a_name_that_is_taken_by_now_is_not_taken_back(store: Store) -> None:
    def story(tx: Transaction) -> None:
        plant(tx)
        govern(tx)
        base = version(tx)
        update_app(tx, NAMESPACE, "web", app_spec(), now=LATER)
        end_rollout(tx)
        delete_secret(tx, NAMESPACE, "password")
        other = RegistrySpec("hub.example.com", "puller", "text")
        create_registry(tx, NAMESPACE, "password", other, now=LATER)
        attempt = Attempt(SERVER, "rollout.rollback", LATER, NAMESPACE, "web")
        with pytest.raises(InUse):
            restore_version(tx, NAMESPACE, "web", base, attempt)

    await store.write(story)
