"""Runs on a host: a registry of models as lemond asks Hugging Face, with one model file of the disk in it.

registry.py FILE CERTIFICATE KEY PORT     answers for https://127.0.0.1:PORT/org/tiny, slowly
"""

import http.server
import json
import ssl
import sys
import time
from pathlib import Path

REVISION = "a" * 40
PIECES, PIECE_S = 20, 0.2


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file = Path(sys.argv[1])

    def do_GET(self) -> None:
        content = self.file.read_bytes()
        if self.path.startswith("/api/models/org/tiny"):
            files = [{"rfilename": self.file.name, "size": len(content)}]
            self._head(told := json.dumps({"id": "org/tiny", "sha": REVISION, "siblings": files}).encode())
            self.wfile.write(told)
        elif self.path == f"/org/tiny/resolve/{REVISION}/{self.file.name}":
            self._head(content)
            size = len(content) // PIECES + 1
            for start in range(0, len(content), size):
                self.wfile.write(content[start : start + size])
                time.sleep(PIECE_S)
        else:
            self.send_error(404)

    def _head(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[4])), Registry)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
