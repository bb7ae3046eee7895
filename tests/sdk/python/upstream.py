"""Mistral on a bad day: the last message says what happens to its request."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RATE_LIMITED = {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": None, "code": "1300"}
INVALID = {
    "detail": [
        {"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "Input should be at most 1.5", "input": 9},
        {"type": "extra_forbidden", "loc": ["body", "extra"], "msg": "Extra inputs are not permitted", "input": 1},
    ]
}


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self):
        self.whole(200, {"object": "list", "data": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match body["messages"][-1]["content"]:
            case "too often":
                self.whole(429, RATE_LIMITED, {"Retry-After": "70"})
            case "invalid":
                self.whole(422, INVALID)
            case "refuse":
                message = {"role": "assistant", "content": None, "refusal": "I cannot."}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                self.whole(200, {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice]})
            case "break off":
                self.begin(200, "text/event-stream")
                # More than policies hold back.
                for piece in ["word " * 30, "and " * 30]:
                    choice = {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}
                    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
                    self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())
            case other:
                raise AssertionError(other)

    def whole(self, status, body, headers={}):
        self.begin(status, "application/json", headers)
        self.wfile.write(json.dumps(body).encode())

    def begin(self, status, kind, headers={}):
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def start():
    """On a free port, until the process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
