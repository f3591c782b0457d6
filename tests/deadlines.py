"""The unit of all deadlines in tests."""

import os

UNIT = float(os.environ.get("EDGESYNC_TEST_UNIT", "1"))
"""Seconds that deadlines are counted in; more on a slow machine.

A deadline ends a test that would hang; it is no measure of speed: 20 units where something takes
milliseconds.
"""
