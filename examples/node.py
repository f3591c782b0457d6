"""A minimal edgesync node in Python: activates, reports, fetches what it lacks, and lets go.

It runs nothing: where `apply` stands a device would start and stop what the app describes.
Needs paho-mqtt and cryptography. docs/device-authors.md describes how to check it.
"""

import json
import os
import random
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

INTERVAL = float(os.environ.get("EDGESYNC_DEVICE_INTERVAL", "20"))
DATA = Path(os.environ.get("EDGESYNC_DEVICE_DATA", "node-data"))
CA = os.environ["EDGESYNC_DEVICE_CA"]


def activate():
    """Get a certificate with a key that is kept before it is used; the node's id."""
    key_file, node_file = DATA / "node.key", DATA / "node.json"
    if node_file.exists():
        return json.loads(node_file.read_text())["id"]
    if not key_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write(key_file, pem)
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    body = {
        "batchName": os.environ["EDGESYNC_DEVICE_BATCH"],
        "fingerprintValue": "example-device-1",
        "securityType": "Token",
        "securityValue": os.environ["EDGESYNC_DEVICE_TOKEN"],
        "csr": request.public_bytes(serialization.Encoding.PEM).decode(),
    }
    trust = ssl.create_default_context(cafile=CA)
    while True:
        asked = urllib.request.Request(
            os.environ["EDGESYNC_DEVICE_URL"] + "/v1/active",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, context=trust, timeout=30) as answer:
                given = json.load(answer)
                break
        except OSError as error:
            print("activation failed:", error, flush=True)
            time.sleep(45 * random.uniform(1, 4 / 3))
    write(DATA / "node.pem", given["certificate"]["cert"].encode())
    node_id = f"{given['namespace']}.{given['nodeName']}"
    write(node_file, json.dumps({"id": node_id}).encode())
    return node_id


def write(file, content):
    """Write a file whole or not at all, for its owner alone."""
    partial = file.with_suffix(".new")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)


