"""Hypothesis strategies for the nouns of `cloud.core`: all that a checked value can be, small."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from cloud.core.app import (
    App,
    AppSpec,
    Backoff,
    Device,
    EnvironmentVariable,
    HostPath,
    Port,
    Ref,
    Resources,
    Restart,
    Retry,
    Security,
    Service,
    Volume,
    VolumeMount,
)
from cloud.core.app_checks import checked_app_spec
from cloud.core.batch import (
    Batch,
    BatchSpec,
    Fingerprint,
    Record,
    SecurityType,
    checked_batch_spec,
    checked_record,
)
from cloud.core.certificate import NodeCertificate
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue, checked_config_spec
from cloud.core.names import RESERVED
from cloud.core.node import Node, NodeSpec, checked_node_spec
from cloud.core.probes import (
    ExecAction,
    HttpGetAction,
    ServiceProbe,
    TcpSocketAction,
    UriScheme,
)
from cloud.core.registry import Registry, RegistrySpec, checked_registry_spec
from cloud.core.report import Order, Report, read_report
from cloud.core.secret import Secret, SecretSpec, checked_secret_spec
from cloud.core.workload import AppMode, JobConfig, JobRestartPolicy, PullPolicy, Workload

moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
texts = st.text(max_size=20)
present_texts = texts.filter(lambda text: bool(text.strip()))

simple_names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
names = st.from_regex(
    r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?(\.[a-z0-9]{1,4}){0,2}", fullmatch=True
).filter(lambda name: RESERVED not in name)
namespaces = simple_names
label_keys = st.from_regex(
    r"([a-z]{1,4}\.[a-z]{1,3}/)?[A-Za-z]([-A-Za-z0-9_.]{0,6}[a-z])?", fullmatch=True
)
label_values = st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,6}[a-z])?)?", fullmatch=True)
labels = st.dictionaries(label_keys, label_values, max_size=4)
fingerprints = st.from_regex(r"[a-zA-Z0-9]([-a-zA-Z0-9.]{0,10}[a-zA-Z0-9])?", fullmatch=True)
data_keys = st.from_regex(r"[a-zA-Z0-9_][-._a-zA-Z0-9]{0,8}", fullmatch=True)
versions = st.integers(1, 10**20).map(str)
encodings = st.sampled_from(["json", "msgpack"])


# What is made in a draw is validated in each: strategies are made once.
_terms = st.one_of(
    st.builds("{}={}".format, label_keys, label_values),
    st.builds("{}!={}".format, label_keys, label_values),
    st.builds("{} in ({},{})".format, label_keys, label_values, label_values),
    st.builds("{} notin ({})".format, label_keys, label_values.filter(bool)),
    label_keys,
    st.builds("!{}".format, label_keys),
    st.builds("{}>{}".format, label_keys, st.integers(0, 100)),
)


@st.composite
def selectors(draw: st.DrawFn) -> str:
    """Text of a selector with up to three terms; sometimes of none."""
    return ",".join(draw(st.lists(_terms, max_size=3)))


_paths = simple_names.map("/{}".format)
_sources: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda path: {"host_path": HostPath(path)}, _paths),
    st.builds(lambda name: {"config": Ref(name)}, names),
    st.builds(lambda name: {"secret": Ref(name)}, names),
    st.just({"empty_dir": {}}),
    st.just({"empty_dir": {"medium": "Memory", "sizeLimit": "64Mi"}}),
)


def _maybe(given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(UNSET) | given


_port_numbers = st.integers(1, 65535)
_actions: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda text: {"exec": ExecAction((text,))}, present_texts),
    st.builds(lambda port: {"tcp_socket": TcpSocketAction(port)}, _port_numbers),
    st.builds(
        lambda port, path, scheme: {"http_get": HttpGetAction(port, path, scheme=scheme)},
        _port_numbers,
        _paths,
        st.sampled_from(UriScheme),
    ),
)


def _probes(most_successes: int = 1) -> st.SearchStrategy[Any]:
    return _maybe(
        st.builds(
            lambda action, period, successes: ServiceProbe(
                **action, period_seconds=period, success_threshold=successes
            ),
            _actions,
            st.integers(0, 2**31 - 1),
            st.integers(0, most_successes),
        )
    )


_probe, _readiness_probe = _probes(), _probes(most_successes=9)
_jobs = _maybe(
    st.builds(
        JobConfig,
        completions=_maybe(st.integers(0, 9)),
        backoff_limit=_maybe(st.integers(0, 9)),
        restart_policy=st.sampled_from(JobRestartPolicy),
    )
)
_resources = _maybe(
    st.builds(
        Resources,
        limits=st.fixed_dictionaries({}, optional={"cpu": st.sampled_from(["1", "500m", "0.5"])}),
        requests=st.fixed_dictionaries({}, optional={"memory": st.sampled_from(["50M", "64Mi"])}),
    )
)
_restarts = _maybe(
    st.builds(
        Restart,
        retry=_maybe(st.builds(Retry, max=st.integers(0, 9))),
        policy=st.sampled_from(["", "Always"]),
        backoff=_maybe(
            st.builds(Backoff, min=st.just(1), max=st.integers(1, 2**63 - 1), factor=st.just(2.5))
        ),
    )
)
_ports = st.builds(
    Port,
    container_port=st.integers(1, 65535),
    protocol=st.sampled_from(["TCP", "udp"]),
    host_ip=st.sampled_from(["", "127.0.0.1"]),
)
_devices = st.builds(Device, _paths)
_variables = st.builds(
    EnvironmentVariable, present_texts.filter(lambda name: "=" not in name), texts
)
_securities = _maybe(st.builds(Security, st.booleans()))
_flags = _maybe(st.booleans())
_pull_policies = _maybe(st.sampled_from(PullPolicy))
_modes = _maybe(st.sampled_from(AppMode))
_workloads = _maybe(st.sampled_from(Workload))
_replicas = _maybe(st.integers(0, 3))
_ready_seconds = _maybe(st.integers(0, 599))
_progress_deadlines = _maybe(st.integers(600, 2**31 - 1))


@st.composite
def services(draw: st.DrawFn, name: str, volumes: tuple[Volume, ...]) -> Service:
    """A service that mounts some of *volumes*."""
    mounted = draw(st.lists(st.sampled_from(volumes), max_size=2)) if volumes else []
    return Service(
        name,
        labels=draw(labels),
        image=draw(present_texts),
        replica=draw(st.integers(0, 3)),
        volume_mounts=tuple(
            VolumeMount(
                volume.name,
                f"/mnt/{index}",
                read_only=draw(st.booleans()),
                auto_clean=draw(_flags),
            )
            for index, volume in enumerate(mounted)
        ),
        ports=tuple(draw(st.lists(_ports, max_size=2))),
        devices=tuple(draw(st.lists(_devices, max_size=1))),
        args=tuple(draw(st.lists(texts, max_size=2))),
        env=tuple(draw(st.lists(_variables, max_size=2))),
        resources=draw(_resources),
        restart=draw(_restarts),
        security=draw(_securities),
        host_network=draw(st.booleans()),
        image_pull_policy=draw(_pull_policies),
        liveness_probe=draw(_probe),
        readiness_probe=draw(_readiness_probe),
        startup_probe=draw(_probe),
    )


@st.composite
def programs(draw: st.DrawFn, name: str, volumes: tuple[Volume, ...]) -> Service:
    """A service in mode native."""
    service = draw(services(name, volumes))
    return msgspec.structs.replace(service, image="", program_config=draw(names))


def _first(service: Service) -> Service:
    """*service* as one that runs first: without probes."""
    return msgspec.structs.replace(
        service, liveness_probe=UNSET, readiness_probe=UNSET, startup_probe=UNSET
    )


@st.composite
def app_specs(draw: st.DrawFn, selectors: st.SearchStrategy[str] = selectors()) -> AppSpec:  # noqa: B008
    """A description of an app that a node could run."""
    volumes = tuple(
        Volume(name, **draw(_sources)) for name in draw(st.lists(names, max_size=3, unique=True))
    )
    taken = {volume.name for volume in volumes}
    registry_names = st.lists(names.filter(lambda name: name not in taken), max_size=2, unique=True)
    service_names = draw(st.lists(simple_names, max_size=2, unique=True))
    mode = draw(_modes)
    service = programs if mode is AppMode.NATIVE else services
    first = draw(_maybe(simple_names.filter(lambda name: name not in service_names)))
    return checked_app_spec(
        AppSpec(
            selector=draw(selectors),
            labels=draw(labels),
            description=draw(texts),
            services=tuple(draw(service(name, volumes)) for name in service_names),
            volumes=volumes,
            registries=tuple(map(Ref, draw(registry_names))),
            mode=mode,
            init_services=first if first is UNSET else (_first(draw(service(first, volumes))),),
            replica=draw(_replicas),
            workload=draw(_workloads),
            job_config=draw(_jobs),
            host_network=draw(_flags),
            min_ready_seconds=draw(_ready_seconds),
            progress_deadline_seconds=draw(_progress_deadlines),
        )
    )


@st.composite
def node_specs(draw: st.DrawFn) -> NodeSpec:
    """A description of a node as it is kept."""
    annotations = draw(st.dictionaries(texts, texts, max_size=2))
    return checked_node_spec("n", NodeSpec(draw(labels), annotations, draw(texts)))


config_specs = st.builds(
    ConfigSpec,
    labels=labels,
    data=st.lists(
        st.builds(ConfigItem, data_keys, st.builds(KeyValue, texts)),
        max_size=3,
        unique_by=lambda item: item.key,
    ).map(tuple),
    description=texts,
).map(checked_config_spec)

secret_specs = st.builds(
    SecretSpec, data=st.dictionaries(data_keys, texts, max_size=3), description=texts
).map(checked_secret_spec)

registry_specs = st.builds(RegistrySpec, present_texts, present_texts, present_texts, texts).map(
    checked_registry_spec
)


@st.composite
def batch_specs(draw: st.DrawFn, name: str = "b") -> BatchSpec:
    """A description of the batch *name* as it is kept."""
    key = draw(texts)
    spec = BatchSpec(
        description=draw(texts),
        quota_num=draw(st.integers(1, 1000)),
        enable_whitelist=draw(st.sampled_from([0, 1])),
        security_type=SecurityType.TOKEN if key else SecurityType.NONE,
        security_key=key,
        labels=draw(labels),
        fingerprint=Fingerprint(draw(st.integers(1, 63)), draw(_paths), draw(present_texts)),
    )
    return checked_batch_spec(name, spec)


nodes = st.builds(Node, namespaces, names, node_specs(), moments, moments)
apps = st.builds(App, namespaces, names, app_specs(), versions, moments, moments)
configs = st.builds(Config, namespaces, names, config_specs, versions, moments, moments)
secrets = st.builds(Secret, namespaces, names, secret_specs, versions, moments, moments)
registries = st.builds(Registry, namespaces, names, registry_specs, versions, moments, moments)
records = st.builds(
    Record,
    namespaces,
    names,
    names,
    fingerprints,
    names,
    moments,
    moments,
    active=st.booleans(),
    active_ip=st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
    active_time=st.none() | moments,
).map(checked_record)
certificates = st.builds(
    NodeCertificate,
    st.integers(1, 2**160 - 1),
    st.builds("{}.{}".format, namespaces, names),
    moments,
    moments,
    st.none() | moments,
    st.sampled_from(["", "0f" * 32, "a1" * 32]),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A batch; its labels name it."""
    name = draw(names)
    return Batch(draw(namespaces), name, draw(batch_specs(name)), draw(moments), draw(moments))


plain_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(texts, inside, max_size=3),
    max_leaves=8,
)
"""What JSON and MessagePack can both express."""

runs = texts.filter(lambda text: "\0" not in text)  # `read_order` takes no such
orders = st.builds(Order, runs, st.none() | st.integers(0, 2**63 - 1))
_app_entries = st.lists(st.fixed_dictionaries({"name": texts, "version": versions}), max_size=4)
report_contents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "apps": _app_entries | st.none(),
        "sysapps": _app_entries,
        "core": st.dictionaries(texts, plain_values, max_size=2),
        "node": st.dictionaries(texts, plain_values, max_size=2),
        "extra": plain_values,
    },
)
reports: st.SearchStrategy[Report] = st.builds(read_report, report_contents, orders)
