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

    The set of keys is closed: an unknown one ends the session with 1007. Use the ``*_json_schema`` fields of
    ``FunctionDeclaration`` for schemas beyond the subset.

    Attributes:
        type: Type of the value; the names are upper case.
        title: Title.
        description: Meaning of the value, for the model to read.
        format: Hint about the form of the value.
        nullable: Whether null is allowed.
        enum: The allowed strings.
        properties: Members of an object, by name.
        required: Names of the members that must be present.
        property_ordering: Order in which members are generated.
        additional_properties: Whether other members are allowed: a boolean, or a schema for them.
        min_properties: Minimum number of members.
        max_properties: Maximum number of members.
        items: Schema of the elements of an array.
        min_items: Minimum length of an array.
        max_items: Maximum length of an array.
        min_length: Minimum length of a string.
        max_length: Maximum length of a string.
        pattern: Regular expression that a string must match.
        minimum: Minimum of a number.
        maximum: Maximum of a number.
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
