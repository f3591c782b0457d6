"""Golden pairs: what SQLite is told and what PostgreSQL hears."""

import pytest
from cloud.store.dialect import definition, statement


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (
            "SELECT a FROM t WHERE b = :b AND c = :b_2",
            "SELECT a FROM t WHERE b = %(b)s AND c = %(b_2)s",
        ),
        ("SELECT '5 %' FROM t", "SELECT '5 %%' FROM t"),
        ("SELECT CAST(:a AS bigint)::text", "SELECT CAST(%(a)s AS bigint)::text"),
        ("WHERE instr(name, :part) > 0", "WHERE strpos(name, %(part)s) > 0"),
        (
            "SELECT given.value FROM json_each(:values_1) AS given",
            "SELECT given.value FROM json_array_elements_text(CAST(%(values_1)s AS json))"
            " AS given(value)",
        ),
        (
            "SELECT given.key, given.value FROM json_each(:names) AS given",
            "SELECT given.key, given.value FROM json_each_text(CAST(%(names)s AS json))"
            " AS given(key, value)",
        ),
        ("WHERE NOT EXISTS (SELECT 1)", "WHERE NOT TRUE = EXISTS (SELECT 1)"),
        ("ORDER BY a LIMIT :limit", "ORDER BY a LIMIT NULLIF(CAST(%(limit)s AS bigint), -1)"),
    ],
)
def test_a_statement(told: str, heard: str) -> None:
    assert statement(told) == heard


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (
            "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT NOT NULL) STRICT, WITHOUT ROWID",
            'CREATE TABLE a (id BIGINT PRIMARY KEY, b TEXT COLLATE "C" NOT NULL)',
        ),
        ("ALTER TABLE a ADD COLUMN c TEXT", 'ALTER TABLE a ADD COLUMN c TEXT COLLATE "C"'),
        ("CREATE INDEX i ON a (b)", "CREATE INDEX i ON a (b)"),
        ("INSERT INTO a VALUES ('a TEXT')", "INSERT INTO a VALUES ('a TEXT')"),
    ],
)
def test_a_definition(told: str, heard: str) -> None:
    assert definition(told) == heard


def test_a_trigger_becomes_a_function_and_a_trigger() -> None:
    told = """
    CREATE TRIGGER stays BEFORE DELETE ON a
    WHEN old.id > (SELECT max(id) FROM b)
    BEGIN SELECT RAISE(ABORT, 'it stays'); END
    """
    heard = definition(told)
    assert "IF old.id > (SELECT max(id) FROM b) THEN RAISE EXCEPTION 'it stays'" in heard
    assert "CREATE TRIGGER stays BEFORE DELETE ON a FOR EACH ROW" in heard
