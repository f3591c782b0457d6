"""docs/limits.md has the bounds of the program: each number is read from the code."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta

import pytest

from broker import nats_admission
from broker.limits import MAX_BROKERS, ClientLimits, HubLimits, Refusal, hub_memory_ceiling
from broker.nats_files import AUTHORIZATION_SECONDS
from broker.value_counts import VALUES_LIMIT
from broker.wire import CONNECT_BYTE, MAX_CONTROL_BYTES, SUBSCRIBE_BYTE, UNSUBSCRIBE_BYTE
from certs import signing_requests
from cloud.config import Settings
from cloud.core import (
    app,
    batch,
    bounds,
    callback,
    changes,
    channel,
    commands,
    comparison,
    config,
    custom_role,
    decoding,
    deploys,
    device_logins,
    encryption_key,
    event,
    grants,
    guard,
    identity_providers,
    installation,
    local_users,
    node,
    notification_groups,
    notification_rule,
    permissions,
    properties,
    refused_device,
    registry,
    renewal,
    report,
    revisions,
    running,
    secret,
    secret_source,
    selectors,
    sending,
    service_values,
    tokens,
    trends,
    usage,
    user_sessions,
)
from cloud.core import rate as callers
from cloud.core.decoding import DEPTH_LIMIT
from cloud.core.failed_attempts import AT_ALL_BATCHES
from cloud.core.listing import LIST_BYTES, LIST_LIMIT
from cloud.core.names import (
    NODE_ID_LIMIT,
    check_data_key,
    check_fingerprint,
    check_label_key,
    check_label_value,
    check_name,
    check_namespace,
)
from cloud.core.node_labels import LABELLED_LIMIT
from cloud.core.node_summary import SUMMARY_LIMIT
from cloud.core.readiness import LONGEST_INTERVAL
from cloud.errors import Invalid
from cloud.http import logs, refusals
from cloud.http.connection_limits import BOUNDS, PORTS, RESERVED_DESCRIPTORS, http_memory_ceiling
from cloud.http.errors import STATUSES
from cloud.http.requests import BODY_LIMIT
from cloud.http.yaml_text import DIRECTIVES_LIMIT, EVENTS_LIMIT
from cloud.jobs import secret_values, source_reader, vault_client
from cloud.link import activation_throttle, exchange, http, paced_desires, sync, unread_secrets
from cloud.link import renewal as renewals
from cloud.listening import connection_limits
from cloud.opening import hub_limits
from cloud.operations import channels, events
from cloud.operations.audit import PAGE_LIMIT
from cloud.operations.desires import ANSWER_LIMIT, INFO_LIMIT
from cloud.rest import sessions
from cloud.rest.event_stream import StreamLimits
from cloud.rest.places import channel_tests, command_waits
from cloud.rest.sign_in import command_line, passwords, token_routes
from cloud.rest.sign_in import local as sign_in
from cloud.rest.sign_in.provider_client import REQUESTS_LIMIT, RESPONSE_LIMIT, TIMEOUT_SECONDS
from cloud.store.key_commands import COMMAND_SECONDS, OUTPUT_LIMIT
from tests.repo.tracked import ROOT, text_of, tracked_files

HUB = HubLimits()
OF_BROKER = ClientLimits()
WAITS = command_waits()
TESTS = channel_tests()
SET = Settings()
HTTP = connection_limits(SET, "api")


OF_PORTS = {f"{port}_{bound}" for port in PORTS for bound in BOUNDS}
"""Counted for each port of HTTP."""


def size(count: int) -> str:
    """Bytes, in the largest unit that needs no fraction."""
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"


def span(time: timedelta) -> str:
    """A time, in the largest unit that needs no fraction."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count, rest = divmod(time.total_seconds(), unit)
        if not rest:
            return f"{count:.0f} {name}{'' if count == 1 else 's'}"
    raise ValueError(time)


def longest(check: Callable[[str, str], object]) -> str:
    """Characters of the longest text that *check* takes."""
    for length in range(1, 1000):
        try:
            check("", "a" * length)
        except Invalid:
            return characters(length - 1)
    raise AssertionError(check)


def characters(count: int) -> str:
    return f"{count:,} characters"


def seconds(count: float) -> str:
    return span(timedelta(seconds=count))


