"""Properties of every message class and enum."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import attrs
import pytest
from support.introspection import ENUMS, MESSAGES, MODULES, fields, filled, hints, sample, shape

from live_protocol import messages
from live_protocol.events import AudioChunk, OutputTranscript
from live_protocol.messages import (
    CONNECT_CONFIG_TO_SETUP,
    NO_EXTRA,
    Blob,
    Content,
    GenerationConfig,
    LiveClientSetup,
    LiveConnectConfig,
    Modality,
    OpenEnum,
    Part,
    SessionResumptionConfig,
    Tool,
    music,
    to_setup,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.messages.fields import constructor

ALL = {**MESSAGES, "LiveConnectConfig": LiveConnectConfig}

HOT = {
    "Blob",
    "Content",
    "FunctionCall",
    "LiveClientMessage",
    "LiveClientRealtimeInput",
    "LiveServerContent",
    "LiveServerMessage",
    "LiveServerToolCall",
    "ModalityTokenCount",
    "Part",
    "Transcription",
    "UsageMetadata",
}

every_class = pytest.mark.parametrize("cls", ALL.values(), ids=ALL.keys())

# --- shape --------------------------------------------------------------------------------------------------


@every_class
def test_is_final_slotted_and_keyword_only(cls: type[Any]) -> None:
    assert cls.__final__
    assert not hasattr(cls(), "__dict__")
    assert all(field.kw_only for field in attrs.fields(cls))
    assert cls.__mro__[1:] == (object,)


@every_class
def test_ends_with_extra(cls: type[Any]) -> None:
    last = attrs.fields(cls)[-1]
    assert last.name == "extra"
    assert cls().extra is NO_EXTRA


@every_class
def test_is_empty_by_default(cls: type[Any]) -> None:
    for field in fields(cls):
        assert field.default == (() if shape(hints(cls)[field.name]).repeated else None), field.name
    assert cls() == cls()


@every_class
def test_is_frozen_unless_hot(cls: type[Any]) -> None:
    message = cls()
    if cls.__name__ in HOT:
        message.extra = {"a": 1}
        assert message.extra == {"a": 1}
    else:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            message.extra = {}


@every_class
def test_has_no_behaviour(cls: type[Any]) -> None:
    assert [name for name in vars(cls) if not name.startswith("_") and name not in attrs.fields_dict(cls)] == []


@every_class
def test_every_annotation_resolves(cls: type[Any]) -> None:
    assert list(hints(cls)) == [field.name for field in attrs.fields(cls)]


def test_the_shared_empty_extra_cannot_change() -> None:
    message = Blob()
    with pytest.raises(TypeError, match="extra="):
        message.extra["key"] = 1  # type: ignore[index]
    assert NO_EXTRA == {}


# --- copying ------------------------------------------------------------------------------------------------


@every_class
def test_copies_and_pickles(cls: type[Any]) -> None:
    for message in (cls(), filled(cls), attrs.evolve(filled(cls), extra={"newField": {"a": [1]}})):
        assert copy.copy(message) == message
        assert copy.deepcopy(message) == message
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(message, protocol))
            assert again == message
            assert type(again) is cls
    assert copy.deepcopy(cls()).extra is NO_EXTRA
    assert pickle.loads(pickle.dumps(cls())).extra is NO_EXTRA


@every_class
def test_evolves_and_compares_by_value(cls: type[Any]) -> None:
    message = filled(cls)
    assert message == filled(cls)
    for field in fields(cls):
        assert attrs.evolve(message, **{field.name: field.default}) != message, field.name
    assert attrs.evolve(message, extra={"newField": 1}) != message


# --- repr ---------------------------------------------------------------------------------------------------

CREDENTIAL = re.compile(r"(^|_)(api_key|secret|token|handle|credential|password|signature|headers)($|_)")


def test_repr_accepts_any_value_in_place_of_a_payload() -> None:
    wrong: Any = 5
    assert "data=<int>" in repr(Blob(data=wrong))


@every_class
def test_repr_hides_secrets_and_shortens_payloads(cls: type[Any]) -> None:
    for field in fields(cls):
        kind = shape(hints(cls)[field.name])
        if kind.item is bytes:
            shown = repr(cls(**{field.name: b"\0" * 100_000}))
            assert f"{field.name}=<100000 bytes>" in shown
            assert len(shown) < 1_000
            assert f"{field.name}=None" in repr(cls())
        elif field.repr is False:
            value = {"k": "hunter2"} if kind.mapped or "Mapping" in str(kind.item) else "hunter2"
            message = cls(**{field.name: value})
            assert "hunter2" not in repr(message)
            assert f"{field.name}=" not in repr(message)


@every_class
def test_every_field_named_like_a_credential_is_hidden(cls: type[Any]) -> None:
    for field in fields(cls):
        kind = shape(hints(cls)[field.name])
        if CREDENTIAL.search(field.name) and kind.item is str:
            assert field.repr is False, field.name


def test_known_secrets_are_hidden() -> None:
    hidden = {f"{name}.{field.name}" for name, cls in ALL.items() for field in fields(cls) if not field.repr}
    assert hidden == {
        "ApiAuthApiKeyConfig.api_key_secret_version",
        "ApiAuthApiKeyConfig.api_key_string",
        "ApiKeyConfig.api_key_secret",
        "ApiKeyConfig.api_key_string",
        "AuthConfig.api_key",
        "AuthConfigHttpBasicAuthConfig.credential_secret",
        "AuthConfigOauthConfig.access_token",
        "AuthConfigOidcConfig.id_token",
        "AuthToken.name",
        "GroundingMetadata.google_maps_widget_context_token",
        "LiveServerSessionResumptionUpdate.new_handle",
        "SessionResumptionConfig.handle",
        "StreamableHttpTransport.headers",
        "ToolExaAiSearch.api_key",
        "ToolExaAiSearch.custom_configs",
        "ToolParallelAiSearch.api_key",
        "ToolParallelAiSearch.custom_configs",
        "VoiceConsentSignature.signature",
    }


def test_secrets_stay_hidden_inside_other_messages() -> None:
    config = LiveConnectConfig(session_resumption=SessionResumptionConfig(handle="hunter2"))
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(to_setup(config, "models/m"))


# --- docstrings ---------------------------------------------------------------------------------------------


@every_class
def test_docstring_mentions_every_field(cls: type[Any]) -> None:
    doc = inspect.getdoc(cls)
    assert doc
    head, _, section = doc.partition("\nAttributes:\n")
    summary = head.splitlines()[0]
    assert re.search(r"\(wire\.md#[a-z0-9-]+\)\.$", summary), summary
    listed = re.findall(r"^    (\w+): \S", section, re.MULTILINE)
    expected = [field.name for field in attrs.fields(cls)]
    assert listed in (expected, expected[:-1])  # extra is the same everywhere


@pytest.mark.parametrize("cls", ENUMS.values(), ids=ENUMS.keys())
def test_enums_are_documented(cls: type[Any]) -> None:
    assert cls.__doc__
    assert re.search(r"wire\.md#[a-z]", cls.__doc__)


# --- enums --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ENUMS.values(), ids=ENUMS.keys())
def test_enum_members_are_their_wire_names(cls: type[OpenEnum]) -> None:
    for member in cls:
        assert str(member) == member.value
        assert member == member.value
        assert member.name == member.value.upper()
        assert pickle.loads(pickle.dumps(member)) is member


# --- the package --------------------------------------------------------------------------------------------


def test_the_package_exports_every_class_but_those_of_lyria() -> None:
    expected = {name for module in MODULES if module is not music for name in module.__all__}
    exported = set(messages.__all__)
    assert expected < exported
    assert not set(music.__all__) & exported
    assert exported - expected == {
        "NO_EXTRA",
        "AudioFormat",
        "Backend",
        "Duration",
        "Int64",
        "JsonObject",
        "JsonValue",
        "OpenEnum",
        "Timestamp",
        "music",
    }
    assert len(messages.__all__) == len(exported)
    assert all(hasattr(messages, name) for name in exported)


def test_no_name_is_defined_twice() -> None:
    names = [name for module in MODULES for name in module.__all__]
    assert len(names) == len(set(names))


# --- connect options ----------------------------------------------------------------------------------------

OPTIONS = [field.name for field in fields(LiveConnectConfig)]


def at(message: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        message = getattr(message, name)
    return message


def set_fields(message: Any) -> set[str]:
    cls: Any = type(message)
    return {field.name for field in attrs.fields(cls) if getattr(message, field.name) != field.default}


def test_every_option_has_a_place() -> None:
    assert set(CONNECT_CONFIG_TO_SETUP) == set(OPTIONS)
    assert len(OPTIONS) == 25


@pytest.mark.parametrize("option", OPTIONS)
def test_option_has_the_type_of_its_place(option: str) -> None:
    path = CONNECT_CONFIG_TO_SETUP[option]
    home = LiveClientSetup if len(path) == 1 else GenerationConfig
    expected = hints(home)[path[-1]]
    if option == "system_instruction":
        expected |= str
    assert hints(LiveConnectConfig)[option] == expected
    only = attrs.fields_dict(LiveConnectConfig)[option].metadata.get("only")
    assert only == attrs.fields_dict(home)[path[-1]].metadata.get("only")


@pytest.mark.parametrize("option", OPTIONS)
def test_option_goes_to_its_place_and_nowhere_else(option: str) -> None:
    value = sample(hints(LiveConnectConfig)[option])
    setup = to_setup(LiveConnectConfig(**{option: value}), "models/m")
    path = CONNECT_CONFIG_TO_SETUP[option]
    assert at(setup, path) == value
    assert setup.model == "models/m"
    assert set_fields(setup) == {"model", path[0]}
    if len(path) == 2:
        assert set_fields(setup.generation_config) == {path[1]}


@pytest.mark.parametrize("value", [0, 0.0, False])
def test_a_falsy_value_is_not_absent(value: float) -> None:
    setup = to_setup(LiveConnectConfig(temperature=value, explicit_vad_signal=False), "m")
    assert setup.generation_config == GenerationConfig(temperature=value)
    assert setup.explicit_vad_signal is False


def test_no_options_make_an_empty_setup() -> None:
    empty = LiveConnectConfig(tools=[], system_instruction="", response_modalities=[])
    for config in (LiveConnectConfig(), empty):
        assert to_setup(config, "m") == LiveClientSetup(model="m")


def test_an_option_overrides_the_generation_config() -> None:
    base = GenerationConfig(temperature=0.1, top_p=0.2, extra={"newField": 1})
    config = LiveConnectConfig(generation_config=base, temperature=0.9, response_modalities=[Modality.AUDIO])
    assert to_setup(config, "m").generation_config == GenerationConfig(
        temperature=0.9, top_p=0.2, response_modalities=[Modality.AUDIO], extra={"newField": 1}
    )
    assert base.temperature == 0.1


def test_an_empty_generation_config_is_kept() -> None:
    assert to_setup(LiveConnectConfig(generation_config=GenerationConfig()), "m").generation_config is not None


def test_text_becomes_a_system_instruction() -> None:
    setup = to_setup(LiveConnectConfig(system_instruction="Be brief."), "m")
    assert setup.system_instruction == Content(role="user", parts=(Part(text="Be brief."),))


def test_unknown_options_pass_through() -> None:
    config = LiveConnectConfig(extra={"newFeature": {"on": True}}, tools=[Tool()])
    assert to_setup(config, "m") == LiveClientSetup(model="m", tools=[Tool()], extra={"newFeature": {"on": True}})


# --- construction in the hot path -------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [MESSAGES[name] for name in sorted(HOT)])
def test_a_generated_constructor_makes_what_the_class_makes(cls: type[Any]) -> None:
    whole = filled(cls)
    names = [field.name for field in attrs.fields(cls)]
    assert constructor(cls, *names)(*(getattr(whole, name) for name in names)) == whole
    bare = constructor(cls)()
    assert bare == cls()
    assert [type(getattr(bare, name)) for name in names] == [type(getattr(cls(), name)) for name in names]


def test_a_generated_constructor_of_an_event() -> None:
    audio = AudioFormat(rate=24_000)
    made = constructor(AudioChunk, "format", "data", "generation")(audio, b"ab", 3)
    assert made == AudioChunk(data=b"ab", format=audio, generation=3)
    assert made.last
    assert constructor(OutputTranscript, "text", "transcription")("a", None).text == "a"
