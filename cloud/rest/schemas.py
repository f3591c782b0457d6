"""The types of the API as JSON Schema: bodies that the server decodes, and its answers."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cloud.core.names import NAME_PATTERN
from cloud.rest.described import Body, Name

REFERENCE = "#/components/schemas/"
Schema = dict[str, Any]

_SENT = "Sent"
"""Ends the name of a component that states how a type may look in a request."""

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
        return self._patch(described) if body.is_patch else self._sent(described, body.required)

    def _sent(self, schema: Schema, required: Iterable[str] = ()) -> Schema:
        """*schema* as what is sent may look: null stands for a field that may be left out."""
        if "$ref" in schema and not required:
            return self._sent_component(schema)
        sent = dict(self._resolved(schema))
        if "properties" in sent:
            sent["required"] = sorted({*sent.get("required", ()), *required})
            sent["properties"] = {
                name: self._sent(one) if name in sent["required"] else self._absent_or(one)
                for name, one in sent["properties"].items()
            }
        for inner in ("items", "additionalProperties"):
            if isinstance(sent.get(inner), Mapping):
                sent[inner] = self._sent(sent[inner])
        if "anyOf" in sent:
            sent["anyOf"] = [self._sent(one) for one in sent["anyOf"]]
        if "discriminator" in sent:
            mapping = sent["discriminator"]["mapping"]
            renamed = {tag: self._sent({"$ref": name})["$ref"] for tag, name in mapping.items()}
            sent["discriminator"] = {**sent["discriminator"], "mapping": renamed}
        return sent

    def _sent_component(self, reference: Schema) -> Schema:
        """The same reference to a component of its own, where what is sent may look differently."""
        name = reference["$ref"].removeprefix(REFERENCE)
        own = f"{name}{_SENT}"
        if name.endswith(_SENT) or "properties" not in self.components[name]:
            return reference
        if own not in self.components:
            self.components[own] = {}  # a type that holds itself ends here
            self.components[own] = self._sent(self.components[name])
        return {**reference, "$ref": REFERENCE + own}

    def _absent_or(self, schema: Schema) -> Schema:
        """*schema* or null, which is as good as nothing."""
        sent = self._sent(schema)
        apart: Schema = {key: sent[key] for key in ("default", "description") if key in sent}
        own = {key: one for key, one in sent.items() if key not in apart}
        if not own or _NULL in own.get("anyOf", ()):
            return sent  # anything, or null already
        return {"anyOf": [own, _NULL], **apart}

    def _resolved(self, schema: Schema) -> Schema:
        if "$ref" not in schema:
            return schema
        return self.components[schema["$ref"].removeprefix(REFERENCE)]

    def _with_ignored(self, body: Body, answer: Any) -> Schema:
        """The body may hold its name, and read-only fields of answers."""
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
        return {"anyOf": [self._sent(wanted), _NULL]}
