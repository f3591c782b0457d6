"""What is logged is bounded, whatever the cause."""

import logging
from contextvars import copy_context

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.rate import KEYS, Rate
from cloud.http.logs import (
    LINE_LIMIT,
    LOG_FORMAT,
    TEXT_LIMIT,
    TRACE_LIMIT,
    BoundedFormatter,
    LogBudget,
    RequestIdFilter,
    log_under,
    shown,
)


@given(st.text(max_size=2000))
def test_a_shown_text_is_one_short_printable_line(text: str) -> None:
    found = shown(text)
    assert found.isprintable()
    assert len(found) <= TEXT_LIMIT + len("...")


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("test", level, __file__, 1, message, arguments, None)


def test_a_line_is_bounded_and_has_no_control_characters() -> None:
    line = record("%s", "\x1b[2J\n" * 100_000)
    RequestIdFilter().filter(line)
    text = BoundedFormatter(LOG_FORMAT).format(line)
    assert text.isprintable()
    assert len(text) <= LINE_LIMIT + len("...")


def test_a_traceback_is_bounded_and_keeps_its_lines() -> None:
    error = ValueError("\x1b" * 1_000_000)
    line = record("failed")
    line.exc_info = (type(error), error, None)
    RequestIdFilter().filter(line)
    text = BoundedFormatter(LOG_FORMAT).format(line)
    assert len(text) <= LINE_LIMIT + TRACE_LIMIT + 10
    assert "\x1b" not in text


def budget(clock: list[float]) -> LogBudget:
    return LogBudget(lambda: clock[0], of_caller=Rate(3, 1), of_place=Rate(5, 1))


def passed(limits: LogBudget, caller: str, count: int) -> list[str]:
    """What was left out before each line that is written, of *count* because of *caller*."""

    def log() -> list[str]:
        log_under("id", caller)
        lines = [record("refused") for _ in range(count)]
        return [line.left_out for line in lines if limits.filter(line)]  # type: ignore[attr-defined]

    return copy_context().run(log)


def test_one_caller_writes_few_lines_and_leaves_room_for_others() -> None:
    clock = [0.0]
    limits = budget(clock)
    assert passed(limits, "a", 100) == ["", "", ""]
    assert passed(limits, "b", 1) == [""]
    clock[0] = 2.0
    assert passed(limits, "a", 1) == [" (97 such lines were left out)"]


def test_all_callers_together_write_few_lines() -> None:
    limits = budget([0.0])
    assert sum(len(passed(limits, f"caller {number}", 1)) for number in range(100)) == 5


def test_without_a_request_the_place_counts_alone() -> None:
    clock = [0.0]
    limits = budget(clock)
    assert len(passed(limits, "", 100)) == 5
    clock[0] = 1.0
    assert passed(limits, "", 1) == [" (95 such lines were left out)"]


def test_debug_lines_are_all_written() -> None:
    limits = budget([0.0])
    assert all(limits.filter(record("x", level=logging.DEBUG)) for _ in range(100))


def test_the_memory_of_left_out_lines_is_bounded() -> None:
    limits = LogBudget(lambda: 0.0, of_caller=Rate(1, 1), of_place=Rate(10 * KEYS, 1))
    for number in range(KEYS + 100):
        passed(limits, str(number), 2)
    assert len(limits._left_out) <= KEYS
    assert len(limits._of_caller) <= KEYS
