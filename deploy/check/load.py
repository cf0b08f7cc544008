"""Callers that go on until connections are refused: python load.py HOST PORT PATH < PICTURE.

Runs in the image, on the service's own network: a published port is answered by the engine's proxy,
which takes connections that the service has refused. Each request has a connection of its own, so
that one which was accepted and got no answer cannot be taken for anything else.

Prints "warm" once the service is at work, and at the end the answers by status, the unanswered, and
when the last came.
"""

import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter

CALLERS = 8
WARM_ANSWERS = 20
# Over the service's own deadline, so that it is the service that gives up.
TIMEOUT_SECONDS = 120.0


class Callers:
    def __init__(self, host: str, port: int, path: str, picture: bytes) -> None:
        self._address = (socket.gethostbyname(host), port)
        self._path = path
        self._picture = picture
        self._lock = threading.Lock()
        self._answers: Counter[str] = Counter()
        self._lost: list[str] = []
        self._last_answer = 0.0

    def call_until_refused(self) -> None:
        while True:
            connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_SECONDS)
            try:
                connection.connect()
            except OSError:
                return
            try:
                self._note(self._ask(connection))
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self._lost.append(repr(error))
            finally:
                connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> int:
        headers = {"Content-Type": "image/jpeg", "Connection": "close"}
        connection.request("POST", self._path, self._picture, headers)
        response = connection.getresponse()
        response.read()
        return response.status

    def _note(self, status: int) -> None:
        with self._lock:
            self._answers[str(status)] += 1
            self._last_answer = time.time()
            if self._answers.total() == WARM_ANSWERS:
                print("warm", flush=True)

    def summary(self) -> dict[str, object]:
        return {"answers": self._answers, "lost": self._lost, "last_answer": self._last_answer}


def main() -> int:
    host, port, path = sys.argv[1:]
    callers = Callers(host, int(port), path, sys.stdin.buffer.read())
    threads = [threading.Thread(target=callers.call_until_refused) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(callers.summary()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