def pace(rate: callers.Rate) -> str:
    return f"{rate.burst} at once, {rate.per_second * 60:.0f} a minute"


LIMITS: Mapping[str, str] = {
    "body of a request of the API": size(BODY_LIMIT),
    "values in a body of JSON: fields, items, lists and maps": f"{decoding.VALUES_LIMIT:,}",
    "the same in YAML, with keys and ends of lists and maps": f"{EVENTS_LIMIT:,}",
    "lines of a body in YAML that begin with `%`, as directives do": f"{DIRECTIVES_LIMIT}",
    "configuration, as JSON": size(config.SIZE_LIMIT),
    "secret, as JSON": size(secret.SIZE_LIMIT),
    "app, as JSON": size(app.SIZE_LIMIT),
    "node, as JSON": size(node.SIZE_LIMIT),
    "batch, as JSON": size(batch.SIZE_LIMIT),
    "registry, as JSON": size(registry.SIZE_LIMIT),
    "callback, as JSON": size(callback.SIZE_LIMIT),
    "values of a secret that have a [source](operations/secrets.md#values-from-outside)": (
        f"{secret_source.SOURCES_LIMIT}"
    ),
    "name of a source: path or variable": characters(secret_source.PATH_LIMIT),
    "values of one secret from its sources": size(secret.SIZE_LIMIT),
    "time in which they are read": span(secret_values.READ),
    "answer of a vault": size(vault_client.RESPONSE_LIMIT),
    "time for an answer of a vault": seconds(vault_client.TIMEOUT_SECONDS),
    "requests to a vault at the same time": f"{vault_client.REQUESTS_LIMIT}",
    "secrets whose sources are read at the same time": f"{secret_values.AT_ONCE}",
    "files of sources that are read at the same time": f"{source_reader.FILES_AT_ONCE}",
    "times that the sources are read for one desire": f"{unread_secrets.TRIES}",
    "values from sources in memory": size(secret_values.HELD_BYTES),
    "time that they are in memory": span(secret_values.HELD),
    "time for a command that encrypts or decrypts `secrets.key`": seconds(COMMAND_SECONDS),
    "output of such a command": size(OUTPUT_LIMIT),
    "file of the identity providers (`login_file`)": size(identity_providers.FILE_LIMIT),
    "identity providers": f"{identity_providers.PROVIDERS_LIMIT}",
    "access rules of one identity provider": f"{identity_providers.RULES_LIMIT:,}",
    "token of an identity provider": characters(identity_providers.TOKEN_LIMIT),
    "response of an identity provider": size(RESPONSE_LIMIT),
    "time for a response of an identity provider": seconds(TIMEOUT_SECONDS),
    "requests to one identity provider at the same time": f"{REQUESTS_LIMIT}",
    "sessions of one user of an identity provider, or of a local user": (
        f"{user_sessions.SESSIONS_PER_USER}"
    ),
    "local users": f"{local_users.USERS_LIMIT:,}",
    "roles of a local user in one namespace": f"{local_users.ROLES_LIMIT}",
    "namespaces in which a local user has a role": f"{local_users.GRANTS_LIMIT}",
    "password of a local user": (
        f"{local_users.PASSWORD_LEAST} to {local_users.PASSWORD_LIMIT} characters"
    ),
    "body of a sign-in": size(token_routes.BODY_LIMIT),
    "failed sign-ins of one address as one local user": (
        f"{sign_in.RATE.burst}, then one every {1 / sign_in.RATE.per_second:.0f} seconds"
    ),
    "failed sign-ins of one address as all local users": (
        f"{sign_in.RATE.burst * AT_ALL_BATCHES}, then one every"
        f" {1 / sign_in.RATE.per_second / AT_ALL_BATCHES:.0f} seconds"
    ),
    "wrong codes of one local user, from all addresses": (
        f"{sign_in.CODE_RATE.burst}, then one every"
        f" {1 / sign_in.CODE_RATE.per_second / 60:.0f} minutes"
    ),
    "logins of the command line that wait for a user": f"{device_logins.PENDING_LIMIT:,}",
    "the same of one address": f"{device_logins.PENDING_OF_ADDRESS}",
    "time for a user to approve a login of the command line": span(device_logins.LIFETIME),
    "requests of a login that waits": f"one every {span(device_logins.INTERVAL)}",
    "user codes of no login that one user tries": (
        f"{command_line.USER_CODE_RATE.burst}, then one every"
        f" {1 / command_line.USER_CODE_RATE.per_second:.0f} seconds"
    ),
    "`state` of an authorization request": characters(command_line.STATE_LIMIT),
    "`redirect_uri` of an authorization request": characters(device_logins.REDIRECT_LIMIT),
    "life of an authorization code": span(command_line.CODE_LIFETIME),
    "passwords that are checked, or wait for it": f"{passwords.WAITING_LIMIT}",
    "the same of one address or user": f"{passwords.WAITING_OF_ONE}",
    "URL of a callback or channel": characters(sending.URL_LIMIT),
    "channel, as JSON": size(channel.SIZE_LIMIT),
    "channels of one namespace": f"{channel.CHANNELS_LIMIT}",
    "addresses of one channel": f"{channel.RECIPIENTS_LIMIT}",
    "roles of one namespace": f"{custom_role.ROLES_LIMIT}",
    "permissions of one role or token": f"{custom_role.PERMISSIONS_LIMIT}",
    "permission, as text": characters(permissions.TEXT_LIMIT),
    "selector that limits a role to nodes": characters(grants.NODES_LIMIT),
    "overlap of a token's rotation": f"{tokens.LONGEST_OVERLAP.days} days",
    "notification rule, as JSON": size(notification_rule.SIZE_LIMIT),
    "notification rules of one namespace": f"{notification_rule.RULES_LIMIT}",
    "channels of one notification rule": f"{notification_rule.RULE_CHANNELS_LIMIT}",
    "threshold of a notification rule": f"{notification_rule.COUNT_LIMIT:,}",
    "name of an app, configuration, secret, ...": longest(check_name),
    "namespace": longest(check_namespace),
    "node id: namespace, dot and name": characters(NODE_ID_LIMIT),
    "description": characters(bounds.DESCRIPTION_LIMIT),
    "labels of one resource": f"{bounds.LABELS_LIMIT}",
    "key or value of a label of an app or configuration": characters(bounds.LABEL_LENGTH_LIMIT),
    "resources that the `limits` of a service name": f"{service_values.RESOURCES_LIMIT}",
    "key of a label, without its prefix": longest(check_label_key),
    "value of a label": longest(check_label_value),
    "key of a configuration's or secret's data": longest(check_data_key),
    "selector": characters(selectors.LENGTH_LIMIT),
    "lists and maps inside each other": f"{DEPTH_LIMIT}",
    "properties wanted of a node": f"{properties.COUNT_LIMIT:,}",
    "key of a property": characters(properties.KEY_LIMIT),
    "value of a property": characters(properties.VALUE_LIMIT),
    "fingerprint of a record": longest(check_fingerprint),
    "`minNodes` of a guard": f"{guard.NODES_LIMIT:,}",
    "`quotaNum` of a batch": f"{batch.QUOTA_LIMIT:,}",
    "installation commands of one node or batch at a time": f"{installation.LIVE_LIMIT}",
    "life of an installation command": span(installation.LIFETIME),
    "time for a node to answer a command": span(timedelta(seconds=commands.SECONDS_LIMIT)),
    "lines of a log that a command can ask for": f"{commands.LINES_LIMIT:,}",
    "age of lines of a log that a command can ask for": f"{commands.SINCE_LIMIT // 86400} days",
    "commands of one node that wait for their end": f"{commands.OPEN_LIMIT}",
    "wait for the end of a command in one request": span(timedelta(seconds=commands.WAIT_LIMIT)),
    "requests by one token, or one address without": (f"{SET.requests_per_second} a second"),
    "requests without a valid token from one address": f"{SET.denials_per_minute} a minute",
    "life of a session of a browser": span(sessions.LIFETIME),
    "callers that are counted": f"{callers.KEYS:,}",
    "body of an activation or a renewal": size(http.BODY_LIMIT),
    "signing request": size(signing_requests.SIZE_LIMIT),
    "items in one answer of a list": f"{LIST_LIMIT:,}",
    "items with a `status` in one answer of the list of nodes": f"{SUMMARY_LIMIT}",
    "nodes that one request labels": f"{LABELLED_LIMIT:,}",
    "bytes of the stored resources in one answer of a list": size(LIST_BYTES),
    "entries of one page of the audit log": f"{PAGE_LIMIT}",
    "connections to the API": f"{SET.max_api_connections:,}",
    "connections to the activation endpoint": f"{SET.max_activation_connections:,}",
    "connections of agents over HTTPS": f"{SET.max_sync_connections:,}",
    "connections of one address to one port; trusted proxies have no such limit": (
        f"{HTTP.per_address}"
    ),
    "TLS handshakes begun on one port": f"{HTTP.handshakes_per_second} a second",
    "from TCP accept to the end of a TLS handshake over HTTP": seconds(HTTP.handshake_seconds),
    "request line and headers": size(HTTP.head_bytes),
    "headers of a request": f"{HTTP.head_fields}",
    "chunk sizes and trailers, beyond a 16th of the body": size(HTTP.head_bytes),
    "time for request line and headers": seconds(HTTP.head_seconds),
    "time for the body; and a second more for each 8 KiB of it": seconds(HTTP.body_seconds),
    "time in which nothing of an answer is read": seconds(HTTP.answer_seconds),
    "silence between two requests": seconds(HTTP.idle_seconds),
    "requests that are not answered and answers that are not read, of one port": size(
        HTTP.held_bytes
    ),
    "path or other text of a caller, in a line of the log": characters(logs.TEXT_LIMIT),
    "line of the log": characters(logs.LINE_LIMIT),
    "traceback in the log": size(logs.TRACE_LIMIT),
    "lines of one kind because of one address": pace(logs.CALLER_RATE),
    "lines of one kind": pace(logs.PLACE_RATE),
    "nodes connected": f"{HUB.max_connections:,}",
    "connections that are not admitted yet": f"{HUB.max_connecting:,}",
    "the same, from one address": f"{HUB.max_connecting_per_address}",
    "time to go on with a TLS handshake, while others wait for its place": span(
        HUB.handshake_patience
    ),
    "TLS handshakes begun": f"{HUB.handshakes_per_second} a second",
    "from TCP accept to the end of the TLS handshake": span(HUB.handshake_timeout),
    "from there to a whole CONNECT": span(HUB.connect_timeout),
    "silence, whatever keep alive was asked for": span(HUB.max_silence),
    "MQTT packet of a node": size(HUB.max_packet_bytes),
    "CONNECT": size(MAX_CONTROL_BYTES[CONNECT_BYTE]),
    "SUBSCRIBE, UNSUBSCRIBE": size(MAX_CONTROL_BYTES[SUBSCRIBE_BYTE]),
    "body of a report or desire over HTTPS": size(sync.BODY_LIMIT),
    "messages of one node that are not acknowledged": f"{HUB.max_unacked}",
    "messages of one node, other packets included": f"{HUB.node_messages_per_second} a second",
    "the same, in bytes": f"{size(HUB.node_bytes_per_second)} a second",
    "bytes of messages of one node that are not acknowledged": size(HUB.max_unacked_bytes),
    "messages that wait to be stored": f"{HUB.max_queued:,}",
    "bytes of messages that are not stored": size(HUB.max_queued_bytes),
    "bytes read of packets that are not whole, of all nodes": size(HUB.max_unparsed_bytes),
    "bytes that wait for a node to read them": size(HUB.max_buffered_bytes),
    "the same, of all nodes": size(HUB.max_buffered_total_bytes),
    "bytes of bodies over HTTPS that are not stored": size(sync.UNSTORED_LIMIT),
    "bytes of answers over HTTPS that wait to be read, of all nodes": size(sync.ANSWERS_LIMIT),
    "values in one message of a node: items, fields and their names": f"{VALUES_LIMIT:,}",
    f"messages of {size(exchange.LONG_BYTES)} and more over HTTPS that are carried out at the same"
    " time": f"{sync.LONG_AT_ONCE}",
    "answers to desires over HTTPS made at the same time": f"{sync.ANSWERS_AT_ONCE}",
    "answer to one desire request": size(ANSWER_LIMIT),
    "apps in a report, states of apps, and the same of the system's": f"{report.APPS_LIMIT:,}",
    "instances of apps in a report": f"{report.INSTANCES_LIMIT:,}",
    "text of a field of an encryption key in a report or an activation": (
        f"{encryption_key.TEXT_LIMIT:,} characters"
    ),
    "bytes that a node has not read when its next desire is answered, on the embedded hub": size(
        paced_desires.UNREAD_BYTES
    ),
    "bytes of answers to the desires of one node over MQTT": (
        f"{size(paced_desires.ANSWER_BYTES_PER_SECOND)} a second,"
        f" {size(int(paced_desires.ANSWER_BYTES_PER_SECOND * paced_desires.BURST_SECONDS))} at once"
    ),
    "bodies in one desire request": f"{INFO_LIMIT:,}",
    "lists and maps inside each other in a report": f"{DEPTH_LIMIT}",
    "properties reported by a node": f"{properties.COUNT_LIMIT:,}",
    "interval between reports that a node reports": span(LONGEST_INTERVAL),
    "keys that one node may change to by renewal": f"{renewal.KEY_LIMIT}",
    "messages of a broker that wait to be stored": f"{OF_BROKER.max_queued:,}",
    "bytes of messages of a broker that are not stored": size(OF_BROKER.max_queued_bytes),
    "messages of a broker that are not acknowledged, and of a server that the broker has not"
    " acknowledged": f"{OF_BROKER.max_unacked:,}",
    "packet of a broker": f"{OF_BROKER.max_packet_bytes:,} bytes",
    "bytes that wait for the broker to read them": size(OF_BROKER.max_unwritten_bytes),
    "brokers of a server": f"{MAX_BROKERS}",
    "connections of nodes that a server ends at the same time": f"{OF_BROKER.max_ending}",
    "messages of NATS on one channel that wait to be queued": f"{OF_BROKER.max_queued:,}",
    "authorization requests of NATS that are answered at the same time": (
        f"{OF_BROKER.max_admitting}"
    ),
    "authorization request of NATS": size(nats_admission.REQUEST_BYTES),
    "time to answer an authorization request of NATS": span(
        timedelta(seconds=AUTHORIZATION_SECONDS)
    ),
    "entries of the audit log": f"{SET.audit_entries:,}",
    "age of an entry of the audit log": f"{SET.audit_days} days",
    "events of one page": f"{events.PAGE_LIMIT}",
    "types in one filter of events": f"{event.TYPES_LIMIT}",
    "test messages by channels at the same time": f"{TESTS.total}",
    "test messages by requests of one token": f"{TESTS.of_one}",
    "callers that wait for the end of a command": f"{WAITS.total}",
    "the same, of one token's requests": f"{WAITS.of_one}",
    "streams of events": f"{StreamLimits().total}",
    "the same, of one token": f"{StreamLimits().of_one}",
    "time in which a stream takes nothing": span(StreamLimits().patience),
    "events of one node and type that are shown": f"{SET.node_events_per_minute} a minute",
    "events": f"{SET.events_kept:,}",
    "age of an event": f"{SET.events_days} days",
    "apps that one event names": f"{events.APPS_NAMED}",
    "refused attempts of one action in it": pace(refusals.REFUSAL_RATE),
    "the same, because of one address": pace(refusals.ADDRESS_RATE),
    "member of what was changed, in an entry": size(changes.MEMBER_LIMIT),
    "refused devices of one batch with the same reason": f"{refused_device.KEPT_OF_REASON}",
    "refusals of one batch that are recorded although the device did not show its token": pace(
        activation_throttle.UNPROVEN_RATE
    ),
    "deploys of one node": f"{SET.deploys_kept}",
    "revisions of one app, configuration, secret or registry": f"{SET.revisions_kept}",
    "deleted ones, of one kind and namespace, whose revisions are kept": (
        f"{revisions.DELETED_KEPT:,}"
    ),
    "revision that is compared line by line, as JSON": size(comparison.TEXT_LIMIT),
    "the same, in lines of YAML": f"{comparison.LINE_LIMIT:,}",
    "how long a node may take to obey before its deploy has expired": span(deploys.EXPIRES_AFTER),
    "trends, a point each minute": span(trends.MINUTES.age),
    "trends, a point each hour": span(trends.HOURS.age),
    "namespaces with trends": f"{trends.NAMESPACES_KEPT}",
    "usage of one node": span(usage.DAY),
    "apps of one node that are counted in rollouts": f"{running.APPS_AT_MOST}",
    "reports of one node": "1",
    "commands of one node": f"{commands.COMMANDS_KEPT}",
    "age of a command and its output": span(commands.KEPT_FOR),
    "output of a command": size(commands.OUTPUT_LIMIT),
    "attempts to deliver a callback": span(sending.LIFETIME),
    "calls of one callback that wait": f"{sending.WAITING_LIMIT:,}",
    "callbacks given up": span(sending.RETENTION),
    "attempts to send a notification": span(sending.LIFETIME),
    "notifications of one channel that wait": f"{sending.WAITING_LIMIT:,}",
    "notifications of one channel that were sent or given up": f"{channels.FINISHED_KEPT}",
    "age of notifications sent or given up": span(sending.RETENTION),
    "groups of one notification rule": f"{notification_groups.GROUPS_LIMIT}",
    "names that a group of a notification rule has": f"{notification_groups.NAMES_LIMIT:,}",
    "validity of the URL of an object": span(timedelta(seconds=SET.object_url_seconds)),
    "renewal of a certificate after its end": f"{SET.renewal_grace_days} days",
}


