"""What one process of a stock agent reports, and what the other."""

from typing import Any

import msgspec

from cloud.core.app import AppVersion
from cloud.core.report import Order, Report, read_report
from cloud.core.sources import lacks_core, with_core_of, with_system_apps_of

CORE = {"name": "baetyl-core-x1", "version": "1"}
BROKER = {"name": "baetyl-broker-x1", "version": "1"}


def read(content: Any) -> Report:
    return read_report(content, Order("r", 1))


def document(report: Report) -> Any:
    return msgspec.json.decode(report.document)


def test_the_core_is_kept_while_the_core_does_not_see_itself() -> None:
    stats = {**CORE, "status": "Running"}
    last = read({"sysapps": [CORE, BROKER], "sysappstats": [stats], "apps": []})
    new = read({"sysapps": [BROKER], "sysappstats": [], "apps": [{"name": "a", "version": "1"}]})
    assert lacks_core(new)
    merged = with_core_of(last, new)
    assert document(merged) == {
        "sysapps": [BROKER, CORE],
        "sysappstats": [stats],
        "apps": [{"name": "a", "version": "1"}],
    }
    assert merged.reported.sysapps == (AppVersion(**BROKER), AppVersion(**CORE))
    assert merged.reported.apps == new.reported.apps
    assert merged.order == new.order


def test_a_core_that_sees_itself_is_believed() -> None:
    newer = {**CORE, "version": "2"}
    report = read({"sysapps": [newer], "sysappstats": [newer]})
    assert not lacks_core(report)
    assert with_core_of(read({"sysapps": [CORE], "sysappstats": [CORE]}), report) is report


def test_nothing_is_carried_over_where_there_was_no_core() -> None:
    report = read({"sysapps": []})
    assert with_core_of(read({"sysapps": [BROKER]}), report) is report
    assert with_core_of(read({"description": "baetyl-core"}), report) is report


def test_the_init_process_reports_system_apps_only() -> None:
    core = read({"node": {"hostname": "h"}, "apps": [], "sysapps": [BROKER], "sysappstats": []})
    init = read({"node": {}, "apps": [BROKER], "sysapps": [CORE], "sysappstats": None})
    merged = with_system_apps_of(init, core)
    assert document(merged) == {**document(core), "sysapps": [CORE]}
    assert merged.reported.apps == ()
    assert merged.reported.sysapps == (AppVersion(**CORE),)
