"""Refusals of upgrades and credentials."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from core.emulator.pair import (
    AUDIO,
    GEMINI,
    TEXT,
    VERTEX,
    Pair,
    closed,
    connected,
    emulator,
    names,
    of,
    pcm,
    said,
    transcript,
)
from live_protocol import events as ev
from live_protocol.emulator import Emulator
from live_protocol.endpoint import Endpoint
from live_protocol.errors import AlreadyClosed, IllegalInState, InvalidMessage
from live_protocol.messages import (
    AuthTokenCreateRequest,
    GenerationConfig,
    GoogleSearch,
    LiveClientSetup,
    Modality,
    SessionResumptionConfig,
    Tool,
)
from live_protocol.states import ConnectionState

_PATH = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"


def custom(target: str, **kwargs: Any) -> Endpoint:
    return Endpoint.custom("ws://localhost:9" + target, **kwargs)


@pytest.mark.parametrize(
    "target",
    [
        _PATH.format("v1beta"),
        _PATH.format("v1alpha"),
        _PATH.format("v1"),
        "/" + _PATH.format("v1beta"),
        "/p" + _PATH.format("v1beta"),
        _PATH.format("v1alpha") + "Constrained",
        "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
        "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent",
    ],
)
def test_paths(target: str) -> None:
    pair = Pair(endpoint=custom(target, headers=[("x-goog-api-key", "k")]), model="models/m")
    assert said(pair.text("hi")) == "hi"


def refused(pair: Pair) -> tuple[int, dict[str, Any]]:
    (rejected,) = of(pair.events, ev.UpgradeRejected)
    assert ("content-type", "application/json; charset=UTF-8") in rejected.headers
    assert names(pair.seen)[0] == "UpgradeRequested"
    assert names(pair.seen)[-1] == "ConnectionClosed"
    return rejected.status, json.loads(rejected.body)["error"]


@pytest.mark.parametrize(
    "target",
    ["/", "/ws", "/ws/nobody", _PATH.format("v1alpha").replace("Content", "Music")],
)
def test_other_paths(target: str) -> None:
    status, error = refused(Pair(endpoint=custom(target)))
    assert status == error["code"] == 404
    assert error["status"] == "NOT_FOUND"


def test_vertex_needs_a_token_at_the_upgrade() -> None:
    target = VERTEX.target
    for headers in (
        [],
        [("authorization", "Bearer invalid")],
        [("authorization", "Bearer expired")],
        [("authorization", "Token auth_tokens/x")],
    ):
        status, error = refused(Pair(endpoint=custom(target, headers=headers)))
        assert status == error["code"] == 401
        assert error["status"] == "UNAUTHENTICATED"
    assert Pair(endpoint=VERTEX).text("hi")
    assert Pair(endpoint=Endpoint.vertex(api_key="express")).text("hi")


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        ("invalid", 1007, "API key not valid. Please pass a valid API key."),
        ("expired", 1007, "API key expired. Please renew the API key."),
        ("exhausted", 1011, "You exceeded your current quota, please check your plan and billing details."),
    ],
)
def test_gemini_refuses_after_setup(key: str, code: int, reason: str) -> None:
    for endpoint in (Endpoint.gemini(api_key=key), Endpoint.gemini(api_key=key, key_in_query=True)):
        pair = Pair(endpoint=endpoint)
        assert "Connected" in names(pair.events)
        assert "SetupReceived" in names(pair.seen)
        assert closed(pair) == (code, reason)


def test_no_key() -> None:
    pair = Pair(endpoint=custom(_PATH.format("v1beta")), model="models/m")
    assert closed(pair) == (1007, "API Key not found. Please pass a valid API key.")


def test_a_list_of_keys() -> None:
    server = emulator(api_keys={"good", "invalid"})
    assert Pair(server, endpoint=Endpoint.gemini(api_key="good")).text("hi")
    for key in ("bad", "invalid"):
        pair = Pair(server, endpoint=Endpoint.gemini(api_key=key))
        assert closed(pair)[1].startswith("API key not valid")
    assert "good" not in repr(server.options)
    # OAuth works on Gemini as well, and is no API key.
    oauth = custom(_PATH.format("v1beta"), headers=[("authorization", "Bearer t")])
    assert Pair(server, endpoint=oauth, model="models/m").text("hi")


# --- ephemeral tokens -------------------------------------------------------------------------------------------

SPENT = (1011, "Token has been used too many times")
WALL = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def with_token(server: Emulator, name: str | None, config: Any = TEXT, **kwargs: Any) -> Pair:
    return Pair(server, config, Endpoint.gemini(token=name or ""), **kwargs)


def mint(server: Emulator, now: float = 1000.0, **fields: Any) -> str:
    name = server.mint_token(AuthTokenCreateRequest(**fields), now, wall=WALL).name
    assert name is not None
    assert name.startswith("auth_tokens/")
    return name


def test_a_token_starts_one_session() -> None:
    server = Emulator()
    name = mint(server)
    assert with_token(server, name).text("hi")
    assert closed(with_token(server, name)) == SPENT
    assert closed(with_token(server, "auth_tokens/made-up")) == SPENT
    # In the query and in x-goog-api-key it is the same token.
    name = mint(server)
    assert Pair(server, endpoint=Endpoint.gemini(token=name, key_in_query=True)).text("hi")
    name = mint(server)
    repeated = custom(_PATH.format("v1alpha"), headers=[("x-goog-api-key", name)])
    assert Pair(server, endpoint=repeated, model="models/m").text("hi")


def test_uses() -> None:
    server = Emulator()
    name = mint(server, uses=0)
    for _ in range(3):
        assert with_token(server, name).text("hi")
    name = mint(server, uses=2)
    for _ in range(2):
        assert with_token(server, name).text("hi")
    assert closed(with_token(server, name)) == SPENT


def test_resuming_and_refused_setups_do_not_count_as_uses() -> None:
    server = Emulator()
    name = mint(server)
    assert closed(with_token(server, name, model="missing"))[0] == 1008
    pair = with_token(server, name, {**TEXT, "session_resumption": {}})
    handle = pair.client.resumption.handle
    pair.client.close()
    pair.run()
    pair = with_token(server, name, {**TEXT, "session_resumption": {"handle": handle}}, start=1100.0)
    assert pair.text("hi")


def test_times() -> None:
    server = Emulator()
    name = mint(server)
    assert with_token(server, name, start=1059.0).text("hi")
    assert closed(with_token(server, mint(server), start=1061.0)) == SPENT
    later = WALL + timedelta(minutes=5)
    name = mint(server, new_session_expire_time=later, uses=0)
    assert with_token(server, name, start=1299.0).text("hi")
    assert closed(with_token(server, name, start=1300.0)) == SPENT
    name = mint(server, new_session_expire_time=later, expire_time=WALL + timedelta(seconds=1))
    assert closed(with_token(server, name, start=1002.0)) == SPENT
    reply = server.mint_token(AuthTokenCreateRequest(expire_time=later, uses=3), 0.0, wall=WALL)
    assert (reply.expire_time, reply.new_session_expire_time, reply.uses) == (later, None, 3)
    # A connection without a clock has not waited.
    assert with_token(server, mint(server), start=None).text("hi")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"uses": -1}, "uses"),
        ({"expire_time": WALL + timedelta(hours=20, seconds=1)}, "expire_time"),
        ({"new_session_expire_time": WALL}, "new_session_expire_time"),
        ({"field_mask": "model"}, "field_mask"),
        ({"field_mask": "modell", "bidi_generate_content_setup": LiveClientSetup()}, "field_mask"),
        ({"field_mask": "model.x", "bidi_generate_content_setup": LiveClientSetup()}, "field_mask"),
        ({"field_mask": "tools.google_search", "bidi_generate_content_setup": LiveClientSetup()}, "field_mask"),
        ({"field_mask": "generationConfig.x", "bidi_generate_content_setup": LiveClientSetup()}, "field_mask"),
    ],
)
def test_refused_token_requests(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Emulator().mint_token(AuthTokenCreateRequest(**fields), 0.0, wall=WALL)
    assert caught.value.path == path


def test_a_time_of_day_needs_the_time_of_day() -> None:
    with pytest.raises(InvalidMessage, match="wall"):
        Emulator().mint_token(AuthTokenCreateRequest(expire_time=WALL), 0.0)


def locked(**fields: Any) -> LiveClientSetup:
    return LiveClientSetup(model="models/locked", **fields)


def test_a_locked_setup_replaces_that_of_the_client() -> None:
    server = Emulator()
    setup = locked(generation_config=GenerationConfig(response_modalities=[Modality.TEXT]))
    name = mint(server, bidi_generate_content_setup=setup)
    pair = with_token(server, name, {**AUDIO, "session_resumption": {}}, model="mine")
    assert said(pair.text("hi")) == "hi"
    assert pair.client.resumption.handle  # what the client says about resumption stays
    # An unfitting setup of the client is of no interest then.
    name = mint(server, bidi_generate_content_setup=setup)
    assert with_token(server, name, model="missing").text("hi")


def test_a_locked_setup_may_request_resumption() -> None:
    server = Emulator()
    setup = locked(session_resumption=SessionResumptionConfig())
    name = mint(server, bidi_generate_content_setup=setup)
    handle = with_token(server, name).client.resumption.handle
    assert handle
    # What is only for the other backend is found in a setup made of tuples too.
    search = GoogleSearch(exclude_domains=("a",))
    name = mint(server, bidi_generate_content_setup=locked(tools=(Tool(google_search=search),)))
    assert "excludeDomains" in closed(with_token(server, name))[1]


def test_a_mask_locks_some_fields() -> None:
    server = Emulator()
    setup = locked(
        generation_config=GenerationConfig(response_modalities=[Modality.AUDIO], temperature=0.1),
        system_instruction=None,
    )
    name = mint(
        server,
        uses=0,
        bidi_generate_content_setup=setup,
        field_mask="model, generationConfig.responseModalities,,systemInstruction",
    )
    pair = with_token(server, name, {**TEXT, "system_instruction": "mine"}, model="missing")
    new = pair.text("/system")
    assert pcm(new)
    assert not transcript(new)
    pair = with_token(server, name, None, model="m")
    assert pcm(pair.text("hi"))
    name = mint(server, bidi_generate_content_setup=locked(), field_mask="generation_config.response_modalities")
    assert pcm(with_token(server, name, TEXT).text("hi"))
    name = mint(server, bidi_generate_content_setup=locked(), field_mask="generation_config.response_modalities")
    assert pcm(with_token(server, name, None).text("hi"))
    name = mint(server, bidi_generate_content_setup=setup, field_mask="")
    assert said(with_token(server, name).text("hi"))


# --- ids --------------------------------------------------------------------------------------------------------


def test_ids_count_up_or_use_entropy() -> None:
    def ids(server: Emulator) -> list[Any]:
        pair = Pair(server, {**TEXT, "session_resumption": {}}, VERTEX)
        (complete,) = of(pair.events, ev.SetupComplete)
        return [complete.session_id, pair.client.resumption.handle, mint(server)]

    assert ids(Emulator()) == ids(Emulator())
    server = Emulator()
    assert set(ids(server)).isdisjoint(ids(server))
    random = ids(Emulator(entropy=lambda count: b"\xab" * count))
    assert "ab" * 16 in random[1]
    assert "ab" * 16 in random[2]
    (complete,) = of(Pair(emulator(session_id=lambda n: f"nr {n}"), endpoint=VERTEX).events, ev.SetupComplete)
    assert complete.session_id == "nr 1"


# --- the machine ------------------------------------------------------------------------------------------------


def test_an_emulated_connection_has_the_members_of_a_connection() -> None:
    with connected() as pair:
        server = pair.server
        assert repr(server) == "<EmulatedConnection OPEN READY turn=IDLE>"
        assert server.close_info is None
        assert server.latency is None
        assert server.pending_tool_calls == ()
        assert (server.buffered_in, server.buffered_out) == (0, 0)
        server.ping(b"x")
        assert "PingReceived" in names(pair.run())
        assert server.latency is not None
        server.close(1001, "bye")
        pair.run()
        assert closed(pair) == (1001, "bye")
        assert server.close_info is not None
        assert server.close_info.code == 1001
        assert server.state is ConnectionState.CLOSED
        # Time goes on; nothing happens any more.
        server.advance((pair.now or 0) - 500)
        pair.wait(100)


def test_a_client_that_leaves_before_the_upgrade() -> None:
    pair = Pair(connect=False)
    pair.server.receive_data(pair.client.data_to_send())
    pair.server.transport_failed("reset")
    assert names(list(pair.server.events())) == ["UpgradeRequested", "ConnectionFailed", "ConnectionClosed"]


def test_messages_that_arrive_with_the_close_get_no_answer() -> None:
    with connected() as pair:
        pair.client.send_realtime_input(text="hi")
        pair.client.close()
        pair.run()
        assert "RealtimeInputReceived" in names(pair.seen)
        assert not said(pair.events)
    pair = Pair(connect=False)
    pair.server.receive_data(pair.client.data_to_send())
    list(pair.server.events())
    pair.client.receive_data(pair.server.data_to_send())
    pair.server.receive_data(pair.client.data_to_send())
    pair.server.receive_eof()
    assert "SetupReceived" in names(list(pair.server.events()))
    assert pair.server.state is ConnectionState.CLOSED


def test_the_emulation_answers_the_upgrade_by_itself() -> None:
    # Drivers may call accept() after they have taken UpgradeRequested.
    pair = Pair(connect=False)
    with pytest.raises(IllegalInState):
        pair.server.accept()
    pair.run()
    pair.server.accept()
    with pytest.raises(IllegalInState):
        pair.server.reject(403)
    assert said(pair.text("hi")) == "hi"
    pair = Pair(endpoint=custom("/"))
    with pytest.raises(AlreadyClosed):
        pair.server.accept()


def test_compression() -> None:
    from live_protocol.connection import LiveConnection

    server = Emulator(compression=True)
    pair = Pair(server, connect=False)
    pair.client = LiveConnection.client(GEMINI, TEXT, model="m", compression=True)
    pair.run()
    (connected_event,) = of(pair.events, ev.Connected)
    assert connected_event.compression
    assert said(pair.text("hi")) == "hi"


def test_options_are_checked() -> None:
    from live_protocol.emulator import EmulatorOptions

    for wrong in ({"speed": 0.0}, {"lifetime": -1.0}, {"setup_delay": -0.1}, {"threshold": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            EmulatorOptions(**wrong)
    assert attrs.evolve(EmulatorOptions(), speed=None).speed is None
