"""Sources of an answer: grounding and fetched URLs (wire.md#grounding)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.enums import UrlRetrievalStatus
from live_protocol.messages.fields import NO_EXTRA, Backend, Duration, wire

__all__ = [
    "GroundingChunk",
    "GroundingChunkCustomMetadata",
    "GroundingChunkImage",
    "GroundingChunkMaps",
    "GroundingChunkMapsPlaceAnswerSources",
    "GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution",
    "GroundingChunkMapsPlaceAnswerSourcesReviewSnippet",
    "GroundingChunkMapsRoute",
    "GroundingChunkRetrievedContext",
    "GroundingChunkStringList",
    "GroundingChunkWeb",
    "GroundingMetadata",
    "GroundingMetadataSourceFlaggingUri",
    "GroundingSupport",
    "RagChunk",
    "RagChunkPageSpan",
    "RetrievalMetadata",
    "SearchEntryPoint",
    "Segment",
    "UrlContextMetadata",
    "UrlMetadata",
]


@final
@attrs.frozen(kw_only=True)
class Segment:
    """A stretch of the answer, in bytes (wire.md#grounding).

    Attributes:
        start_index: Start, inclusive.
        end_index: End, exclusive.
        part_index: Number of the part.
        text: The text itself.
    """

    start_index: int | None = None
    end_index: int | None = None
    part_index: int | None = None
    text: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingSupport:
    """A stretch of the answer and the sources behind it (wire.md#grounding).

    Attributes:
        segment: The stretch.
        grounding_chunk_indices: Its sources, as indices into ``grounding_chunks``.
        confidence_scores: Confidence in each source.
        rendered_parts: Indices of the parts that show it.
    """

    segment: Segment | None = None
    grounding_chunk_indices: Sequence[int] = ()
    confidence_scores: Sequence[float] = ()
    rendered_parts: Sequence[int] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagChunkPageSpan:
    """The pages that a chunk covers (wire.md#grounding).

    Attributes:
        first_page: First page.
        last_page: Last page.
    """

    first_page: int | None = wire(only=Backend.VERTEX)
    last_page: int | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagChunk:
    """A chunk of a document in a RAG store (wire.md#grounding).

    Attributes:
        page_span: Pages it covers.
        text: Its text.
        chunk_id: Id of the chunk.
        file_id: Id of the file.
    """

    page_span: RagChunkPageSpan | None = wire(only=Backend.VERTEX)
    text: str | None = wire(only=Backend.VERTEX)
    chunk_id: str | None = wire(only=Backend.VERTEX)
    file_id: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkStringList:
    """Several strings (wire.md#grounding).

    Attributes:
        values: The strings.
    """

    values: Sequence[str] = wire(default=(), only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkCustomMetadata:
    """A key with one value of the caller's own metadata (wire.md#grounding).

    Attributes:
        key: The key.
        numeric_value: A number.
        string_list_value: Several strings.
        string_value: A string.
    """

    key: str | None = wire(only=Backend.GEMINI)
    numeric_value: float | None = wire(only=Backend.GEMINI)
    string_list_value: GroundingChunkStringList | None = wire(only=Backend.GEMINI)
    string_value: str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkRetrievedContext:
    """A retrieved document as a source (wire.md#grounding).

    Attributes:
        document_name: Resource name of the document. Vertex only.
        rag_chunk: The chunk, if it came from a RAG store. Vertex only.
        text: Its text.
        title: Its title.
        uri: Its URI.
        custom_metadata: The caller's own metadata. Gemini only.
        file_search_store: The file store it came from. Gemini only.
        page_number: Its page. Gemini only.
        media_id: Id of its media. Gemini only.
    """

    document_name: str | None = wire(only=Backend.VERTEX)
    rag_chunk: RagChunk | None = wire(only=Backend.VERTEX)
    text: str | None = None
    title: str | None = None
    uri: str | None = None
    custom_metadata: Sequence[GroundingChunkCustomMetadata] = wire(default=(), only=Backend.GEMINI)
    file_search_store: str | None = wire(only=Backend.GEMINI)
    page_number: int | None = wire(only=Backend.GEMINI)
    media_id: str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkWeb:
    """A web page as a source (wire.md#grounding).

    Attributes:
        domain: Domain of the page.
        title: Its title.
        uri: Its URL.
    """

    domain: str | None = None
    title: str | None = None
    uri: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkImage:
    """An image as a source (wire.md#grounding).

    Attributes:
        source_uri: URL of the page that shows it.
        image_uri: URL of the image.
        title: Its title.
        domain: Domain of the page.
    """

    source_uri: str | None = None
    image_uri: str | None = None
    title: str | None = None
    domain: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution:
    """The author of a review (wire.md#grounding).

    Attributes:
        display_name: Name of the author.
        photo_uri: Their photo.
        uri: Their profile.
    """

    display_name: str | None = None
    photo_uri: str | None = None
    uri: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkMapsPlaceAnswerSourcesReviewSnippet:
    """A review of a place (wire.md#grounding).

    Attributes:
        author_attribution: Who wrote it.
        flag_content_uri: Where to report it.
        google_maps_uri: Where to read it.
        relative_publish_time_description: Its age, in words.
        review: Its resource name.
        review_id: Its id.
        title: Its title.
    """

    author_attribution: GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution | None = None
    flag_content_uri: str | None = None
    google_maps_uri: str | None = None
    relative_publish_time_description: str | None = None
    review: str | None = None
    review_id: str | None = None
    title: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkMapsPlaceAnswerSources:
    """The reviews an answer about a place used (wire.md#grounding).

    Attributes:
        review_snippet: The reviews, under the older key.
        flag_content_uri: Where to report a problem.
        review_snippets: The reviews.
    """

    review_snippet: Sequence[GroundingChunkMapsPlaceAnswerSourcesReviewSnippet] = ()
    flag_content_uri: str | None = None
    review_snippets: Sequence[GroundingChunkMapsPlaceAnswerSourcesReviewSnippet] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkMapsRoute:
    """A route on the map (wire.md#grounding).

    Attributes:
        distance_meters: Length, in metres.
        duration: Travel time, in seconds.
        encoded_polyline: The line, in Google's polyline encoding.
    """

    distance_meters: int | None = wire(only=Backend.VERTEX)
    duration: Duration | None = wire(only=Backend.VERTEX)
    encoded_polyline: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunkMaps:
    """A place or a route of Google Maps as a source (wire.md#grounding).

    Attributes:
        place_answer_sources: Reviews that the answer used.
        place_id: Id of the place.
        text: Text about it.
        title: Its name.
        uri: Its URL.
        route: The route. Vertex only.
    """

    place_answer_sources: GroundingChunkMapsPlaceAnswerSources | None = None
    place_id: str | None = None
    text: str | None = None
    title: str | None = None
    uri: str | None = None
    route: GroundingChunkMapsRoute | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingChunk:
    """One source; exactly one field is set (wire.md#grounding).

    Attributes:
        image: An image.
        maps: A place or a route.
        retrieved_context: A retrieved document.
        web: A web page.
    """

    image: GroundingChunkImage | None = None
    maps: GroundingChunkMaps | None = None
    retrieved_context: GroundingChunkRetrievedContext | None = None
    web: GroundingChunkWeb | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SearchEntryPoint:
    """The search suggestion that must be shown with a grounded answer (wire.md#grounding).

    Attributes:
        rendered_content: HTML to show.
        sdk_blob: JSON array of pairs of search term and URL.
    """

    rendered_content: str | None = None
    sdk_blob: bytes | None = wire(blob=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RetrievalMetadata:
    """Score of a retrieval (wire.md#grounding).

    Attributes:
        google_search_dynamic_retrieval_score: Score from 0 to 1.
    """

    google_search_dynamic_retrieval_score: float | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingMetadataSourceFlaggingUri:
    """Where to report a source (wire.md#grounding).

    Attributes:
        flag_content_uri: The link.
        source_id: Id of the source.
    """

    flag_content_uri: str | None = wire(only=Backend.VERTEX)
    source_id: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GroundingMetadata:
    """Sources and search data behind an answer (wire.md#grounding).

    Attributes:
        grounding_chunks: The sources.
        grounding_supports: Which text rests on which sources.
        web_search_queries: Queries to the web search.
        image_search_queries: Queries to the image search.
        retrieval_queries: Queries to data stores. Vertex only.
        search_entry_point: Search suggestion to show.
        retrieval_metadata: Scores of the retrieval.
        google_maps_widget_context_token: Token for the Maps widget.
        source_flagging_uris: Where to report sources. Vertex only.
    """

    grounding_chunks: Sequence[GroundingChunk] = ()
    grounding_supports: Sequence[GroundingSupport] = ()
    web_search_queries: Sequence[str] = ()
    image_search_queries: Sequence[str] = ()
    retrieval_queries: Sequence[str] = wire(default=(), only=Backend.VERTEX)
    search_entry_point: SearchEntryPoint | None = None
    retrieval_metadata: RetrievalMetadata | None = None
    google_maps_widget_context_token: str | None = wire(secret=True)
    source_flagging_uris: Sequence[GroundingMetadataSourceFlaggingUri] = wire(default=(), only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class UrlMetadata:
    """One URL that the service tried to fetch (wire.md#grounding).

    Attributes:
        retrieved_url: The URL.
        url_retrieval_status: The outcome.
    """

    retrieved_url: str | None = None
    url_retrieval_status: UrlRetrievalStatus | str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class UrlContextMetadata:
    """The URLs that the URL context tool fetched (wire.md#grounding).

    Attributes:
        url_metadata: One entry per URL.
    """

    url_metadata: Sequence[UrlMetadata] = ()
    extra: Mapping[str, Any] = NO_EXTRA
