"""Tools of a session: client functions and tools of the service (wire.md#tools)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.credentials import AuthConfig
from live_protocol.messages.enums import (
    Behavior,
    DynamicRetrievalConfigMode,
    Environment,
    PhishBlockThreshold,
    SafetyPolicy,
)
from live_protocol.messages.fields import NO_EXTRA, Backend, Duration, JsonObject, JsonValue, Timestamp, wire
from live_protocol.messages.retrieval import Retrieval
from live_protocol.messages.schema import Schema

__all__ = [
    "ComputerUse",
    "DynamicRetrievalConfig",
    "EnterpriseWebSearch",
    "FileSearch",
    "FunctionDeclaration",
    "GoogleMaps",
    "GoogleMapsGroundingTypes",
    "GoogleMapsPlaces",
    "GoogleMapsRouting",
    "GoogleSearch",
    "GoogleSearchRetrieval",
    "ImageSearch",
    "Interval",
    "McpServer",
    "SearchTypes",
    "StreamableHttpTransport",
    "Tool",
    "ToolCodeExecution",
    "ToolExaAiSearch",
    "ToolParallelAiSearch",
    "UrlContext",
    "WebSearch",
]


@final
@attrs.frozen(kw_only=True)
class FunctionDeclaration:
    """A client function that the model may call (wire.md#tool-calls).

    Either ``parameters`` or ``parameters_json_schema`` describes the arguments, never both.

    Attributes:
        name: At most 64 letters, digits, ``_``, ``.``, ``-``; on Gemini ``:`` too. Required.
        description: Its purpose, for the model to read.
        parameters: Arguments as a ``Schema``.
        parameters_json_schema: Arguments as a JSON Schema.
        response: Result as a ``Schema``.
        response_json_schema: Result as a JSON Schema.
        behavior: Whether the model waits for the result; live sessions only.
    """

    name: str | None = wire(required=True)
    description: str | None = None
    parameters: Schema | None = None
    parameters_json_schema: JsonValue | None = None
    response: Schema | None = None
    response_json_schema: JsonValue | None = None
    behavior: Behavior | str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class Interval:
    """A window of time (wire.md#server-tools).

    Attributes:
        start_time: Start, inclusive.
        end_time: End, exclusive.
    """

    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class WebSearch:
    """Switches on web results; has no options (wire.md#server-tools)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ImageSearch:
    """Switches on image results; has no options (wire.md#server-tools)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SearchTypes:
    """The kinds of results that a search returns (wire.md#server-tools).

    Attributes:
        web_search: Web results.
        image_search: Image results.
    """

    web_search: WebSearch | None = None
    image_search: ImageSearch | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GoogleSearch:
    """Grounding by Google Search; usually sent empty (wire.md#server-tools).

    Attributes:
        search_types: Kinds of results.
        blocking_confidence: Confidence at which phishing sites are blocked. Vertex only.
        exclude_domains: Domains to leave out. Vertex only.
        time_range_filter: Time of the results.
    """

    search_types: SearchTypes | None = None
    blocking_confidence: PhishBlockThreshold | str | None = wire(only=Backend.VERTEX)
    exclude_domains: Sequence[str] = wire(default=(), only=Backend.VERTEX)
    time_range_filter: Interval | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class DynamicRetrievalConfig:
    """When the old search grounding searches (wire.md#server-tools).

    Attributes:
        dynamic_threshold: Score that triggers a search.
        mode: Whether the score decides.
    """

    dynamic_threshold: float | None = None
    mode: DynamicRetrievalConfigMode | str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GoogleSearchRetrieval:
    """The old form of search grounding, before ``GoogleSearch`` (wire.md#server-tools).

    Attributes:
        dynamic_retrieval_config: When to search.
    """

    dynamic_retrieval_config: DynamicRetrievalConfig | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class EnterpriseWebSearch:
    """Web grounding for enterprises; Vertex only (wire.md#vertex-only).

    Attributes:
        blocking_confidence: Confidence at which phishing sites are blocked.
        exclude_domains: Domains to leave out.
    """

    blocking_confidence: PhishBlockThreshold | str | None = wire(only=Backend.VERTEX)
    exclude_domains: Sequence[str] = wire(default=(), only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GoogleMapsPlaces:
    """Switches on grounding by places; has no options (wire.md#server-tools)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GoogleMapsRouting:
    """Switches on grounding by routes; has no options (wire.md#server-tools)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GoogleMapsGroundingTypes:
    """The kinds of data for Maps grounding (wire.md#server-tools).

    Attributes:
        places: Places.
        routing: Routes.
    """

    places: GoogleMapsPlaces | None = wire(only=Backend.VERTEX)
    routing: GoogleMapsRouting | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GoogleMaps:
    """Grounding by Google Maps (wire.md#server-tools).

    Attributes:
        auth_config: Credentials.
        enable_widget: Whether to return a token for the Maps widget.
        grounding_types: Kinds of data. Vertex only.
    """

    auth_config: AuthConfig | None = None
    enable_widget: bool | None = None
    grounding_types: GoogleMapsGroundingTypes | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class UrlContext:
    """Lets the service fetch URLs of the prompt; has no options (wire.md#server-tools)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ToolCodeExecution:
    """Lets the service run code that the model writes; has no options (wire.md#server-tools)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ComputerUse:
    """Lets the model operate a computer (wire.md#server-tools).

    Attributes:
        environment: What is operated. Required.
        excluded_predefined_functions: Predefined functions to leave out.
        enable_prompt_injection_detection: Whether to look for injected prompts.
        disabled_safety_policies: Safety policies to switch off.
    """

    environment: Environment | str | None = wire(required=True)
    excluded_predefined_functions: Sequence[str] = ()
    enable_prompt_injection_detection: bool | None = None
    disabled_safety_policies: Sequence[SafetyPolicy | str] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class FileSearch:
    """Search in file stores; Gemini only (wire.md#gemini-only).

    Attributes:
        file_search_store_names: Stores to search.
        top_k: Number of chunks.
        metadata_filter: Expression over metadata.
    """

    file_search_store_names: Sequence[str] = wire(default=(), only=Backend.GEMINI)
    top_k: int | None = wire(only=Backend.GEMINI)
    metadata_filter: str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ToolParallelAiSearch:
    """Search by Parallel.ai; Vertex only (wire.md#vertex-only).

    Attributes:
        api_key: The key itself.
        custom_configs: Further fields of the request; may contain credentials. The keys are data.
        enable_data_retention: Let Parallel.ai keep data.
        enable_zero_data_retention: Let Parallel.ai keep nothing.
    """

    api_key: str | None = wire(only=Backend.VERTEX, secret=True)
    custom_configs: JsonObject | None = wire(only=Backend.VERTEX, secret=True)
    enable_data_retention: bool | None = wire(only=Backend.VERTEX)
    enable_zero_data_retention: bool | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ToolExaAiSearch:
    """Search by Exa.ai; Vertex only (wire.md#vertex-only).

    Attributes:
        api_key: The key itself. Required.
        custom_configs: Further fields of the request; may contain credentials. The keys are data.
    """

    api_key: str | None = wire(only=Backend.VERTEX, required=True, secret=True)
    custom_configs: JsonObject | None = wire(only=Backend.VERTEX, secret=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class StreamableHttpTransport:
    """How to reach an MCP server over streamable HTTP (wire.md#tool-credentials).

    Attributes:
        headers: Headers of the request; may contain credentials.
        sse_read_timeout: Timeout for the next server-sent event, in seconds.
        terminate_on_close: Whether closing ends the MCP session.
        timeout: Timeout for an ordinary response, in seconds.
        url: URL of the server.
    """

    headers: Mapping[str, str] | None = wire(only=Backend.GEMINI, secret=True)
    sse_read_timeout: Duration | None = wire(only=Backend.GEMINI)
    terminate_on_close: bool | None = wire(only=Backend.GEMINI)
    timeout: Duration | None = wire(only=Backend.GEMINI)
    url: str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class McpServer:
    """A remote MCP server for the service to connect to (wire.md#server-tools).

    Attributes:
        name: Name of the server. Gemini only.
        streamable_http_transport: How to reach it. Gemini only.
    """

    name: str | None = wire(only=Backend.GEMINI)
    streamable_http_transport: StreamableHttpTransport | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class Tool:
    """An entry in the list of tools; usually one field is set (wire.md#tools).

    An empty message differs from an absent one: ``google_search=GoogleSearch()`` switches the tool on.

    Attributes:
        function_declarations: Client functions.
        google_search: Grounding by Google Search.
        google_maps: Grounding by Google Maps.
        url_context: Fetching of URLs.
        code_execution: Code that the service runs.
        computer_use: Use of a computer.
        file_search: Search in file stores. Gemini only.
        mcp_servers: Remote MCP servers.
        google_search_retrieval: Old form of search grounding.
        retrieval: Retrieval from data stores. Vertex only.
        enterprise_web_search: Web grounding for enterprises. Vertex only.
        parallel_ai_search: Search by Parallel.ai. Vertex only.
        exa_ai_search: Search by Exa.ai. Vertex only.
    """

    function_declarations: Sequence[FunctionDeclaration] = ()
    google_search: GoogleSearch | None = None
    google_maps: GoogleMaps | None = None
    url_context: UrlContext | None = None
    code_execution: ToolCodeExecution | None = None
    computer_use: ComputerUse | None = None
    file_search: FileSearch | None = wire(only=Backend.GEMINI)
    mcp_servers: Sequence[McpServer] = ()
    google_search_retrieval: GoogleSearchRetrieval | None = None
    retrieval: Retrieval | None = wire(only=Backend.VERTEX)
    enterprise_web_search: EnterpriseWebSearch | None = wire(only=Backend.VERTEX)
    parallel_ai_search: ToolParallelAiSearch | None = wire(only=Backend.VERTEX)
    exa_ai_search: ToolExaAiSearch | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA
