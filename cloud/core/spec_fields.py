"""Resources as an operator writes them: without read-only fields and defaults."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from cloud.core.kind import ResourceKind


def spec_fields(kind: ResourceKind, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What of a resource, as the API shows it, an operator sets and is not the default.

    To send it in a PUT, or to apply it with the name, changes nothing.
    """
    body = {key: shown[key] for key in shown if key not in kind.read_only | {"name"}}
    labels = body.get("labels")
    if labels and kind.own_label:
        body["labels"] = {key: labels[key] for key in labels if key != kind.own_label}
    # A newer server may show more than this command knows; all of it, then.
    with suppress(msgspec.ValidationError):
        required = {field: body[field] for field in kind.required if field in body}
        trimmed = {**required, **_without_defaults(msgspec.convert(body, kind.spec))}
        order = [field.encode_name for field in msgspec.structs.fields(kind.spec)]
        body = {field: trimmed[field] for field in order if field in trimmed}
    return body


def _without_defaults(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_defaults(one) for one in value]
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    config = value.__struct_config__
    shown = {config.tag_field: config.tag} if config.tag_field else {}
    for each in msgspec.structs.fields(value):
        inner = getattr(value, each.name)
        if inner is msgspec.UNSET or inner == each.default:
            continue
        if each.default_factory is not msgspec.NODEFAULT and inner == each.default_factory():
            continue
        shown[each.encode_name] = _without_defaults(inner)
    return shown
