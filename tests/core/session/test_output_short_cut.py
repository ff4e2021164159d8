"""Output in the middle of a turn takes a short cut; it must tell and move what the long way does."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.core import COMPLETE, GENERATED, GO_AWAY, INTERRUPTED, SETUP_COMPLETE, TEXT, new_client, tell
from support.strategies import CALM, Rules, json_objects, messages_of

from live_protocol import Codec, LiveSession, OutputTranscript, Phase, Timeouts
from live_protocol.messages import Backend, Content, LiveServerContent, LiveServerMessage, Transcription

CODEC = Codec()
RULES = Rules(backend=Backend.GEMINI)
WORDS: dict[str, Any] = {"serverContent": {"outputTranscription": {"text": "well"}}}
ENDED = object()
steps = st.lists(
    st.sampled_from([TEXT, TEXT, GENERATED, INTERRUPTED, COMPLETE, GO_AWAY, WORDS, "send", ENDED]), max_size=5
)


def session_after(before: list[Any], stall: float | None) -> LiveSession:
    session = new_client(timeouts=Timeouts(stall=stall))
    session.advance(0.0)
    session.send_setup()
    tell(session, SETUP_COMPLETE)
    for now, step in enumerate(before, start=1):
        session.tick(now)
        if step is ENDED:
            session.end()
        elif step != "send":
            tell(session, step)
        elif session.phase is not Phase.ENDED:
            session.send_client_content({"role": "user", "parts": [{"text": "and?"}]})
    session.tick(len(before) + 1)
    return session


def told(session: LiveSession, content: dict[str, Any]) -> Any:
    text = json.dumps({"serverContent": content}).encode()
    session.read(text)
    events: list[Any] = list(session.events())
    messages = [event.message.server_content for event in events]
    facts = (session.phase, session.last_phase, session.turn, session.generation, session.awaiting_answer)
    return (
        [(type(event), event) for event in events],
        [content and (content.model_turn, content.output_transcription) for content in messages],
        facts,
        session.next_deadline(),
        [(frame.sent, frame.kind, frame.at) for frame in session.last_frames],
    )


def maybe(drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | drawn


@given(
    steps,
    maybe(messages_of(Transcription, RULES, depth=2)),
    maybe(messages_of(Content, RULES, depth=2)),
    json_objects,
    st.sampled_from([None, 5.0]),
)
@settings(CALM, max_examples=300)
def test_alone_or_beside_a_false_flag_output_says_the_same(
    before: list[Any],
    transcription: Transcription | None,
    turn: Content | None,
    extra: dict[str, Any],
    stall: float | None,
) -> None:
    message = LiveServerMessage(server_content=LiveServerContent(output_transcription=transcription, model_turn=turn))
    alone = CODEC.to_dict(message)["serverContent"] | {f"x{key}": value for key, value in extra.items()}
    beside = {**alone, "generationComplete": False}  # which means nothing, and bars the short cut
    assert told(session_after(before, stall), alone) == told(session_after(before, stall), beside)


@given(st.sampled_from([None, 5.0]))
def test_in_the_middle_of_a_turn(stall: float | None) -> None:
    session = session_after([TEXT, "send"], stall)
    assert session.awaiting_answer
    (event,) = tell(session, WORDS)
    assert event == OutputTranscript(text="well", transcription=Transcription(text="well"), generation=1)
    assert event.last
    assert event.message == CODEC.decode_server(json.dumps(WORDS))
    assert not session.awaiting_answer
    assert session.next_deadline() == (None if stall is None else 8.0)


def test_an_unknown_field_beside_it_is_told() -> None:
    session = session_after([TEXT], None)
    events = tell(session, {"serverContent": {"outputTranscription": {"text": "well"}, "news": 1}})
    assert [type(event).__name__ for event in events] == ["OutputTranscript", "UnknownMessage"]
