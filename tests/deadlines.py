"""The units of all deadlines and pauses in tests."""

import os

SLOWNESS = float(os.environ.get("EDGESYNC_TEST_UNIT", "1"))
"""How many times slower than usual this machine is; what is no deadline is counted in it."""
UNIT = 3 * SLOWNESS
"""Seconds that deadlines are counted in.

A deadline ends a test that would hang; it is no measure of speed: 20 units where something takes
milliseconds, since it may wait for a core for long.
"""
