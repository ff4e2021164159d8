"""The wire's words: one class per message, one enum per enum, under their official names.

Knows no other room. Begin reading in ``content``, then ``client`` and ``server``. An absent field is None, or ``()`` if
it is repeated; ``extra`` holds the fields that this version does not know, by wire key; an enum field holds an unknown
name as a plain string. Lyria RealTime is a protocol of its own and stays in ``music``.
"""

from live_protocol.messages import (
    client,
    config,
    connect,
    content,
    credentials,
    enums,
    grounding,
    music,
    retrieval,
    schema,
    server,
    tokens,
    tools,
    usage,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.messages.client import *
from live_protocol.messages.config import *
from live_protocol.messages.connect import *
from live_protocol.messages.content import *
from live_protocol.messages.credentials import *
from live_protocol.messages.enums import *
from live_protocol.messages.fields import (
    NO_EXTRA,
    Backend,
    Duration,
    Int64,
    JsonObject,
    JsonValue,
    OpenEnum,
    Timestamp,
)
from live_protocol.messages.grounding import *
from live_protocol.messages.retrieval import *
from live_protocol.messages.schema import *
from live_protocol.messages.server import *
from live_protocol.messages.tokens import *
from live_protocol.messages.tools import *
from live_protocol.messages.usage import *

__all__ = [
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
]
__all__ += client.__all__
__all__ += config.__all__
__all__ += connect.__all__
__all__ += content.__all__
__all__ += credentials.__all__
__all__ += enums.__all__
__all__ += grounding.__all__
__all__ += retrieval.__all__
__all__ += schema.__all__
__all__ += server.__all__
__all__ += tokens.__all__
__all__ += tools.__all__
__all__ += usage.__all__
