"""A kind that is registered and nothing else has all that kinds have."""

import re

import httpx

from cloud.core.mask import MASK
from tests.end_to_end.conftest import Server, wait_for
from tests.kinds.conftest import CODE, call, site
from tests.repo.tracked import ROOT

NORTH = {"name": "north", "address": "1 Harbour Road", "doorCode": CODE, "labels": {"area": "a"}}


def test_it_is_created_read_changed_patched_and_deleted(sites: httpx.Client) -> None:
    created = call(sites, "POST", "/v1/sites", NORTH)
    assert (created["address"], created["doorCode"]) == ("1 Harbour Road", MASK)
    refused = sites.post("/v1/sites", json=NORTH)
    assert (refused.status_code, refused.json()["field"]) == (400, "name")
    refused = sites.post("/v1/sites", json={"name": "x", "address": " "})
    assert (refused.status_code, refused.json()["field"]) == (400, "address")

    shown = sites.get("/v1/sites/north")
    tag = shown.headers["etag"]
    again = sites.get("/v1/sites/north", headers={"If-None-Match": tag})
    assert again.status_code == 304
    change = {**shown.json(), "address": "2 Harbour Road"}
    changed = call(sites, "PUT", "/v1/sites/north", change, **{"If-Match": tag})
    assert changed["version"] != created["version"]
    late = sites.put("/v1/sites/north", json=change, headers={"If-Match": tag})
    assert late.status_code == 412
    patched = call(sites, "PATCH", "/v1/sites/north", {"description": "at the quay"})
    assert (patched["address"], patched["description"]) == ("2 Harbour Road", "at the quay")
    call(sites, "DELETE", "/v1/sites/north")
    assert sites.get("/v1/sites/north").status_code == 404


def test_it_is_listed_in_pages_and_selected_by_labels(sites: httpx.Client) -> None:
    for number in range(5):
        call(sites, "POST", "/v1/sites", site(f"s{number}", labels={"half": str(number % 2)}))
    first = call(sites, "GET", "/v1/sites?limit=3&selector=half")
    token = first["listOptions"]["continue"]
    second = call(sites, "GET", f"/v1/sites?limit=3&selector=half&continue={token}")
    names = [item["name"] for page in (first, second) for item in page["items"]]
    assert (names, first["total"]) == (["s0", "s1", "s2", "s3", "s4"], 5)
    odd = call(sites, "GET", "/v1/sites?selector=half%3D1")
    assert [item["name"] for item in odd["items"]] == ["s1", "s3"]
    one = call(sites, "GET", "/v1/sites?fieldSelector=metadata.name%3Ds2")
    assert [item["name"] for item in one["items"]] == ["s2"]


def test_a_dry_run_changes_nothing_and_shows_no_secret(sites: httpx.Client) -> None:
    call(sites, "POST", "/v1/sites", site("dry", doorCode=CODE))
    change = site("dry", address="elsewhere", doorCode=f"{CODE} 2")
    plan = call(sites, "PUT", "/v1/sites/dry?dryRun=true", change)
    assert plan["action"] == "update"
    assert {one["path"]: one["after"] for one in plan["changes"]} == {
        "address": "elsewhere",
        "doorCode": MASK,
    }
    assert call(sites, "GET", "/v1/sites/dry")["address"] == "1 dry road"


def test_it_has_revisions_and_is_undone(sites: httpx.Client) -> None:
    for method, path, address in (
        ("POST", "/v1/sites", "first"),
        ("PUT", "/v1/sites/undone", "second"),
    ):
        call(sites, method, path, {"name": "undone", "address": address, "doorCode": CODE})
    listed = call(sites, "GET", "/v1/sites/undone/revisions")
    assert [one["action"] for one in listed["items"]] == ["update", "create"]
    diff = call(sites, "GET", "/v1/sites/undone/diff")
    assert [(one["path"], one["before"]) for one in diff["changes"]] == [("address", "first")]
    assert call(sites, "GET", "/v1/sites/undone/revisions/1")["content"]["doorCode"] == MASK
    assert call(sites, "POST", "/v1/sites/undone/undo")["address"] == "first"
    call(sites, "DELETE", "/v1/sites/undone")
    back = call(sites, "POST", "/v1/sites/undone/undo", {"revision": 2})
    assert (back["address"], back["doorCode"]) == ("second", MASK)


def test_changes_are_entries_of_the_audit_log_and_events(sites: httpx.Client) -> None:
    reason = {"X-Edgesync-Reason": "a new harbour"}
    call(sites, "POST", "/v1/sites", site("seen", doorCode=CODE), **reason)
    call(sites, "PATCH", "/v1/sites/seen", {"doorCode": f"{CODE} 2"})
    entries = call(sites, "GET", "/v1/audit?kind=site&name=seen")["items"]
    assert [one["action"] for one in entries] == ["site.update", "site.create"]
    assert entries[1]["reason"] == "a new harbour"
    assert entries[0]["before"]["doorCode"] == entries[0]["after"]["doorCode"] == MASK
    events = wait_for(
        lambda: call(sites, "GET", "/v1/events?type=site.*&name=seen")["items"][1:],
        "the events",
    )
    assert [one["type"] for one in events] == ["site.created"]


def test_a_masked_value_stands_for_the_one_that_is_stored(
    sites: httpx.Client, kind_server: Server
) -> None:
    created = call(sites, "POST", "/v1/sites", site("masked", doorCode=CODE))
    after = call(sites, "PUT", "/v1/sites/masked", {**created, "description": "d"})
    assert call(sites, "GET", "/v1/sites/masked/diff")["changes"] == [
        {"path": "description", "before": "", "after": "d"}
    ]
    assert after["doorCode"] == MASK
    refused = sites.post("/v1/sites", json=site("new", doorCode=MASK))
    assert (refused.status_code, refused.json()["field"]) == (400, "doorCode")
    stored = (kind_server.data_dir / "edgesync.db").read_bytes()
    wal = kind_server.data_dir / "edgesync.db-wal"
    assert b"masked" in stored + (wal.read_bytes() if wal.exists() else b"")
    assert CODE.encode() not in stored + (wal.read_bytes() if wal.exists() else b"")


def test_roles_admit_as_for_every_kind(sites: httpx.Client) -> None:
    token = call(sites, "POST", "/v1/tokens", {"name": "looker", "role": "viewer"})["token"]
    viewer = {"Authorization": f"Bearer {token}"}
    assert sites.get("/v1/sites", headers=viewer).status_code == 200
    assert sites.post("/v1/sites", json=site("no"), headers=viewer).status_code == 403


def test_the_document_of_the_api_describes_it(sites: httpx.Client) -> None:
    document = call(sites, "GET", "/openapi.json")
    assert {path for path in document["paths"] if "sites" in path} == {
        "/v1/sites",
        "/v1/sites/{name}",
        "/v1/sites/{name}/revisions",
        "/v1/sites/{name}/revisions/{revision}",
        "/v1/sites/{name}/diff",
        "/v1/sites/{name}/undo",
    }
    assert "site.undo" in str(document)
    assert "Site" in [one["name"] for one in call(sites, "GET", "/v1/kinds")["items"]]


def test_nothing_else_knows_it() -> None:
    packages = ("cloud", "edgesync", "broker", "certs")
    files = [path for name in packages for path in (ROOT / name).rglob("*") if path.is_file()]
    texts = [path.read_text("utf-8") for path in files if path.suffix in {".py", ".js"}]
    assert len(texts) > 100
    assert not any(re.search(r"/v1/sites|doorCode|door_code", text) for text in texts)
