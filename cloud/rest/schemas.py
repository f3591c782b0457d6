"""The types of the API as JSON Schema: what the server decodes, and what it answers."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cloud.core.names import NAME_PATTERN
from cloud.rest.described import Body, Name

REFERENCE = "#/components/schemas/"
Schema = dict[str, Any]

_NULL: Schema = {"type": "null"}


class Schemas:
    """The types *kinds* as schemas that refer to each other.

    InvalidSchema, by msgspec, for a type that JSON Schema cannot express.
    """

    def __init__(self, kinds: Iterable[Any]) -> None:
        known = list(kinds)
        schemas, components = msgspec.json.schema_components(
            known, ref_template=REFERENCE + "{name}"
        )
        # The `components/schemas` of the document.
        self.components: dict[str, Schema] = components
        self._references = list(zip(known, schemas, strict=True))

    def of(self, kind: Any) -> Schema:
        """A reference to the schema of *kind*."""
        return next(dict(schema) for known, schema in self._references if known == kind)

    def body(self, body: Body, answer: Any) -> Schema:
        """Schema of a request's body; *answer* is the type of what it is answered with."""
        described = self._with_ignored(body, answer) if body.name else self.of(body.kind)
        return self._patch(described) if body.is_patch else described

    def _resolved(self, schema: Schema) -> Schema:
        if "$ref" not in schema:
            return schema
        return self.components[schema["$ref"].removeprefix(REFERENCE)]

    def _with_ignored(self, body: Body, answer: Any) -> Schema:
        """The body may hold its name, and what answers show and nobody can set."""
        own = self._resolved(self.of(body.kind))
        properties: dict[str, Any] = dict(own["properties"])
        required: list[str] = [*own.get("required", ())]
        ignored: Mapping[str, Any] = self._resolved(self.of(answer))["properties"]
        for field in ignored:
            properties.setdefault(field, {"description": "Ignored: the server's to set."})
        if body.name is not Name.IGNORED:
            pattern = NAME_PATTERN if body.name is Name.REQUIRED else f"({NAME_PATTERN})?"
            properties["name"] = {"type": "string", "maxLength": 63, "pattern": f"^{pattern}$"}
        if body.name is Name.REQUIRED:
            required.append("name")
        return {**own, "properties": properties, "required": required}

    def _patch(self, schema: Schema) -> Schema:
        """Merge patches (RFC 7396) of what has *schema*: each member may be left out, or null.

        Only objects are merged; a list in a patch is a whole one.
        """
        whole = self._resolved(schema)
        patch = {key: value for key, value in whole.items() if key not in {"required", "default"}}
        if isinstance(whole.get("additionalProperties"), Mapping):
            patch["additionalProperties"] = self._or_null(whole["additionalProperties"])
        if "properties" in whole:
            patch["properties"] = {
                name: self._or_null(one) for name, one in whole["properties"].items()
            }
        return patch

    def _or_null(self, schema: Schema) -> Schema:
        if self._resolved(schema).get("type") == "object":
            return {"anyOf": [self._patch(schema), _NULL]}
        wanted = {key: value for key, value in schema.items() if key != "default"}
        if "type" not in wanted and "$ref" not in wanted:
            return wanted  # anything, or null already
        return {"anyOf": [wanted, _NULL]}
