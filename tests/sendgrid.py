"""The one fake of the mail provider: SendGrid's `POST /v3/mail/send`, strict about what it takes.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "SG.a-key-of-the-tests.and-its-secret"
KNOWN = {"personalizations", "from", "reply_to", "subject", "content", "headers", "custom_args", "categories"}
KNOWN |= {"attachments", "send_at", "asm", "mail_settings", "tracking_settings", "template_id"}
# Headers that SendGrid sets itself and refuses.
RESERVED = {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"}
RESERVED |= {"to", "from", "subject", "reply-to", "cc", "bcc"}


class SendGrid:
    """Use it as a context manager. `status` is what it answers; `took` what it accepted, in order.

    While `answers` is cleared it keeps whoever asks waiting, with a word each second against their timeout.
    `redirect_to` is where it sends the client on. With `is_silent` it takes the mail and cuts the line only when it is
    left: no answer ever comes.
    """

    def __init__(self):
        self.took = []
        self.status = 202
        self.is_silent = False
        self.redirect_to = None
        self.is_left = threading.Event()
        self.on_request = lambda: None
        self.answers = threading.Event()
        self.answers.set()

    def __enter__(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.on_request()
                while not fake.answers.wait(1):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                status, answer = fake.answer(self.path, self.headers, body)
                if fake.is_silent:
                    fake.is_left.wait(30)
                    return
                self.send_response(status)
                if fake.redirect_to:
                    self.send_header("Location", fake.redirect_to)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_left.set()
        self.answers.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/v3/"

    def answer(self, path, headers, body):
        if self.redirect_to:
            return 307, b""
        if self.status != 202:
            return self.status, b'{"errors": [{"message": "try again"}]}'
        problem = self._problem(path, headers, body)
        if problem:
            return problem[0], json.dumps({"errors": [{"message": problem[1]}]}).encode()
        self.took.append(json.loads(body))
        return 202, b""

    def _problem(self, path, headers, body):
        if path != "/v3/mail/send":
            return 404, path
        if headers["Authorization"] != f"Bearer {KEY}":
            return 401, "key"
        mail = json.loads(body)
        if unknown := mail.keys() - KNOWN:
            return 400, f"unknown {unknown}"
        for place in (mail, *mail["personalizations"]):
            if reserved := {name.lower() for name in place.get("headers", {})} & RESERVED:
                return 400, f"reserved {reserved}"
            if not all(isinstance(value, str) for value in place.get("custom_args", {}).values()):
                return 400, "custom_args are strings"
        kinds = [part["type"] for part in mail["content"]]
        if kinds != sorted(kinds, key=["text/plain", "text/html"].index) or not all(
            part["value"] for part in mail["content"]
        ):
            return 400, f"content {kinds}"
        if not mail["from"]["email"] or not all(each["to"] for each in mail["personalizations"]):
            return 400, "addresses"
        return None
