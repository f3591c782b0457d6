"""The tables of the audit log, and the triggers that let it only grow."""

from cloud.store.tables.definition import definition, trigger

AUDIT = (
    definition("""
    CREATE TABLE audit_entry (
        number {integer} NOT NULL PRIMARY KEY,
        time {integer} NOT NULL,
        actor_kind {text} NOT NULL,
        actor_name {text} NOT NULL,
        actor_namespace {text} NOT NULL,
        action {text} NOT NULL,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        address {text} NOT NULL,
        request_id {text} NOT NULL,
        reason {text} NOT NULL,
        outcome {text} NOT NULL,
        before {text} NOT NULL,
        after {text} NOT NULL,
        also {text} NOT NULL,
        code {text} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX audit_entry_of_thing ON audit_entry (namespace, name, number)"),
    definition("CREATE INDEX audit_entry_of_actor ON audit_entry (actor_name, number)"),
    # The last entry, and the last of those that are gone: `number` and `gone`.
    definition("""
    CREATE TABLE audit_head (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        number {integer} NOT NULL,
        code {text} NOT NULL,
        gone {integer} NOT NULL,
        gone_code {text} NOT NULL,
        seal {text} NOT NULL
    ){strict}
    """),
    definition("""
    INSERT INTO audit_head (id, number, code, gone, gone_code, seal) VALUES (1, 0, '', 0, '', '')
    """),
    trigger(
        "audit_entry_never_changes",
        before="UPDATE",
        on="audit_entry",
        message="the audit log only grows",
    ),
    trigger(
        "audit_entry_goes_by_age",
        before="DELETE",
        on="audit_entry",
        when="old.number > (SELECT gone FROM audit_head)",
        message="the audit log only grows",
    ),
    trigger(
        "audit_entry_comes_last",
        before="INSERT",
        on="audit_entry",
        when="new.number <> (SELECT number FROM audit_head)",
        message="the audit log only grows",
    ),
    trigger(
        "audit_head_goes_up",
        before="UPDATE",
        on="audit_head",
        when="new.number < old.number OR new.gone < old.gone OR new.gone > new.number",
        message="the audit log only grows",
    ),
    trigger(
        "audit_head_stays",
        before="DELETE",
        on="audit_head",
        message="the audit log only grows",
    ),
)