def rows() -> list[list[str]]:
    """Cells of every row but the heads of tables."""
    page, _, _ = text_of(ROOT / "docs/limits.md").partition("\n## Memory ceiling")
    lines = re.findall(r"^\| (?!what \|)(.*?) *\|$", page, flags=re.M)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_every_limit_on_the_page_is_the_programs() -> None:
    assert {what: limit for what, limit, *_ in rows()} == LIMITS
    assert len(rows()) == len(LIMITS)


def test_limits_that_share_a_row_are_the_same() -> None:
    assert http.BODY_LIMIT == renewals.BODY_LIMIT
    assert MAX_CONTROL_BYTES[SUBSCRIBE_BYTE] == MAX_CONTROL_BYTES[UNSUBSCRIBE_BYTE]
    assert hub_limits(SET) == HUB
    assert SET.answer_bytes == ANSWER_LIMIT
    assert SET.deploys_kept == deploys.DEPLOYS_KEPT
    assert SET.usage_step == usage.DEFAULT_USAGE_STEP


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_settings_and_errors_on_the_page_are_there(row: list[str]) -> None:
    _, _, beyond, setting, _ = row
    known = {f"{status} `{error.code}`" for error, status in STATUSES.items()}
    assert set(re.findall(r"\d{3} `\w+`", beyond)) <= known
    assert set(re.findall(r"`([a-z]+_[a-z_]+)`", beyond)) <= set(Refusal)
    assert set(re.findall(r"`(\w+)`", setting)) <= {one.name for one in fields(Settings)}


