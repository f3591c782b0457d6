"""Limits of connections are fitted to the file descriptors of the process that has them."""

import logging

import pytest

from cloud.config import Settings
from cloud.http.connection_limits import RESERVED_DESCRIPTORS
from cloud.listening import within_descriptors

MANY = 20_000


def test_a_hub_in_the_server_shares_its_descriptors() -> None:
    settings = Settings(max_connections=50_000)
    fitted = within_descriptors(settings, MANY)
    ports = settings.max_api_connections, settings.max_activation_connections
    in_all = fitted.max_connections + sum(ports) + settings.max_sync_connections
    assert in_all == MANY - RESERVED_DESCRIPTORS


def test_a_managed_broker_has_as_many_for_nodes_alone(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(broker="managed", max_connections=50_000)
    fitted = within_descriptors(settings, MANY)
    assert fitted.max_connections == MANY - RESERVED_DESCRIPTORS
    assert fitted.max_sync_connections == settings.max_sync_connections
    assert caplog.records[-1].levelno == logging.WARNING


def test_the_limit_of_an_external_broker_is_its_own() -> None:
    place = "mqtts://localhost:8884"
    settings = Settings(broker=place, broker_for_nodes=place, max_connections=50_000)
    assert within_descriptors(settings, MANY).max_connections == 50_000