class Node:
    """The apps that are held, and the reports about them."""

    def __init__(self, node_id):
        self.id = node_id
        self.lock = threading.RLock()
        self.due = float("inf")  # when the next report is due, by time.monotonic
        self.pause = 5.0  # until a report is sent again that was not answered
        self.run_id, self.sequence = f"{random.getrandbits(64):x}", 0
        self.held = {}  # version of each app that was taken over
        self.properties = {}
        self.answered = -1  # seq of the newest answer
        self.asked = {}  # requests that wait: id -> (app, bodies so far)
        self.commands = []  # ids that were handled
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=node_id)
        self.client.tls_set(CA, str(DATA / "node.pem"), str(DATA / "node.key"))
        self.client.reconnect_delay_set(1, 180)
        self.client.on_connect = lambda *_: self.client.subscribe(
            [(self.topic(each), 1) for each in ("delta", "desire-response", "command")]
        )
        self.client.on_subscribe = lambda *_: self.report()
        self.client.on_message = self.on_message

    def topic(self, channel):
        """The node's own topic for *channel*."""
        return f"edge/v1/{self.id}/{channel}"

    def send(self, kind, content, meta, channel=""):
        """Publish a message of *kind*; *channel* where it is called otherwise."""
        message = {"kind": kind, "meta": meta, "content": content}
        self.client.publish(self.topic(channel or kind), json.dumps(message), qos=1)

    def report(self):
        """Report all that the node is and has."""
        with self.lock:
            self.sequence += 1
            meta = {"seq": self.sequence, "run": self.run_id, "interval": max(1, int(INTERVAL))}
            apps = [{"name": name, "version": self.held[name]} for name in self.held]
            content = {
                "node": {"hostname": "example", "os": "linux"},
                "apps": apps,
                "appstats": [{**app, "status": "Running", "cause": ""} for app in apps],
                "nodeprops": self.properties,
            }
            self.send("report", content, meta)
            wait = min(self.pause * random.uniform(1, 1.5), INTERVAL)
            self.due, self.pause = time.monotonic() + wait, self.pause * 2

    def on_message(self, _client, _data, received):
        """Take a message of the server."""
        message = json.loads(received.payload)
        meta, content = message.get("meta", {}), message.get("content")
        with self.lock:
            channel = received.topic.rpartition("/")[2]
            if channel == "command":
                self.on_command(meta, content)
            elif message["kind"] == "error":
                print("the server sent:", content, flush=True)
                self.on_answer(meta)
                self.asked.pop(meta.get("x-baetyl-request-id"), None)
            elif channel == "delta":
                self.on_delta(meta, content)
            elif meta.get("x-baetyl-request-id") in self.asked:
                self.on_bodies(meta["x-baetyl-request-id"], content["values"])

    def on_answer(self, meta):
        """Note which report was answered; False where a newer one had its answer before."""
        if "seq" not in meta or meta.get("run") != self.run_id:
            return True  # pushed
        if int(meta["seq"]) < self.answered:
            return False
        self.answered = int(meta["seq"])
        if self.answered == self.sequence:
            self.due, self.pause = time.monotonic() + INTERVAL, 5.0
        return True

    def on_delta(self, meta, content):
        """Make what is held what is wanted, or ask for what it takes."""
        if not self.on_answer(meta):
            return
        changed = False
        if content.get("nodeprops", self.properties) != self.properties:
            self.properties, changed = content["nodeprops"], True
        if "apps" in content:
            self.asked.clear()
            wanted = {app["name"]: app["version"] for app in content["apps"]}
            for name in set(self.held) - set(wanted):
                del self.held[name]  # apply: stop what runs of it
                changed = True
            for name in wanted:
                if self.held.get(name) != wanted[name]:
                    info = {"kind": "application", "name": name, "version": wanted[name]}
                    self.ask({"name": name, "version": wanted[name]}, [info])
        if changed:
            self.report()

    def ask(self, app, infos):
        """Ask for the bodies *infos*, which *app* needs."""
        request = f"{random.getrandbits(64):x}"
        self.asked[request] = (app, infos)
        self.send("desire", {"infos": infos}, {"x-baetyl-request-id": request})

    def on_bodies(self, request, values):
        """Take over an app once all of its bodies are here, in the versions asked for."""
        app, infos = self.asked.pop(request)
        if [value["version"] for value in values] != [info["version"] for info in infos]:
            return  # the desired state has changed; the next delta has it
        lacking = [
            {"kind": kind, **volume[field]}
            for value in values
            if value["kind"] == "application"
            for volume in value["value"].get("volumes") or []
            for field, kind in (("config", "configuration"), ("secret", "secret"))
            if field in volume
        ]
        if lacking:
            infos = [{key: one[key] for key in ("kind", "name", "version")} for one in lacking]
            self.ask(app, infos)
            return
        self.held[app["name"]] = app["version"]  # apply: start it with the bodies in *values*
        self.report()

    def on_command(self, meta, content):
        """Do what an operator asks for now, once."""
        if content["id"] in self.commands or meta["time"] >= content["deadline"]:
            return
        self.commands = [*self.commands[-63:], content["id"]]
        answer = {"id": content["id"], "status": "refused", "cause": "not known here"}
        if content["command"] == "report":
            self.report()
            answer = {"id": content["id"], "status": "done"}
        self.send("command", answer, {}, "command-response")

    def run(self):
        """Connect, and report when it is due."""
        host = os.environ["EDGESYNC_DEVICE_MQTT_HOST"]
        self.client.connect_async(host, int(os.environ["EDGESYNC_DEVICE_MQTT_PORT"]), 60)
        self.client.loop_start()
        while True:
            time.sleep(0.2)
            with self.lock:
                if self.client.is_connected() and time.monotonic() >= self.due:
                    self.report()


if __name__ == "__main__":
    DATA.mkdir(mode=0o700, exist_ok=True)
    Node(activate()).run()
