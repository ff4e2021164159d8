"""WAV files, with errors for the user."""

from __future__ import annotations

from pathlib import Path

from live_protocol.audio import wav
from live_protocol.messages import AudioFormat
from live_transports.cli.exit import BAD_INPUT, FAILED, CommandFailed


def read_wav_file(source: wav.WavSource, name: str) -> tuple[AudioFormat, bytes]:
    """Read an open WAV file as 16-bit PCM.

    Args:
        source: The file, in binary mode.
        name: The file's name in errors.

    Raises:
        CommandFailed: The file cannot be read, or is not a supported WAV file.
    """
    try:
        return wav.read_wav(source)
    except (OSError, wav.InvalidWav) as error:
        raise CommandFailed(f"{name}: {error}", BAD_INPUT) from error


def write_wav_file(path: Path, audio: AudioFormat, data: bytes) -> None:
    """Write a WAV file, replacing an existing one.

    Raises:
        CommandFailed: The file cannot be written.
    """
    try:
        with path.open("wb") as file:
            wav.write_wav(file, audio, data)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", FAILED) from error
