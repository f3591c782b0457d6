"""What SQLite is told, as PostgreSQL wants to hear it; pure.

Statements are written once, in `sql` and `migrations`. This turns what differs: parameters, three
functions, types, and the collation that makes text sort bytewise on both.
"""

import re
from functools import lru_cache

_NAME = r"[a-z_][a-z_0-9]*"
_PARAMETER = re.compile(rf"(?<![:\w]):({_NAME})")
_INSTR = re.compile(r"\binstr\(")
_JSON_EACH = re.compile(rf"\bjson_each\((:{_NAME})\) AS ({_NAME})")
_EXISTS = re.compile(r"\bEXISTS \(")
_TAKEN = "ORDER BY namespace, name LIMIT :limit)"
_ANY_NUMBER = re.compile(r"\bLIMIT :limit\b")
_TYPES = {"INTEGER": "BIGINT", "TEXT": 'TEXT COLLATE "C"'}
_TYPE = re.compile(r"\b(INTEGER|TEXT)\b")
_TABLE_OPTIONS = re.compile(r"\)\s*(STRICT|WITHOUT ROWID)(\s*,\s*(STRICT|WITHOUT ROWID))*\s*$")
_TRIGGER = re.compile(
    rf"\s*CREATE TRIGGER ({_NAME}) BEFORE (UPDATE|DELETE|INSERT) ON ({_NAME})"
    r"(?:\s+WHEN (.+?))?\s+BEGIN SELECT RAISE\(ABORT, ('[^']+')\); END\s*",
    re.DOTALL,
)
_TRIGGER_FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF {condition} THEN RAISE EXCEPTION {message}; END IF;
    IF TG_OP = 'DELETE' THEN RETURN old; END IF;
    RETURN new;
END $$;
CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()
"""


@lru_cache(maxsize=2048)
def statement(text: str) -> str:
    """*text* for PostgreSQL, with the parameters of psycopg.

    >>> statement("SELECT name FROM batch WHERE instr(name, :part) > 0")
    'SELECT name FROM batch WHERE strpos(name, %(part)s) > 0'
    """
    text = text.replace("%", "%%")
    if "given.key" in text:
        text = _JSON_EACH.sub(r"json_each_text(CAST(\1 AS json)) AS \2(key, value)", text)
    else:
        text = _JSON_EACH.sub(r"json_array_elements_text(CAST(\1 AS json)) AS \2(value)", text)
    text = _INSTR.sub("strpos(", text)
    # Not as a join: the planner would think for minutes about an order of several hundred.
    text = _EXISTS.sub("TRUE = EXISTS (", text)
    # Of several servers that take at a time each gets others.
    text = text.replace(_TAKEN, f"{_TAKEN[:-1]} FOR UPDATE SKIP LOCKED)")
    text = _ANY_NUMBER.sub("LIMIT NULLIF(CAST(:limit AS bigint), -1)", text)
    return _PARAMETER.sub(r"%(\1)s", text)


def definition(text: str) -> str:
    """A statement of `migrations` for PostgreSQL; every text sorts bytewise there too.

    >>> definition("CREATE TABLE a (id INTEGER NOT NULL PRIMARY KEY, name TEXT) STRICT")
    'CREATE TABLE a (id BIGINT NOT NULL PRIMARY KEY, name TEXT COLLATE "C")'
    """
    trigger = _TRIGGER.fullmatch(text)
    if trigger is not None:
        name, event, table, condition, message = trigger.groups()
        return _TRIGGER_FUNCTION.format(
            name=name, event=event, table=table, condition=condition or "true", message=message
        )
    if text.lstrip().startswith(("CREATE TABLE", "ALTER TABLE")):
        text = _TABLE_OPTIONS.sub(")", text.rstrip())
        text = _TYPE.sub(lambda found: _TYPES[found[1]], text)
    return text