def code() -> str:
    """Everything that the server is made of."""
    return "\n".join(
        text_of(file)
        for file in tracked_files()
        if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in {"broker", "cloud"}
    )


def test_bounds_that_are_counted_stand_on_the_page() -> None:
    calls = re.findall(r"\blimits\.(?:count|declare)\(([^)]*)\)", code())
    counted = {name for call in calls for name in re.findall(r'"(\w+)"', call)} | OF_PORTS
    assert counted <= {name for row in rows() for name in re.findall(r"`(\w+)`", row[4])}


def test_bounds_on_the_page_are_counted_by_the_program() -> None:
    names = {name for row in rows() for name in re.findall(r"`(\w+)`", row[4])}
    text = code()
    assert [name for name in names - OF_PORTS if f'"{name}"' not in text] == []


def test_the_memory_ceiling_is_what_the_limits_add_up_to() -> None:
    _, _, section = text_of(ROOT / "docs/limits.md").partition("\n## Memory ceiling")
    over_http = http_memory_ceiling(connection_limits(SET, port) for port in PORTS)
    over_mqtt = hub_memory_ceiling(hub_limits(SET), SET.max_connections)
    for ceiling in (over_http, over_mqtt, over_http + over_mqtt):
        assert f"| {ceiling / 2**20:,.0f} MiB |" in section
    assert HTTP.body_rate == 8 * 2**10
    words = " ".join(text_of(ROOT / "docs/limits.md").split())
    assert f" {RESERVED_DESCRIPTORS} are reserved." in words
