"""How often is counted what takes long."""

from datetime import timedelta
from typing import Any

from cloud.rest.count_cache import CountCache
from tests.rest.conftest import ManualClock


class Slow:
    """A store in which counting takes so many seconds, and finds one more each time."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self.clock, self.seconds, self.count = clock, seconds, 0

    async def read(self, _work: object) -> Any:
        self.clock.advance(self.seconds)
        self.count += 1
        return self.count


async def test_a_count_is_cached_in_proportion_to_its_cost() -> None:
    clock = ManualClock()
    cache = CountCache(clock)
    quick: Any = Slow(clock, 0.0)
    slow: Any = Slow(clock, 0.04)

    async def count(store: Any, key: str = "default") -> int:
        return await cache.count(key, store, lambda _tx, _now: 0)

    assert [await count(quick) for _ in range(3)] == [1, 2, 3]
    assert await count(slow) == 1
    clock.advance(3.9)
    assert await count(slow) == 1
    assert await count(slow, "other") == 2
    clock.advance(0.1)
    assert await count(slow) == 3
    clock.now -= timedelta(hours=1)
    assert await count(slow) == 4
    slow.seconds = 10
    clock.advance(5)
    assert await count(slow) == 5
    clock.advance(15)
    assert await count(slow) == 6
