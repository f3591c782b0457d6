"""Null as an absent field: clients in Go and Python send it for fields that are not set."""

from functools import cache
from typing import Any

from msgspec import inspect


def without_nulls(content: Any, kind: type, *, is_patch: bool = False) -> Any:
    """*content* of a *kind* without the fields that are null, at any depth.

    Only fields that *kind* knows: a null in a map or a list, or under an unknown name, stays and is
    refused when it is decoded. In a merge patch null takes a member away; there it stays where
    objects are merged, and goes from objects in lists, which are replaced as a whole.
    """
    return _cleaned(content, _type_of(kind), keeps_nulls=is_patch)


@cache
def _type_of(kind: type) -> inspect.Type:
    return inspect.type_info(kind)


def _cleaned(value: Any, kind: inspect.Type, *, keeps_nulls: bool) -> Any:
    if isinstance(kind, inspect.UnionType):
        kind = _member(value, kind)
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        return _object(value, kind, keeps_nulls=keeps_nulls)
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        if isinstance(kind.value_type, inspect.StrType | inspect.AnyType):
            return value
        return {
            key: _cleaned(one, kind.value_type, keeps_nulls=keeps_nulls)
            for key, one in value.items()
        }
    if isinstance(kind, inspect.ListType | inspect.VarTupleType) and isinstance(value, list):
        if isinstance(kind.item_type, inspect.StrType):
            return value
        return [_cleaned(item, kind.item_type, keeps_nulls=False) for item in value]
    return value


def _object(value: dict[str, Any], kind: inspect.StructType, *, keeps_nulls: bool) -> Any:
    types = {field.encode_name: field.type for field in kind.fields}
    cleaned = {}
    for name, one in value.items():
        if one is not None and name in types:
            cleaned[name] = _cleaned(one, types[name], keeps_nulls=keeps_nulls)
        elif keeps_nulls or one is not None or name not in types:
            cleaned[name] = one
    return cleaned


def _member(value: Any, union: inspect.UnionType) -> inspect.Type:
    """The type in *union* that *value* is meant to be of: by its tag where there are tags."""
    for kind in union.types:
        if isinstance(value, list) and isinstance(kind, inspect.ListType | inspect.VarTupleType):
            return kind
        if not isinstance(value, dict):
            continue
        if isinstance(kind, inspect.DictType):
            return kind
        if isinstance(kind, inspect.StructType) and (
            kind.tag_field is None or value.get(kind.tag_field) == kind.tag
        ):
            return kind
    return inspect.AnyType()
