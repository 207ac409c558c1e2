"""core/multipart and services/upload: the model of a form is found, and changed, while the rest streams past."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.formparser import parse_form_data

from hal0app.core.multipart import HEADER_BYTES, FieldSearch
from hal0app.services.upload import KEPT_BYTES, Kept, Upload

Part = tuple[str, Any]
BOUNDARY = b"XX"
NAMES = st.sampled_from(["model", "file", "language", "Model", "models", 'mo"del'])
VALUES = st.binary(max_size=60) | st.sampled_from(
    [b"", b"\r\n", b"--XX", b"\r\n--X", b"\r\n--XXX", b"-- XX--", b"\r\n\r\n"]
)
PARTS = st.lists(st.tuples(NAMES, st.booleans(), VALUES), max_size=5)


def form(parts: list[tuple[str, bool, bytes]]) -> bytes:
    """A form; a part that is a file has a file name."""
    body = b""
    for name, is_file, value in parts:
        quoted = name.replace('"', '\\"')
        file = '; filename="a; name=\\"model\\""' if is_file else ""
        body += b"--XX\r\nContent-Disposition: form-data; name=\"%b\"%b\r\nContent-Type: a/b\r\n\r\n%b\r\n" % (
            quoted.encode(), file.encode(), value,
        )  # fmt: skip
    return body + b"--XX--\r\n"


def found(raw: bytes, sizes: Iterator[int] | None = None) -> bytes | None:
    """The value of `model` in a form that comes in pieces of these sizes."""
    search, buffer, at = FieldSearch(BOUNDARY, "model"), bytearray(), 0
    while not search.look(buffer):
        size = next(sizes, len(raw)) if sizes else len(raw)
        if at >= len(raw):
            return None
        buffer += raw[at : at + size]
        at += size
    return None if search.span is None else bytes(buffer[slice(*search.span)])


@given(PARTS, st.lists(st.integers(1, 30)))
def test_the_field_is_found_in_whatever_pieces_the_form_comes(
    parts: list[tuple[str, bool, bytes]], sizes: list[int]
) -> None:
    clean = [part for part in parts if b"\r\n--XX\r\n" not in part[2] + b"\r\n" and b"\r\n--XX--" not in part[2]]
    clean = [part for part in clean if not part[2].startswith(b"--XX")]
    expected = next((value for name, is_file, value in clean if name == "model" and not is_file), None)
    raw = form(clean)
    assert found(raw, iter(sizes)) == found(raw) == expected


@given(PARTS, st.lists(st.integers(1, 30)))
def test_whether_there_is_a_file_is_known_at_the_end(parts: list[tuple[str, bool, bytes]], sizes: list[int]) -> None:
    clean = [(name, is_file, b"v") for name, is_file, _ in parts]
    raw, pieces, at = form(clean), iter(sizes), 0
    search, buffer = FieldSearch(BOUNDARY, "model"), bytearray()
    while not search.look(buffer):
        size = next(pieces, len(raw))
        buffer += raw[at : at + size]
        at += size
    assert search.has_file or search.ended
    assert search.has_file is any(is_file for _, is_file, _ in clean)


OURS = ("image", "image[]", "image[0]")


@given(PARTS, st.sampled_from([*OURS, "mask", "images", "image[x]"]), st.lists(st.integers(1, 30)))
def test_a_file_of_another_name_is_not_the_one_that_is_needed(
    parts: list[tuple[str, bool, bytes]], name: str, sizes: list[int]
) -> None:
    raw, pieces, at = form([*((one, is_file, b"v") for one, is_file, _ in parts), (name, True, b"f")]), iter(sizes), 0
    search, buffer = FieldSearch(BOUNDARY, "model", file="image"), bytearray()
    while not search.look(buffer):
        size = next(pieces, len(raw))
        buffer += raw[at : at + size]
        at += size
    assert search.has_file or search.ended
    assert search.has_file is (name in OURS)


@pytest.mark.parametrize("nothing", [b'""', b""])
def test_what_a_browser_sends_for_a_field_without_a_file_is_none(nothing: bytes) -> None:
    raw = form([("model", False, b"m"), ("file", True, b"")])
    search = FieldSearch(BOUNDARY, "model", file="file")
    assert search.look(re.sub(rb"filename=.*", b"filename=" + nothing, raw))
    assert (search.has_file, search.ended) == (False, True)


@given(PARTS, st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20))
def test_a_form_with_another_model_has_the_right_length_and_the_same_rest(
    parts: list[tuple[str, bool, bytes]], model: str
) -> None:
    clean = [(name, is_file, b"v%d" % n) for n, (name, is_file, _) in enumerate(parts)]
    raw = form(clean)
    upload = read_upload(raw).named(model.replace("\r", "").replace("\n", "") or "m")
    body = b"".join(upload)
    assert len(body) == upload.length
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "REQUEST_METHOD": "POST",
               "CONTENT_TYPE": "multipart/form-data; boundary=XX"}  # fmt: skip
    _, fields, files = parse_form_data(environ, stream_factory=lambda *_, **__: io.BytesIO())
    assert fields["model"] == (model.replace("\r", "").replace("\n", "") or "m")
    others = [value.decode() for name, is_file, value in clean if not is_file and name not in ("model", 'mo"del')]
    assert sorted(value for name, value in fields.items(multi=True) if name not in ("model", 'mo"del')) == sorted(
        others
    )
    assert sum(1 for _ in files.items(multi=True)) == sum(1 for _, is_file, _ in clean if is_file)


def read_upload(raw: bytes, piece: int = 7) -> Upload:
    search, head, at = FieldSearch(BOUNDARY, "model"), bytearray(), 0
    while not search.look(head) and at < len(raw):
        head += raw[at : at + piece]
        at += piece
    rest = iter([raw[at:]]) if at < len(raw) else iter(())
    return Upload(BOUNDARY, bytes(head), search.span, rest, len(raw))


def test_a_form_of_a_real_client_is_read() -> None:
    request = requests.Request("POST", "http://x", data={"model": "whisper"}, files={"file": ("a.wav", b"R" * 99_999)})
    sent = request.prepare()
    boundary = sent.headers["Content-Type"].partition("boundary=")[2].encode()
    search = FieldSearch(boundary, "model")
    assert isinstance(sent.body, bytes)
    assert search.look(sent.body[:400])
    assert search.span is not None
    assert sent.body[slice(*search.span)] == b"whisper"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no form at all",
        b"--XX--\r\n",
        b"--XX\r\n\r\nno headers\r\n--XX--",
        b'--XX\r\nContent-Disposition: attachment; name="model"\r\n\r\nx\r\n--XX--',
        b"--XX\r\nContent-Disposition: form-data; name=\"model\"; filename*=utf-8''x\r\n\r\nx\r\n--XX--",
        b"--XX\r\n" + b"h" * 3 * HEADER_BYTES,
        b"--XX" + b" " * 3 * HEADER_BYTES,
    ],
)
def test_what_has_no_such_field_has_none(raw: bytes) -> None:
    assert found(raw) is None


@pytest.mark.parametrize("head", [b"", b"preamble\r\n"])
@pytest.mark.parametrize("padding", [b"", b" \t"])
def test_a_preamble_and_padding_are_allowed(head: bytes, padding: bytes) -> None:
    raw = head + b"--XX" + padding + b"\r\ncontent-disposition:FORM-DATA;name=model\r\n\r\nm\r\n--XX--"
    assert found(raw.replace(b"FORM-DATA", b"form-data"), iter([1] * len(raw))) == b"m"


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"preamble\r\n"])
def test_a_form_without_the_field_gets_it_as_its_first(preamble: bytes) -> None:
    raw = preamble + form([("file", True, b"data")])
    upload = read_upload(raw)
    assert upload.model == ""
    named = upload.named("m")
    sent = b"".join(named)
    assert sent.startswith(preamble + b'--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--XX')
    assert sent.endswith(raw.removeprefix(preamble))
    assert (found(sent), named.length) == (b"m", len(sent))


def test_what_went_out_can_go_out_again_while_it_was_kept() -> None:
    raw = form([("model", False, b"m"), ("file", True, b"x" * 1000)])
    upload = read_upload(raw)
    half = iter(upload)
    next(half), next(half)
    assert b"".join(upload) == b"".join(upload.named("m")) == raw
    assert not upload.spent


def test_many_uploads_share_what_is_kept_and_give_it_back() -> None:
    kept = Kept(1000)
    one = Upload(BOUNDARY, b"", None, iter([b"x" * 400] * 2), kept=kept)
    other = Upload(BOUNDARY, b"", None, iter([b"x" * 150] * 2), kept=kept)
    b"".join(one), b"".join(other)
    assert (one.spent, other.spent, kept.left) == (False, True, 200)
    one.forget(), one.forget()
    assert (one.spent, kept.left) == (True, 1000)


def test_a_long_upload_is_not_kept_and_says_so() -> None:
    pieces = [b"x" * (1 << 20)] * (KEPT_BYTES // (1 << 20) + 2)
    upload = Upload(BOUNDARY, b"head", None, iter(pieces), None)
    other = upload.named("m")
    assert sum(map(len, other)) == 4 + sum(map(len, pieces))
    assert upload.spent
    assert other.spent
    assert upload._flow._kept == []
