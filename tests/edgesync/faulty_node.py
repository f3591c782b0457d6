"""The example node with faults, one for each rule that it has to be caught at."""

import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from node import DATA, Node, activate  # type: ignore[import-not-found]


class FaultyNode(Node):  # type: ignore[misc]
    """Breaks rules but takes over what it should."""

    def report(self) -> None:
        self.sequence += 1  # with the one that follows: every second number
        super().report()

    def send(self, kind: str, content: Any, meta: Any, channel: str = "") -> None:
        if kind == "report":
            content.pop("appstats")
        super().send(kind, content, meta, channel)

    def on_answer(self, meta: Any) -> bool:
        super().on_answer(meta)
        self.due, self.pause = time.monotonic() + 0.5, 0.5  # far too often
        return True  # an older answer counts, too

    def on_bodies(self, request: str, values: Any) -> None:
        _, infos = self.asked[request]
        for info, value in zip(infos, values, strict=True):
            info["version"] = value["version"]  # whatever came is taken
        super().on_bodies(request, values)

    def on_delta(self, meta: Any, content: Any) -> None:
        content.pop("nodeprops", None)
        offered = {one["name"]: one["version"] for one in content.get("offer", ())}
        for app in content.get("apps", ()):
            app["version"] = offered.get(app["name"], app["version"])
        super().on_delta(meta, content)

    def on_command(self, meta: Any, content: Any) -> None:
        self.report()
        self.send("command", {"id": content["id"], "status": "done"}, {}, "command-response")


if __name__ == "__main__":
    DATA.mkdir(mode=0o700, exist_ok=True)
    faulty = FaultyNode(activate())
    threading.Thread(target=faulty.run).start()
