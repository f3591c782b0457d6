import json
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.kinds import APP, CONFIG, NODE, SECRET
from cloud.http.yaml_text import decode_yaml
from edgesync.cli.output import yaml_of
from edgesync.cli.resources.manifests import read_manifests, read_text

APP_TEXT = """\
# a comment
kind: App
name: web
selector: role=gateway
services:
  - name: web
    image: nginx
    replicas: 2
"""


def complaint(text: str) -> str:
    with pytest.raises(click.ClickException) as raised:
        list(read_text(text, "f.yaml"))
    return raised.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Nod\nname: a\n", 'f.yaml, document 1, line 1: unknown kind "Nod"; kinds: '),
        ("kind: Node\n---\nname: a\n", "f.yaml, document 1, line 1: missing `name:`"),
        ("kind: Node\nname: a\n---\nname: b\n", "f.yaml, document 2, line 4: missing `kind:`"),
        ("[1]", "f.yaml, document 1, line 1: missing `kind:`"),
        (APP_TEXT, "f.yaml, document 1, line 8: services[0].replicas: unknown field"),
        (
            "kind: Node\nname: a\nlabels:\n  a: 1\n",
            "line 4: labels.a: expected a string, ",
        ),
        ("kind: Node\nname: a\nnamespace: ''\n", "line 3: namespace: "),
        ("kind: Node\nname: a\nname: b\n", "line 3: 'name' is duplicated"),
        ("kind: Node\nname: a\nlabels: &l {}\nannotations: *l\n", "line 3: aliases are not"),
        ("kind: Node\nname: a\ndescription: .nan\n", "line 3: '.nan' cannot be expressed in JSON"),
        ("kind: Node\nname: !!binary aGk=\n", "line 2: 'aGk=' cannot be expressed in JSON"),
        ("kind: Node\nname: !!python/name:os.system x\n", "cannot be expressed in JSON"),
        ("kind: Node\n? [a]\n: b\n", "line 2: a key must be a string"),
        ("kind: Node\nname: [a\n", "f.yaml: line 3, column 1: "),
        ("kind: Node\nname: \x00\n", "f.yaml: "),
        ("kind: Secret\nname: a\n", "data: missing"),
        ("kind: SystemApps\nname: a\n", "line 2: SystemApps takes no name"),
        ("kind: Batch\nname: a\nlabels: {edgesync.io/owner: x}\n", "each of its nodes"),
        ("kind: List\nitems: 1\n", "line 2: a List needs `items:`"),
        (
            "kind: List\nitems:\n- kind: Node\n  name: a\n- kind: Nod\n",
            'line 5: unknown kind "Nod"',
        ),
        ("[" * 5000, "f.yaml: "),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, expected: str) -> None:
    assert expected in complaint(text)


def test_documents_come_in_the_order_in_which_they_can_be_made(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "a.yaml").write_text(APP_TEXT.replace("replicas", "replica") + "---\n---\n# none\n")
    (folder / "below").mkdir()
    (folder / "below" / "b.yml").write_text("kind: config\nname: c\n---\nkind: NODE\nname: n\n")
    (folder / "c.json").write_text(json.dumps({"kind": "Secret", "name": "s", "data": {}}))
    (folder / "notes.txt").write_text("no manifest")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.yaml").write_text("no manifest")
    found = read_manifests([str(folder)])
    assert [one.kind for one in found] == [SECRET, CONFIG, NODE, APP]
    assert found[3].place.of("services[0].image").endswith("a.yaml, document 1, line 7")


def test_one_thing_is_described_once(tmp_path: Path) -> None:
    text = "kind: Node\nname: a\n---\nkind: node\nname: a\n"
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(
        click.ClickException, match=r"line 4: node/a is already defined in .*line 1"
    ):
        read_manifests([str(file)])
    # In another namespace it is another thing.
    file.write_text(text + "namespace: shop\n")
    assert len(read_manifests([str(file)])) == 2


def test_what_the_server_shows_beside_is_left_out() -> None:
    text = "kind: Node\nname: a\nready: true\nstate: {name: online}\ncreateTime: 2026-01-01\n"
    (one,) = read_text(text, "f")
    assert one.body == {"name": "a"}


def test_words_mean_what_they_mean_to_the_server() -> None:
    labels = "{since: 2026-01-01, country: no, at: 12:30, 7: seven, <<: x}"
    (one,) = read_text(f"kind: Node\nname: a\nlabels: {labels}\n", "f")
    assert one.body["labels"] == decode_yaml(labels.replace("<<", "'<<'").encode())
    (two,) = read_text("kind: Guard\nmaxShare: 5e-1\nminNodes: 010\n", "f")
    assert two.body == {"maxShare": 0.5, "minNodes": 10}


@given(
    st.dictionaries(st.text("abc\"'\\\t /é😀\u2028", min_size=1), st.text(max_size=20), max_size=4)
)
def test_json_is_read_as_json(data: dict[str, str]) -> None:
    content = {"kind": "Secret", "name": "s", "data": data}
    (one,) = read_text(json.dumps(content), "f")
    assert one.body["data"] == data
    (as_yaml,) = read_text(yaml_of(content), "f")
    assert as_yaml == one
    (listed,) = read_text(json.dumps({"kind": "List", "items": [content]}), "f")
    assert listed == one
