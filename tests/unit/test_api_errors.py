"""api/errors: what fails behind the views is a fault of ours, and is told as one."""

from __future__ import annotations

import pytest
from flask import Flask, Response

from hal0app.api import errors


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/slots"])
def test_a_fault_after_the_view_is_no_fault_of_the_request(path: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__)
    errors.init_app(app)

    def fails(response: Response) -> Response:
        raise ValueError("a header holds a line end")

    app.after_request(fails)
    app.add_url_rule(path, view_func=lambda: "", endpoint="view")
    answer = app.test_client().get(path)
    assert (answer.status_code, answer.json and answer.json["error"]["code"]) == (500, "system.internal")
    assert "a header holds a line end" in caplog.text
