"""Plain data as the types of the API, and back.

The types are those that the server sends (`cloud.answers`) and takes (`cloud.core`). What a newer
server sends beside them is left out.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from cloud.core.kinds import ResourceKind
from edgesync.client.calls import Json
from edgesync.client.errors import UnreadableAnswer
from edgesync.client.resources import ResourceForms

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
O = TypeVar("O")  # noqa: E741  # one
I = TypeVar("I")  # noqa: E741  # item


def as_a(kind: type[T]) -> Callable[[Any], T]:
    """Read plain data as a *kind*; UnreadableAnswer where it lacks something."""

    def read(content: Any) -> T:
        try:
            return msgspec.convert(content, kind)
        except msgspec.ValidationError:
            pass
        try:
            return msgspec.convert(_known(content, inspect.type_info(kind)), kind)
        except msgspec.ValidationError as error:
            raise UnreadableAnswer(f"the answer is no {kind.__name__}: {error}") from error

    return read


def forms_of(
    kind: ResourceKind, spec: type[S], one: type[O], item: type[I]
) -> ResourceForms[S, O, I]:
    """The forms of a *kind* whose types are *spec*, *one* and *item*."""
    ignored = kind.read_only | {"name"}

    def sent(value: S | O) -> Json:
        plain: dict[str, Any] = msgspec.to_builtins(value)
        return {key: plain[key] for key in plain if key not in ignored}

    return ResourceForms(as_a(one), as_a(item), sent)


def _known(content: Any, shape: inspect.Type) -> Any:
    """*content* without the members of objects that *shape* does not have."""
    match shape:
        case inspect.StructType(fields=fields) if isinstance(content, Mapping):
            return {
                field.encode_name: _known(content[field.encode_name], field.type)
                for field in fields
                if field.encode_name in content
            }
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner) if (
            isinstance(content, list)
        ):
            return [_known(one, inner) for one in content]
        case inspect.DictType(value_type=inner) if isinstance(content, Mapping):
            return {key: _known(one, inner) for key, one in content.items()}
        case inspect.UnionType(types=types):
            return _known_in_union(content, types)
        case inspect.Metadata(type=inner):
            return _known(content, inner)
        case _:
            return content


def _known_in_union(content: Any, types: tuple[inspect.Type, ...]) -> Any:
    """As `_known`; where one of several objects fits, which of them is left open."""
    for wanted in (inspect.StructType, inspect.ListType, inspect.VarTupleType, inspect.DictType):
        found = [one for one in types if isinstance(one, wanted)]
        if len(found) == 1 and isinstance(content, Mapping | list):
            return _known(content, found[0])
    return content
