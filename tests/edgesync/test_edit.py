import sys

import pytest

from tests.edgesync.conftest import Shell
from tests.rest.conftest import describe


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    return shell


def editor(shell: Shell, script: str) -> None:
    """Let $EDITOR be a program that does *script* to `text`."""
    body = (
        "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\ntext = file.read_text()\n"
        f"{script}\nfile.write_text(text)\n"
    )
    program = shell.file("editor.py", body)
    shell.env["EDITOR"] = f"{sys.executable} {program}"


async def test_what_is_saved_is_what_is_there(described: Shell) -> None:
    editor(described, "text = text.replace('by the door', 'by the window')")
    assert await described.lines("edit", "node", "n1") == [["changed", "node/n1"]]
    node = await described.world.client.call("GET", "/v1/nodes/n1")
    assert node["description"] == "by the window"
    assert node["labels"] == {"role": "gateway", "baetyl-node-name": "n1"}
    assert "is unchanged" in (await described.run("edit", "node", "n1")).stdout


async def test_a_secret_is_edited_without_being_seen(described: Shell) -> None:
    editor(described, "assert 'öpen' not in text\ntext = text.replace('data:', 'data:\\n  b: c')")
    await described.run("edit", "secret/password")
    secret = await described.world.client.call("GET", "/v1/secrets/password")
    assert secret["data"] == {"password": "öpen", "b": "c"}


async def test_errors_stand_in_the_file_and_can_be_corrected(described: Shell) -> None:
    editor(
        described,
        "text = text.replace('# your text, document 1, line 2: labels.bad', 'x')\n"
        "if 'unknown field' in text: text = text.replace('wrong:', 'description:')\n"
        "else: text = text.replace('description:', 'wrong:').replace('door', 'window')",
    )
    assert await described.lines("edit", "node", "n1") == [["changed", "node/n1"]]
    node = await described.world.client.call("GET", "/v1/nodes/n1")
    assert node["description"] == "by the window"


async def test_what_cannot_be_saved_is_kept(described: Shell) -> None:
    editor(described, "text = text.replace('description:', 'wrong:')")
    refused = await described.run("edit", "node", "n1", code=1)
    assert "unknown field" in refused.stderr
    assert "Your edit is saved in " in refused.stderr
    editor(described, "text = text.replace('name: n1', 'name: n2')")
    assert "for node/n1" in (await described.run("edit", "node", "n1", code=1)).stderr


async def test_no_concurrent_change_is_overwritten(described: Shell) -> None:
    await described.run("get", "nodes")
    url, token = described.env["EDGESYNC_URL"], described.env["EDGESYNC_TOKEN"]
    editor(
        described,
        "import httpx\n"
        f"client = httpx.Client(base_url={url!r}, headers={{'Authorization': 'Bearer {token}'}})\n"
        "client.put('/v1/nodes/n1', json={'description': 'theirs'})\n"
        "text = text.replace('by the door', 'mine')",
    )
    refused = await described.run("edit", "node", "n1", code=1)
    assert "It was changed in the meantime" in refused.stderr
    node = await described.world.client.call("GET", "/v1/nodes/n1")
    assert node["description"] == "theirs"


async def test_labels_are_set_taken_off_and_not_overwritten_by_mistake(described: Shell) -> None:
    assert await described.lines("label", "node", "n1", "site=north") == [["changed", "node/n1"]]
    assert await described.lines("label", "node", "n1", "site=north") == [["unchanged", "node/n1"]]
    refused = await described.run("label", "node", "n1", "site=south", code=1)
    assert "--overwrite" in refused.stderr
    await described.run("label", "node", "n1", "site=south", "role-", "--overwrite")
    node = await described.world.client.call("GET", "/v1/nodes/n1")
    assert node["labels"] == {"site": "south", "baetyl-node-name": "n1"}
    await described.run("label", "nodes", "-l", "site=south", "a=b", code=2)
    lines = await described.lines("label", "nodes", "-l", "site=south", "a=b", "--yes")
    assert lines == [["changed", "node/n1"]]
    for words in (["node", "n1"], ["node", "a=b"], ["secret", "password", "a=b"]):
        await described.run("label", *words, code=2)
    await described.run("label", "app", "web", "a=b", "--dry-run", code=2)


async def test_labels_of_several_nodes_are_previewed_and_changed_together(
    described: Shell,
) -> None:
    for name in ("n2", "n3"):
        await described.world.client.call("POST", "/v1/nodes", {"name": name})
    words = ["label", "nodes", "n1", "n2", "n3", "role=gateway"]
    shown = (await described.run(*words, "--dry-run")).stdout
    assert "Would update 2 nodes and touch 2 of 3 nodes" in shown
    assert "  2 nodes gain app web\n  node n2: +web\n  node n3: +web\n" in shown
    assert (await described.lines("get", "nodes", "-l", "role=gateway"))[1][0] == "n1"
    assert await described.lines(*words) == [
        ["unchanged", "node/n1"],
        ["changed", "node/n2"],
        ["changed", "node/n3"],
    ]
    asked = await described.run("label", "node", "-l", "role=gateway", "role-", code=2)
    assert "3 nodes lose app web" in asked.stdout
    refused = await described.run("label", "node", "n1", "n9", "a=b", code=1)
    assert "not found" in refused.stderr


async def test_what_labels_choose_is_deleted_only_after_asking(described: Shell) -> None:
    await described.run("delete", "nodes", "-l", "role=gateway", code=2)
    for words in ([], ["nodes"], ["node", "n1", "-l", "a"], ["node", "n1", "-f", "x"], ["sysapps"]):
        await described.run("delete", *words, code=2)
    gone = await described.lines("delete", "nodes", "-l", "role=gateway", "--yes")
    assert gone == [["deleted", "node/n1", "access", "revoked"]]
    refused = await described.run("delete", "config", "site", code=1)
    assert "`edgesync describe config site` lists them" in refused.stderr


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
async def test_completion_scripts_are_printed_for_each_shell(shell: Shell, shell_name: str) -> None:
    assert "_EDGESYNC_COMPLETE" in (await shell.run("completion", shell_name)).stdout
