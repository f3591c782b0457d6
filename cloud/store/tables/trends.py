"""The table of trends: how many nodes each namespace had, and how many reports."""

from cloud.store.tables.definition import definition

TRENDS = (
    # `step` is seconds, `slot` the number of the step since 1970; `samples` how many minutes an
    # hour has counted.
    definition("""
    CREATE TABLE trend_point (
        step {integer} NOT NULL,
        slot {integer} NOT NULL,
        namespace {text} NOT NULL,
        nodes {integer} NOT NULL,
        online {integer} NOT NULL,
        converged {integer} NOT NULL,
        reports {integer} NOT NULL,
        samples {integer} NOT NULL,
        PRIMARY KEY (step, slot, namespace)
    ){strict_by_key}
    """),
    definition("CREATE INDEX trend_of_namespace ON trend_point (namespace, step, slot)"),
)
