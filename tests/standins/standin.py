# SPDX-License-Identifier: Apache-2.0
"""What the stand-ins for services beyond the host have in common.

    STANDIN DIRECTORY PORT [--plain]

Serves HTTPS on 127.0.0.1:PORT with DIRECTORY/server.pem (HTTP with --plain). Each request is appended to
DIRECTORY/requests.jsonl as {"method", "path", "query", "headers", "body"}. DIRECTORY/control.json, read at each
request, makes trouble:

    {"delay": 3}            answers after so many seconds
    {"hold": true}          answers when control.json says no longer that it holds
    {"status": 500, "reason": "oops"}   refuses everything
    {"garbage": true}       200 with a body that is no document
    {"half": true}          announces more bytes than it sends, and hangs up
    {"drop": true}          hangs up without an answer
    {"lose_answer": true}   does what it was asked, and hangs up without an answer
    {"hold_answer": true}   does what it was asked, and answers when control.json says no longer that
    {"only": "/path"}       makes all that trouble only where the path contains this
    {"method": "POST"}      makes it only for this method

What it remembers lies in DIRECTORY too, so that a restart forgets nothing.
"""
import http.server
import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.parse

LOCK = threading.RLock()


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status, reason, body=b"", content_type="application/json"):
        super().__init__(reason)
        self.status, self.reason, self.body, self.content_type = status, reason, body, content_type


class Standin(http.server.BaseHTTPRequestHandler):
    """A service's handler derives from this and defines answer(method, path, query, body) -> (content_type, bytes) or raises Refusal."""

    protocol_version = "HTTP/1.1"
    directory = "."

    def answer(self, method, path, query, body):
        raise NotImplementedError

    def load(self, name, otherwise):
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return otherwise

    def save(self, name, value):
        path = os.path.join(self.directory, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(path + ".new", path)

    def log_message(self, format, *args):
        pass

    def _note(self, path, query, body):
        record = {"method": self.command, "path": path, "query": query, "headers": dict(self.headers),
                  "body": body.decode("utf-8", "replace"), "at": time.time()}
        with LOCK, open(os.path.join(self.directory, "requests.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _send(self, status, reason, content_type, body, announced=None):
        self.send_response(status, reason)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _wait_while(self, key):
        while self.load("control.json", {}).get(key):
            time.sleep(0.02)

    def _hang_up(self):
        self.close_connection = True

    def _trouble(self, control):
        """Makes the trouble that is wanted; True where that was the answer."""
        time.sleep(control.get("delay", 0))
        if control.get("hold"):
            self._wait_while("hold")
        if control.get("drop"):
            self._hang_up()
        elif control.get("status"):
            self._send(control["status"], control.get("reason", "trouble"), "application/json", b'{"data":null}')
        elif control.get("garbage"):
            self._send(200, "OK", "application/json", b'\x00<html>}{ not: [a document')
        elif control.get("half"):
            self._send(200, "OK", "application/json", b'{"da', announced=1000)
            self._hang_up()
        else:
            return False
        return True

    def _serve(self):
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.unquote(parts.path)
        self._note(path, query, body)
        control = self.load("control.json", {})
        if control.get("only", "") not in path or control.get("method", self.command) != self.command:
            control = {}
        if self._trouble(control):
            return
        try:
            with LOCK:
                content_type, answer = self.answer(self.command, path, query, body)
            status, reason = 200, "OK"
        except Refusal as refusal:
            status, reason, content_type, answer = refusal.status, refusal.reason, refusal.content_type, refusal.body
        if control.get("hold_answer"):
            self._wait_while("hold_answer")
        if control.get("lose_answer"):
            self._hang_up()
            return
        self._send(status, reason, content_type, answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


def end(*_):
    """Between two changes of what is remembered, never half-way through one."""
    LOCK.acquire()
    os._exit(0)


def main(handler):
    signal.signal(signal.SIGTERM, end)
    handler.directory, port = sys.argv[1], int(sys.argv[2])
    server = Server(("127.0.0.1", port), handler)
    if "--plain" not in sys.argv:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(handler.directory, "server.pem"))
        # The handshake belongs into the connection's own thread, not into the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
