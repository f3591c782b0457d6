"""What a running server tells at `/metrics`, and that docs, dashboard and alerts speak of that."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    make_app,
    make_batch,
    running_server,
)
from tests.end_to_end.node import connected

DOCS = Path(__file__).parents[2] / "docs"
MONITORING = DOCS / "monitoring"

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_ASKED = re.compile(r"\b((?:edgesync|process)_[a-z_]+)\b(\{[^}]*\})?")
_OF_THE_SYSTEM = frozenset({"le", "job", "instance"})


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Metric]:
    """The metrics after a node has converged and an unknown device was refused."""
    with running_server(tmp_path_factory.mktemp("metrics") / "data") as server:
        with server.client() as api:
            identity = activate(server, make_batch(api, labels={"site": "a"}), "F1")
            make_app(api, selector="site=a")
        with server.devices() as devices:
            refused = devices.post("/v1/active", json={"batchName": "b1", "fingerprintValue": "F9"})
            assert refused.status_code != 200
        with connected(server, identity) as node:
            (app,) = node.report(apps=[])["content"]["apps"]
            node.report(apps=[app], appstats=[{**app, "status": "Running"}])
            return _scrape(server, identity)


def _scrape(server: Server, identity: Identity) -> Mapping[str, Metric]:
    with server.client() as api:
        state = api.get(f"/v1/nodes/{identity.name}").json()["state"]
        assert (state["name"], state["connected"]) == ("online", True)
        answer = api.get("/metrics")
        assert answer.status_code == 200
        return {family.name: family for family in text_string_to_metric_families(answer.text)}


def names_of(family: Metric) -> Iterator[str]:
    """Every name that a query can use for *family*."""
    for suffix in _SUFFIXES.get(family.type, ("",)):
        yield family.name + suffix


def value(families: Mapping[str, Metric], sample: str, **labels: str) -> float:
    (found,) = (
        each.value
        for family in families.values()
        for each in family.samples
        if each.name == sample and each.labels == labels
    )
    return found


def test_events_are_counted(families: Mapping[str, Metric]) -> None:
    assert value(families, "edgesync_nodes", state="online") == 1
    assert value(families, "edgesync_connections") == 1
    reports = {"link": "mqtt", "channel": "report", "outcome": "ok"}
    assert value(families, "edgesync_messages_total", **reports) == 2
    assert value(families, "edgesync_ingest_lag_seconds_count") == 2
    assert value(families, "edgesync_deploys_total", outcome="converged") == 1
    assert 0 < value(families, "edgesync_convergence_seconds_sum") < 60
    assert value(families, "edgesync_activations_total", result="ok") == 1
    assert value(families, "edgesync_node_certificates", left="90d") == 1
    assert value(families, "process_resident_memory_bytes") > 1e7
    route = {"listener": "activation", "method": "POST", "route": "/v1/active", "status": "2xx"}
    assert value(families, "edgesync_http_requests_total", **route) == 1
    results = {sample.labels.get("result") for sample in families["edgesync_activations"].samples}
    assert len(results - {None, "ok"}) == 1


def test_the_table_in_the_docs_has_every_metric_with_its_labels(
    families: Mapping[str, Metric],
) -> None:
    page = (DOCS / "operations/monitor.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## Metrics\n")
    section, _, _ = section.partition("\n## ")
    rows = re.findall(r"^\| `([a-z_]+)(?:\{([a-z_, ]+)\})?` \| (\w+) \|", section, flags=re.M)
    documented = {name: (kind, set(labels.split(", ")) - {""}) for name, labels, kind in rows}
    assert len(documented) == len(rows)
    exposed = {}
    for family in families.values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        exposed[name] = family.type
        labels = {label for sample in family.samples for label in sample.labels} - _OF_THE_SYSTEM
        if family.samples:
            assert documented[name][1] == labels, name
    assert {name: kind for name, (kind, _) in documented.items()} == exposed


def test_every_bound_that_is_counted_stands_in_the_docs(families: Mapping[str, Metric]) -> None:
    page = (DOCS / "limits.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"\|([^|]*)\|$", page, flags=re.M))))
    bounds = {sample.labels["bound"] for sample in families["edgesync_limits_refusals"].samples}
    assert bounds <= named


def expressions() -> Iterator[tuple[str, str]]:
    """Each query of the alerts and of the dashboard, under the name of what it is for."""
    rules: Any = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard: Any = json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


def test_alerts_and_dashboard_ask_for_metrics_and_labels_that_there_are(
    families: Mapping[str, Metric],
) -> None:
    known = {name: family for family in families.values() for name in names_of(family)}
    asked = set()
    for title, expression in expressions():
        for name, selector in _ASKED.findall(expression):
            asked.add(name)
            assert name in known, (title, name)
            labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector)) - _OF_THE_SYSTEM
            have = {label for sample in known[name].samples for label in sample.labels}
            assert labels <= have, (title, name)
    left_out = {
        family.name
        for family in families.values()
        if family.name.startswith("edgesync_") and asked.isdisjoint(names_of(family))
    }
    assert left_out == set()


def test_the_page_on_monitoring_explains_every_alert() -> None:
    page = (MONITORING / "README.md").read_text(encoding="utf-8")
    rules: Any = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
    named = re.findall(r"^\| `(Edgesync\w+)` \|", page, flags=re.M)
    assert named == [rule["alert"] for rule in alerts]


def test_the_dashboard_can_be_imported_with_any_data_source() -> None:
    dashboard: Any = json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))
    assert dashboard["title"]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    own = {"type": "prometheus", "uid": "${datasource}"}
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"] == own for panel in panels)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_metrics_name_no_node(families: Mapping[str, Metric]) -> None:
    values = {
        text
        for family in families.values()
        for sample in family.samples
        for text in sample.labels.values()
    }
    assert not {text for text in values if "F1" in text or "F9" in text or "127.0.0.1" in text}
