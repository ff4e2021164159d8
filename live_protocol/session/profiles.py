"""What is known about families of models, as data: used for warnings and for gates that are asked for, never by itself.

Sources: wire.md#setup-by-model, wire.md#blocking, wire.md#activity-defaults and wire.md#handles. A model that no row
names gets the defaults. Rows are plain values, so an
application corrects one with ``attrs.evolve`` or writes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

import attrs

from live_protocol.errors import IllegalInState
from live_protocol.messages import Behavior, LiveClientSetup, Modality
from live_protocol.session.tool_calls import ToolCallTracker


@final
@attrs.frozen(kw_only=True)
class ModelProfile:
    """One family of models.

    Attributes:
        family: Name of the row.
        name_parts: Parts of a model's name, any of which makes it a member; the first row that fits wins.
        modalities: Response modalities that the family serves; empty if that is unknown.
        thinking_level: Whether ``thinking_config.thinking_level`` is required (True), refused (False), or free (None).
        affective_dialog: Whether ``enable_affective_dialog`` is taken.
        client_content_later: Whether client content is taken after the initial history.
        context_update: Whether instructions and tools can be replaced in mid-session.
        blocking_calls: Whether a call whose declaration names no behavior blocks the model.
        scheduling: Whether ``FunctionResponse.scheduling`` is taken; if not, a session with this profile
            refuses it.
        audio_during_calls: Whether audio may be sent while a blocking call is open. Some models end the session with
            1007 or 1008; set False to have such audio refused here, see `LiveConnection.client`.
    """

    family: str = "unknown"
    name_parts: Sequence[str] = ()
    modalities: Sequence[Modality] = ()
    thinking_level: bool | None = None
    affective_dialog: bool = True
    client_content_later: bool = True
    context_update: bool = True
    blocking_calls: bool = True
    scheduling: bool = True
    audio_during_calls: bool = True

    def warnings(self, setup: LiveClientSetup) -> list[str]:
        """What in a setup this family is known to refuse, a sentence each with its path; nothing is changed."""
        warnings: list[str] = []
        generation = setup.generation_config
        modalities = generation.response_modalities if generation is not None else ()
        unserved = [str(modality) for modality in modalities if self.modalities and modality not in self.modalities]
        if unserved:
            served = ", ".join(self.modalities)
            warnings.append(
                f"setup.generation_config.response_modalities: {self.family} serves {served}, not {', '.join(unserved)}"
            )
        level = generation and generation.thinking_config and generation.thinking_config.thinking_level
        if self.thinking_level is True and not level:
            warnings.append(f"setup.generation_config.thinking_config: {self.family} requires a thinking_level")
        if self.thinking_level is False and level:
            warnings.append(f"setup.generation_config.thinking_config.thinking_level: {self.family} refuses it")
        if not self.affective_dialog and generation is not None and generation.enable_affective_dialog:
            warnings.append(f"setup.generation_config.enable_affective_dialog: {self.family} does not have it any more")
        return warnings

    def blocks(self, setup: LiveClientSetup, name: str | None) -> bool:
        """Whether an open call to the function ``name`` keeps the model waiting."""
        for tool in setup.tools:
            for declaration in tool.function_declarations:
                if declaration.name == name and declaration.behavior is not None:
                    return declaration.behavior == Behavior.BLOCKING
        return self.blocking_calls


PROFILES: Final[Sequence[ModelProfile]] = (
    ModelProfile(
        family="3.8 extended thinking",
        name_parts=("3.8-live-extended-thinking",),
        modalities=(Modality.AUDIO,),
        thinking_level=True,
        affective_dialog=False,
        blocking_calls=False,
        scheduling=False,
    ),
    ModelProfile(
        family="3.8",
        name_parts=("3.8-live",),
        modalities=(Modality.AUDIO, Modality.VIDEO),
        thinking_level=False,
        affective_dialog=False,
        blocking_calls=False,
    ),
    ModelProfile(family="3.5 transcribe", name_parts=("transcribe",), modalities=(Modality.TEXT,)),
    ModelProfile(
        family="3.1",
        name_parts=("3.1-flash-live",),
        modalities=(Modality.AUDIO,),
        affective_dialog=False,
        client_content_later=False,
        context_update=False,
    ),
    ModelProfile(
        family="2.5 native audio", name_parts=("native-audio",), modalities=(Modality.AUDIO,), context_update=False
    ),
    ModelProfile(family="2.5", name_parts=("live-2.5", "2.5-flash-live"), context_update=False),
    ModelProfile(family="2.0", name_parts=("2.0-flash-live",), context_update=False),
)
"""The families known by 2026-11, the most special first."""


def profile_for(model: str, profiles: Sequence[ModelProfile] = PROFILES) -> ModelProfile:
    """The row for a model, by parts of its name; the defaults if no row fits.

    Args:
        model: Name or resource name.
        profiles: Rows to look through.
    """
    for profile in profiles:
        if any(mark in model for mark in profile.name_parts):
            return profile
    return ModelProfile()


def supports_scheduling(profile: ModelProfile | None) -> bool:
    """Whether responses may say how they enter the conversation, as far as is known."""
    return profile is None or profile.scheduling


def audio_gate(
    profile: ModelProfile | None, setup: LiveClientSetup | None, calls: ToolCallTracker
) -> Callable[[], None] | None:
    """A check to run before audio is sent, or None if the profile allows audio at any time.

    The gate raises `IllegalInState` while a call is open that blocks the model.
    """
    if profile is None or setup is None or profile.audio_during_calls:
        return None

    def gate() -> None:
        for call in calls.pending():
            if profile.blocks(setup, call.name):
                raise IllegalInState(
                    "realtime input audio",
                    f"call {call.id or call.name!r} blocks the model",
                    "answer the call first: this model ends the session on audio before that",
                )

    return gate
