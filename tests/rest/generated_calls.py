"""Calls that Schemathesis makes from the document."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import Phase
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.rest.conftest import TOKEN
from tests.rest.test_document import DOCUMENT

SHAPE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
REFUSALS = [negative_data_rejection]
REFUSED = {"expected-statuses": [400, 401, 403, 404, 409, 410, 412, 413, 415]}
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
session = requests.Session()
session.trust_env = False  # what proxies there are is asked for each call


def call(case: Any, url: str, checks: list[Any]) -> Any:
    return case.call_and_validate(base_url=url, headers=HEADERS, checks=checks, session=session)


def tried(
    label: str, test: Callable[[Any], None], *, count: int, settings: Mapping[str, Any]
) -> None:
    """Run *test* with *count* calls of the operation *label*, and those that *settings* add.

    Built when the test runs: Schemathesis' own decorator does it when tests are collected, which
    takes 5 s in each process.
    """
    schema, operations, feedback = loaded(json.dumps(settings))
    run = build_operation_test(
        config=schema.config,
        operation=operations[label],
        test_func=examples(count)(lambda case: test(case)),
        given_kwargs={},
        feedback=feedback,
    )
    run()


@cache
def loaded(settings: str) -> tuple[BaseSchema, Mapping[str, Any], FeedbackSources]:
    """The document with *settings*, as JSON, its operations by their labels, and their values."""
    checks = {"negative_data_rejection": REFUSED}
    config = SchemathesisConfig.from_dict({**json.loads(settings), "checks": checks})
    # Each call bears a token, so that one made up without is not wrong.
    schema = schemathesis.openapi.from_dict({**DOCUMENT, "security": []}, config=config)
    operations = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operations[found.ok().label] = found.ok()
    feedback = FeedbackSources(constants_value_source=make_constants_value_source(schema))
    return schema, operations, feedback


def examples(count: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
    )
