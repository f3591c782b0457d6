"""Notifications on the command line: the manifests of the page, as they are."""

import re

from tests.edgesync.conftest import Shell
from tests.repo.tracked import ROOT, text_of


async def test_the_manifests_of_the_page_are_applied_and_shown(shell: Shell) -> None:
    page = text_of(ROOT / "docs/notifications.md")
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.S)
    file = shell.file("alerts.yaml", "---\n".join(blocks))
    await shell.run("apply", "-f", file)
    again = await shell.lines("apply", "-f", file)
    assert [words[0] for words in again] == ["unchanged"] * 6
    titles, *rows = await shell.lines("get", "channels")
    assert titles[:3] == ["NAME", "TYPE", "TARGET"]
    assert sorted(row[:2] for row in rows) == [
        ["ops-chat", "slack"],
        ["ops-mail", "email"],
        ["ops-teams", "teams"],
        ["tickets", "webhook"],
    ]
    (outage,) = [row for row in await shell.lines("get", "nr") if row[0] == "outage"]
    assert outage[1:3] == ["critical", "node.lost"]
    assert "ops-mail,ops-chat" in outage
    sent = (await shell.run("channel", "test", "ops-chat")).stdout
    assert sent.split() == ["sent", "channel/ops-chat", "answered", "200"]
    await shell.world.client.call("PATCH", "/v1/channels/tickets", {"description": "answered 503"})
    failed = await shell.run("channel", "test", "tickets", code=1)
    assert "did not send: answered 503" in failed.stderr
    queued = (await shell.run("channel", "retry", "tickets")).stdout
    assert queued.split() == ["queued", "channel/tickets", "1", "messages", "wait"]
    described = (await shell.run("describe", "channel", "ops-chat")).stdout
    for text in ("hooks.slack.com", "test of the channel ops-chat", "sent", "answered 200"):
        assert text in described
    assert "change-me" not in described
    exported = (await shell.run("get", "channel", "ops-mail", "-o", "yaml")).stdout
    await shell.run("apply", "-f", shell.file("again.yaml", exported))
    refused = await shell.run("delete", "channel", "ops-mail", "--yes", code=1)
    assert "notification rules" in refused.output
    await shell.run("delete", "-f", file, "--yes")
    assert len(await shell.lines("get", "channels")) <= 1
