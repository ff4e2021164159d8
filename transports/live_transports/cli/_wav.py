"""WAV files in and out: 16-bit mono PCM, the one format that the Live API takes."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import IO

from live_protocol.audio import AudioFormat
from live_transports.cli._failure import BAD_INPUT, CommandFailed

__all__ = ["read_wav", "write_wav"]


def read_wav(source: str | Path | IO[bytes], name: str | None = None) -> tuple[AudioFormat, bytes]:
    """The samples of a WAV file.

    Args:
        source: Path, or an open binary file.
        name: What to call it in errors; the path if left out.

    Raises:
        CommandFailed: It cannot be read, or is no 16-bit mono PCM.
    """
    name = name or str(source)
    try:
        with wave.open(str(source) if isinstance(source, Path) else source, "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise CommandFailed(f"{name}: {error or 'the file is cut'}", BAD_INPUT) from error
    if (channels, width) != (1, 2):
        raise CommandFailed(f"{name}: need 16-bit mono PCM, got {8 * width}-bit with {channels} channels", BAD_INPUT)
    try:
        audio = AudioFormat(rate)
    except ValueError as error:
        raise CommandFailed(f"{name}: {error}", BAD_INPUT) from error
    return audio, data[: len(data) - len(data) % audio.frame_size]


def write_wav(path: Path, audio: AudioFormat, data: bytes) -> None:
    """Write samples as a WAV file; a file that exists is replaced.

    Raises:
        CommandFailed: The file cannot be written.
    """
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(audio.channels)
            file.setsampwidth(2)
            file.setframerate(audio.rate)
            file.writeframes(data)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
