"""Retrieval from data stores; Vertex only (wire.md#retrieval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.credentials import ApiAuth, AuthConfig
from live_protocol.messages.enums import ApiSpec
from live_protocol.messages.fields import NO_EXTRA, Backend, wire

__all__ = [
    "ExternalApi",
    "ExternalApiElasticSearchParams",
    "ExternalApiSimpleSearchParams",
    "RagRetrievalConfig",
    "RagRetrievalConfigFilter",
    "RagRetrievalConfigHybridSearch",
    "RagRetrievalConfigRanking",
    "RagRetrievalConfigRankingLlmRanker",
    "RagRetrievalConfigRankingRankService",
    "Retrieval",
    "VertexAISearch",
    "VertexAISearchDataStoreSpec",
    "VertexRagStore",
    "VertexRagStoreRagResource",
]


@final
@attrs.frozen(kw_only=True)
class ExternalApiElasticSearchParams:
    """How to query an Elasticsearch endpoint (wire.md#retrieval).

    Attributes:
        index: Index to search.
        num_hits: Number of hits to fetch.
        search_template: Search template to use.
    """

    index: str | None = wire(only=Backend.VERTEX)
    num_hits: int | None = wire(only=Backend.VERTEX)
    search_template: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ExternalApiSimpleSearchParams:
    """Marks a simple search endpoint; has no options (wire.md#retrieval)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ExternalApi:
    """A search API outside Google as a retrieval source (wire.md#retrieval).

    Attributes:
        api_auth: Credentials, deprecated form.
        api_spec: Kind of API.
        auth_config: Credentials.
        elastic_search_params: Options of an Elasticsearch API.
        endpoint: URL of the API.
        simple_search_params: Options of a simple search API.
    """

    api_auth: ApiAuth | None = wire(only=Backend.VERTEX)
    api_spec: ApiSpec | str | None = wire(only=Backend.VERTEX)
    auth_config: AuthConfig | None = wire(only=Backend.VERTEX)
    elastic_search_params: ExternalApiElasticSearchParams | None = wire(only=Backend.VERTEX)
    endpoint: str | None = wire(only=Backend.VERTEX)
    simple_search_params: ExternalApiSimpleSearchParams | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VertexAISearchDataStoreSpec:
    """One data store of a search engine (wire.md#retrieval).

    Attributes:
        data_store: Resource name of the data store.
        filter: Filter expression.
    """

    data_store: str | None = wire(only=Backend.VERTEX)
    filter: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VertexAISearch:
    """Vertex AI Search as a retrieval source; give ``datastore`` or ``engine`` (wire.md#retrieval).

    Attributes:
        data_store_specs: Data stores of the engine to search.
        datastore: Resource name of a data store.
        engine: Resource name of an engine.
        filter: Filter expression.
        max_results: Number of results.
    """

    data_store_specs: Sequence[VertexAISearchDataStoreSpec] = wire(default=(), only=Backend.VERTEX)
    datastore: str | None = wire(only=Backend.VERTEX)
    engine: str | None = wire(only=Backend.VERTEX)
    filter: str | None = wire(only=Backend.VERTEX)
    max_results: int | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagRetrievalConfigFilter:
    """Filter for retrieved contexts (wire.md#retrieval).

    Attributes:
        metadata_filter: Expression over metadata.
        vector_distance_threshold: Maximum distance of a vector.
        vector_similarity_threshold: Minimum similarity of a vector.
    """

    metadata_filter: str | None = wire(only=Backend.VERTEX)
    vector_distance_threshold: float | None = wire(only=Backend.VERTEX)
    vector_similarity_threshold: float | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagRetrievalConfigHybridSearch:
    """Mix of dense and sparse search (wire.md#retrieval).

    Attributes:
        alpha: Weight between dense and sparse vectors.
    """

    alpha: float | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagRetrievalConfigRankingLlmRanker:
    """Re-ranking by a language model (wire.md#retrieval).

    Attributes:
        model_name: Model that ranks.
    """

    model_name: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagRetrievalConfigRankingRankService:
    """Re-ranking by the rank service (wire.md#retrieval).

    Attributes:
        model_name: Model that ranks.
    """

    model_name: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagRetrievalConfigRanking:
    """Re-ranking of retrieved contexts; one field is set (wire.md#retrieval).

    Attributes:
        llm_ranker: By a language model.
        rank_service: By the rank service.
    """

    llm_ranker: RagRetrievalConfigRankingLlmRanker | None = wire(only=Backend.VERTEX)
    rank_service: RagRetrievalConfigRankingRankService | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RagRetrievalConfig:
    """How to fetch contexts from a RAG store (wire.md#retrieval).

    Attributes:
        filter: Filter for the contexts.
        hybrid_search: Mix of dense and sparse search.
        ranking: Re-ranking.
        top_k: Number of contexts.
    """

    filter: RagRetrievalConfigFilter | None = wire(only=Backend.VERTEX)
    hybrid_search: RagRetrievalConfigHybridSearch | None = wire(only=Backend.VERTEX)
    ranking: RagRetrievalConfigRanking | None = wire(only=Backend.VERTEX)
    top_k: int | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VertexRagStoreRagResource:
    """One corpus, or some files of it (wire.md#retrieval).

    Attributes:
        rag_corpus: Resource name of the corpus.
        rag_file_ids: Ids of files in the corpus.
    """

    rag_corpus: str | None = wire(only=Backend.VERTEX)
    rag_file_ids: Sequence[str] = wire(default=(), only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VertexRagStore:
    """A RAG store as a retrieval source (wire.md#retrieval).

    Attributes:
        rag_corpora: Corpora; deprecated, use ``rag_resources``.
        rag_resources: Corpora and files.
        rag_retrieval_config: How to fetch contexts.
        similarity_top_k: Number of contexts; deprecated, use ``rag_retrieval_config``.
        store_context: Whether to store live audio as context in a memory corpus; live sessions only.
        vector_distance_threshold: Maximum distance of a vector; deprecated, use ``rag_retrieval_config``.
    """

    rag_corpora: Sequence[str] = wire(default=(), only=Backend.VERTEX)
    rag_resources: Sequence[VertexRagStoreRagResource] = wire(default=(), only=Backend.VERTEX)
    rag_retrieval_config: RagRetrievalConfig | None = wire(only=Backend.VERTEX)
    similarity_top_k: int | None = wire(only=Backend.VERTEX)
    store_context: bool | None = wire(only=Backend.VERTEX)
    vector_distance_threshold: float | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class Retrieval:
    """A retrieval source; exactly one is set (wire.md#retrieval).

    Attributes:
        disable_attribution: Deprecated.
        external_api: Search API outside Google.
        vertex_ai_search: Vertex AI Search.
        vertex_rag_store: RAG store.
    """

    disable_attribution: bool | None = wire(only=Backend.VERTEX)
    external_api: ExternalApi | None = wire(only=Backend.VERTEX)
    vertex_ai_search: VertexAISearch | None = wire(only=Backend.VERTEX)
    vertex_rag_store: VertexRagStore | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA
