"""Token counts (wire.md#usage and wire.md#dialects)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from live_protocol.messages.enums import MediaModality, ServiceTier, TrafficType
from live_protocol.messages.fields import NO_EXTRA, Backend, fast_define, wire

__all__ = [
    "ModalityTokenCount",
    "UsageMetadata",
]


@final
@fast_define(kw_only=True)
class ModalityTokenCount:
    """Tokens of one modality (wire.md#usage).

    Attributes:
        modality: The modality.
        token_count: Number of tokens; absent means 0.
    """

    modality: MediaModality | str | None = None
    token_count: int | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class UsageMetadata:
    """Tokens of one turn (wire.md#usage).

    Not a total of the session, but prompt counts grow with each turn, since they include the history. Usually comes
    with ``turn_complete``, sometimes alone.

    Attributes:
        prompt_token_count: Tokens of the prompt, including cached ones.
        cached_content_token_count: Cached tokens of the prompt.
        response_token_count: Generated tokens; the wire key is ``candidatesTokenCount`` on Vertex.
        tool_use_prompt_token_count: Tokens of tool results.
        thoughts_token_count: Tokens of thoughts.
        total_token_count: Sum of all.
        prompt_tokens_details: The prompt by modality.
        cache_tokens_details: The cached tokens by modality.
        response_tokens_details: The response by modality; the wire key is ``candidatesTokensDetails`` on
            Vertex.
        tool_use_prompt_tokens_details: The tool results by modality.
        traffic_type: How the traffic is billed. Vertex only.
        service_tier: Tier that served the request. Gemini only.
    """

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    response_token_count: int | None = wire(json_vertex="candidatesTokenCount")
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: Sequence[ModalityTokenCount] = ()
    cache_tokens_details: Sequence[ModalityTokenCount] = ()
    response_tokens_details: Sequence[ModalityTokenCount] = wire(default=(), json_vertex="candidatesTokensDetails")
    tool_use_prompt_tokens_details: Sequence[ModalityTokenCount] = ()
    traffic_type: TrafficType | str | None = wire(only=Backend.VERTEX)
    service_tier: ServiceTier | str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA
