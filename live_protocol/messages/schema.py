"""The OpenAPI subset that describes function arguments and results (wire.md#schemas)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.enums import Type
from live_protocol.messages.fields import NO_EXTRA, Int64, JsonValue

__all__ = [
    "Schema",
]


@final
@attrs.frozen(kw_only=True)
class Schema:
    """A schema in the OpenAPI 3 subset that the service knows (wire.md#schemas).

    The set of keys is closed: one that the service does not know ends the session with 1007. What goes beyond
    the subset belongs into the ``*_json_schema`` fields of ``FunctionDeclaration``.

    Attributes:
        type: Type of the value; the names are upper case.
        title: Title.
        description: What the value means, for the model to read.
        format: Hint about the form of the value.
        nullable: Whether null is allowed.
        enum: The allowed strings.
        properties: Members of an object, by name.
        required: Names of the members that must be there.
        property_ordering: Order in which members are generated.
        additional_properties: Whether other members are allowed: a boolean, or a schema for them.
        min_properties: Least number of members.
        max_properties: Greatest number of members.
        items: Schema of the elements of an array.
        min_items: Least length of an array.
        max_items: Greatest length of an array.
        min_length: Least length of a string.
        max_length: Greatest length of a string.
        pattern: Regular expression a string must match.
        minimum: Least number.
        maximum: Greatest number.
        any_of: The value must match one of these.
        default: Default value.
        example: An example.
        defs: Reusable schemas by name.
        ref: Reference into ``defs``.
    """

    type: Type | str | None = None
    title: str | None = None
    description: str | None = None
    format: str | None = None
    nullable: bool | None = None
    enum: Sequence[str] = ()
    properties: Mapping[str, Schema] | None = None
    required: Sequence[str] = ()
    property_ordering: Sequence[str] = ()
    additional_properties: JsonValue | None = None
    min_properties: Int64 | None = None
    max_properties: Int64 | None = None
    items: Schema | None = None
    min_items: Int64 | None = None
    max_items: Int64 | None = None
    min_length: Int64 | None = None
    max_length: Int64 | None = None
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    any_of: Sequence[Schema] = ()
    default: JsonValue | None = None
    example: JsonValue | None = None
    defs: Mapping[str, Schema] | None = None
    ref: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA
