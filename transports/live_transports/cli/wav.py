"""WAV files by path, with errors for people."""

from __future__ import annotations

from pathlib import Path

from live_protocol.audio import wav
from live_protocol.messages import AudioFormat
from live_transports.cli.exit import BAD_INPUT, FAILED, CommandFailed


def read_wav_file(source: wav.WavSource, name: str) -> tuple[AudioFormat, bytes]:
    """The samples of an open WAV file, as 16-bit PCM.

    Args:
        source: The file, in binary mode.
        name: What to call it in errors.

    Raises:
        CommandFailed: It cannot be read, or is no WAV file of a known kind.
    """
    try:
        return wav.read_wav(source)
    except (OSError, wav.InvalidWav) as error:
        raise CommandFailed(f"{name}: {error}", BAD_INPUT) from error


def write_wav_file(path: Path, audio: AudioFormat, data: bytes) -> None:
    """Write samples as a WAV file; a file that exists is replaced.

    Raises:
        CommandFailed: The file cannot be written.
    """
    try:
        with path.open("wb") as file:
            wav.write_wav(file, audio, data)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", FAILED) from error
