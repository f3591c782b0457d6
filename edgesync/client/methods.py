"""Methods that are written once, as generators of steps, and exist on both clients.

`client.apps.get("web")` waits for the answer where `client` is a `Client`, and is awaited where it
is an `AsyncClient`. Type checkers see the signature of the generator, and what it returns.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from edgesync.client.calls import Calls
from edgesync.client.engines import BlockingEngine
from edgesync.client.steps import Items, Steps

if TYPE_CHECKING:
    from edgesync.client.async_engine import AsyncEngine

E = TypeVar("E", bound="BlockingEngine | AsyncEngine")
P = ParamSpec("P")
T = TypeVar("T")


class ApiPart(Generic[E]):
    """A part of the API: its methods make *calls* and are carried out by *engine*."""

    def __init__(self, engine: E, calls: Calls) -> None:
        self._engine = engine
        self._calls = calls


class ApiMethod(Generic[P, T]):
    """A method that returns what *steps* returns."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.steps = steps
        functools.update_wrapper(cast(Any, self), steps)

    @overload
    def __get__(self, part: ApiPart[BlockingEngine], owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(
        self, part: "ApiPart[AsyncEngine]", owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, part: Any, owner: type) -> Any:
        return _bound(self.steps, part, "run") if part is not None else self


class ApiIterator(Generic[P, T]):
    """A method that iterates over what *items* hands out."""

    def __init__(self, items: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self.items = items
        functools.update_wrapper(cast(Any, self), items)

    @overload
    def __get__(self, part: ApiPart[BlockingEngine], owner: type) -> Callable[P, Iterator[T]]: ...

    @overload
    def __get__(
        self, part: "ApiPart[AsyncEngine]", owner: type
    ) -> Callable[P, AsyncGenerator[T]]: ...

    def __get__(self, part: Any, owner: type) -> Any:
        return _bound(self.items, part, "iterate") if part is not None else self


def _bound(steps: Callable[..., Any], part: Any, how: str) -> Callable[..., Any]:
    carry_out, method = getattr(part._engine, how), MethodType(steps, part)

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        return carry_out(method(*arguments, **named))

    return call
