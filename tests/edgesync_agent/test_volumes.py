"""Files of apps: whole, switched at once, gone with the app."""

import base64
import io
import json
import shutil
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.objects import ObjectFailure
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import LIVE, TRIAL
from edgesync_agent.spec import AppDefinition
from edgesync_agent.volumes import Volumes, memory_folder


class Disk:
    def __init__(self, folder: Path) -> None:
        self.releases = Releases(folder / "apps")
        self.volumes = Volumes(self.releases, folder / "v", folder / "s")

    def put(self, version: str, files: dict[str, str], **secret: str) -> AppDefinition:
        mounts = [{"name": "v", "mountPath": "/v"}, {"name": "p", "mountPath": "/p"}]
        body = {
            "name": "web",
            "version": version,
            "services": [{"name": "s", "image": "i:1", "volumeMounts": mounts}],
            "volumes": [
                {"name": "v", "config": {"name": "c", "version": version}},
                {"name": "p", "secret": {"name": "pw", "version": version}},
            ],
        }
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in secret.items()}
        values: list[dict[str, Any]] = [
            {"kind": "configuration", "value": {"name": "c", "data": files}},
            {"kind": "secret", "value": {"name": "pw", "data": encoded}},
        ]
        self.releases.put(body, values)
        return self.releases.app("web", version)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def seen(place: str) -> dict[str, str]:
    return {one.name: one.read_text() for one in Path(place).iterdir() if one.name[:2] != ".."}


def test_all_files_of_a_volume_switch_at_once_and_back(disk: Disk) -> None:
    one, two = disk.put("1", {"a": "1", "b": "1"}, x="s1"), disk.put("2", {"a": "2", "c": "2"})
    disk.volumes.switch(one)
    place = disk.volumes.path(one, "v", LIVE)
    assert seen(place) == {"a": "1", "b": "1"}
    assert (disk.volumes.shown(one), disk.volumes.shown(two)) == (True, False)
    disk.volumes.prepare(two)
    assert seen(place) == {"a": "1", "b": "1"}
    assert seen(disk.volumes.path(two, "v", TRIAL)) == {"a": "2", "c": "2"}
    disk.volumes.switch(two)
    assert disk.volumes.path(two, "v", LIVE) == place
    assert seen(place) == {"a": "2", "c": "2"}
    disk.volumes.switch(one)
    assert seen(place) == {"a": "1", "b": "1"}
    disk.volumes.prune("web", ["1"])
    assert disk.volumes.shown(one)
    assert len([p for p in Path(place).iterdir() if p.name.startswith("..v-")]) == 1


def test_a_reader_never_sees_files_of_two_versions(disk: Disk) -> None:
    versions = [disk.put(str(n), {"a": str(n), "b": str(n)}) for n in range(2)]
    disk.volumes.switch(versions[0])
    data = Path(disk.volumes.path(versions[0], "v", LIVE)) / "..data"
    wrong, is_over = [], threading.Event()

    def read() -> None:
        while not is_over.is_set():
            folder = data.resolve()
            pair = (folder / "a").read_text(), (folder / "b").read_text()
            if pair[0] != pair[1]:
                wrong.append(pair)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(50):
        disk.volumes.switch(versions[number % 2])
    is_over.set()
    thread.join(timeout=60)
    assert wrong == []


def test_secrets_are_for_the_agent_alone_and_come_back_after_a_reboot(disk: Disk) -> None:
    one = disk.put("1", {}, key="s3cret")
    disk.volumes.switch(one)
    file = Path(disk.volumes.path(one, "p", LIVE)) / "key"
    assert file.read_text() == "s3cret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444  # many images change their user
    assert stat.S_IMODE(disk.volumes.secrets.stat().st_mode) == 0o700
    shutil.rmtree(disk.volumes.secrets)
    assert not disk.volumes.shown(one)
    disk.volumes.switch(one)
    assert file.read_text() == "s3cret"
    disk.volumes.forget("web")
    assert not list(disk.volumes.secrets.iterdir())


def test_a_folder_in_memory_is_each_agents_own(tmp_path: Path) -> None:
    first, second = memory_folder(tmp_path / "a"), memory_folder(tmp_path / "b")
    assert first != second
    assert memory_folder(tmp_path / "a") == first
    # Where nothing is in memory it is on disk, in the agent's own directory.
    assert memory_folder(tmp_path, [str(tmp_path / "none")]).name.startswith(("edgesync-", "sec"))


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("lib/code.py", "x = 1")
    return content.getvalue()


def wicked() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("../../evil", "x")
    return content.getvalue()


class VolumeHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = {"/plain": b"hello", "/zip": archive(), "/wicked": wicked()}.get(self.path)
        self.send_response(200 if found else 403)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Any:
    with ThreadingHTTPServer(("127.0.0.1", 0), VolumeHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(timeout=60)


def test_files_that_lie_elsewhere_are_fetched_checked_and_unpacked(disk: Disk, url: str) -> None:
    plain = {"url": f"{url}/plain", "md5": "5d41402abc4b2a76b9719d911017c592", "unpack": ""}
    packed = {"url": f"{url}/zip", "md5": "", "unpack": "zip"}
    files = {"_object_plain": json.dumps(plain), "_object_code": json.dumps(packed), "k": "v"}
    one = disk.put("1", files)
    objects = disk.releases.objects(one)
    assert len(objects.missing()) == 2
    objects.fetch()
    assert objects.missing() == []
    disk.volumes.switch(one)
    place = Path(disk.volumes.path(one, "v", LIVE))
    assert (place / "plain").read_text() == "hello"
    assert (place / "lib" / "code.py").read_text() == "x = 1"
    assert (place / "k").read_text() == "v"


@pytest.mark.parametrize(
    ("path", "md5", "unpack", "why"),
    [
        ("/none", "", "", "403"),
        ("/plain", "00", "", "MD5"),
        ("/plain", "", "zip", "zip"),
        ("/wicked", "", "zip", "unsafe name"),
        ("/plain", "", "rar", "unpack"),
    ],
)
def test_what_does_not_arrive_whole_is_a_failure(
    disk: Disk, url: str, tmp_path: Path, path: str, md5: str, unpack: str, why: str
) -> None:
    place = json.dumps({"url": url + path, "md5": md5, "unpack": unpack})
    objects = disk.releases.objects(disk.put("1", {"_object_x": place}))
    with pytest.raises(ObjectFailure, match=why):
        objects.fetch()
    assert len(objects.missing()) == 1
    assert not list(tmp_path.glob("**/evil"))
