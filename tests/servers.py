"""A real web server on loopback whose answers a test scripts."""

import contextlib
import http.server
import threading
from collections import defaultdict
from collections.abc import Iterator

Answer = str | bytes | tuple[bytes, int, float]  # a status or "hang", a content, or (content, promised length, pause)


class Server(http.server.ThreadingHTTPServer):
    """Answers each path with the next of its scripted answers, the last one for ever; counts requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.requests: dict[str, int] = defaultdict(int)
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answers = self.server.answers.get(self.path, ["404"])
        answer = answers[min(self.server.requests[self.path], len(answers) - 1)]
        self.server.requests[self.path] += 1
        if answer == "hang":
            self.server.over.wait(30)
        elif isinstance(answer, str):
            self.send_error(int(answer))
        else:
            content, length, pause = answer if isinstance(answer, tuple) else (answer, len(answer), 0)
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()
            self.server.over.wait(pause)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server, and stop it with all of its answers that hang."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
