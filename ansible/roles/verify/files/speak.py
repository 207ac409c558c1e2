"""Runs on a host: has one slot transcribe half a second of a tone. Standard library only.

speak.py URL SLOT SECONDS     prints what came of it in some words; exit status 0 when it was an answer
"""

from __future__ import annotations

import http.client
import io
import json
import math
import struct
import sys
import time
import uuid
import wave
from urllib.parse import urlsplit

RATE, TONE_HZ, LOUDNESS = 16_000, 440, 3000
OK = 200


def recording() -> bytes:
    """Half a second of a tone, as WAV: 16 kHz, 16 bits, one channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        for place in range(RATE // 2):
            sound.writeframes(struct.pack("<h", round(LOUDNESS * math.sin(2 * math.pi * TONE_HZ * place / RATE))))
    return file.getvalue()


def form(slot: str, boundary: str) -> bytes:
    """The upload as an OpenAI client makes it."""
    model = f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{slot}\r\n'
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="tone.wav"\r\n'
    head += "Content-Type: audio/wav\r\n\r\n"
    return model.encode() + head.encode() + recording() + f"\r\n--{boundary}--\r\n".encode()


def ask(url: str, slot: str, seconds: float) -> tuple[int, str]:
    """hal0's status and what it says."""
    boundary = uuid.uuid4().hex
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=seconds)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    try:
        connection.request("POST", "/v1/audio/transcriptions", form(slot, boundary), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except OSError as problem:
        return 0, str(problem)
    finally:
        connection.close()


def main(url: str, slot: str, seconds: str) -> int:
    start = time.monotonic()
    status, text = ask(url, slot, float(seconds))
    if status == OK:
        print(f"answered in {time.monotonic() - start:.0f} s")
        return 0
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:200]
    print(f"FAILED: {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
