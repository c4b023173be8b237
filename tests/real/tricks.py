"""An HTTP/1.1 server that says which of its handlers for `/admin`, and for the host `admin.shop`, a request reached.

Paths are read in two ways: decoded and normalised, as `http.server` does for files, and decoded alone. Prints the port, then
`HANDLER CASE` for each request that reached one.
"""

import posixpath
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def below(path):
    return path == "/admin" or path.startswith("/admin/")


class Handler(BaseHTTPRequestHandler):
    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self):
        path = self.path
        if not path.startswith("/"):
            try:
                path = urlsplit(path).path
            except ValueError:
                pass
        path = unquote(path.split("?", 1)[0].split("#", 1)[0])
        reached = []
        if below(path):
            reached.append("decoding")
        if below(posixpath.normpath(path)) or below("/" + posixpath.normpath(path).lstrip("/")):
            reached.append("normalising")
        hosts = self.headers.get_all("host") or []
        if any(host.split(":")[0].strip().rstrip(".").lower() == "admin.shop" for host in hosts):
            reached.append("host")
        for handler in reached:
            # In one piece: calls are served side by side.
            sys.stdout.write(f"{handler} {self.headers.get('x-case')}\n")
            sys.stdout.flush()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http1 {server.server_port}", flush=True)
server.serve_forever()
