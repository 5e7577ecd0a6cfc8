"""Requests to a server: many at once, retried with growing pauses, no more a second than allowed."""

from __future__ import annotations

import json
import math
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_whole

RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
"""Codes of answers after which a request is sent again."""
_LONGEST_PAUSE = 60.0


class Refused(Exception):
    """The server says that it will not do what was asked (a code of 4xx that is not retried)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"HTTP {code}: {text}")
        self.code: int = code
        self.text: str = text


class Unavailable(Exception):
    """No usable answer after all retries."""


@dataclass(frozen=True)
class Transport:
    """How requests are sent.

    Attributes:
        key: sent as a bearer token, or None.
        concurrency: requests that are open at a time.
        rate: requests a second at most, or None.
        retries: of a request that failed in a way that may pass.
        timeout: seconds until a request counts as failed.
        pause: seconds before the first retry; doubled each time, or what the server says (``Retry-After``), 60 at most.

    """

    key: str | None = None
    concurrency: int = 16
    rate: float | None = None
    retries: int = 5
    timeout: float = 120.0
    pause: float = 0.5

    def validate(self) -> None:
        """Refuse settings out of range.

        Raises:
            InvalidInput: names the setting.

        """
        checked_whole(self.concurrency, "concurrency")
        require(
            self.rate is None or 0 < as_real(self.rate) < math.inf,
            "rate",
            self.rate,
            "requests a second, a positive number",
        )
        checked_whole(self.retries, "retries", 0)
        require(0 < as_real(self.timeout) < math.inf, "timeout", self.timeout, "a positive number of seconds")
        require(0 <= as_real(self.pause) < math.inf, "pause", self.pause, "a number of seconds, not negative")


class Client:
    """Sends JSON and reads JSON.

    Args:
        transport: how.

    """

    def __init__(self, transport: Transport) -> None:
        transport.validate()
        self.transport = transport
        self.sent: int = 0
        self.retried: int = 0
        self._lock, self._free_at = threading.Lock(), 0.0
        # Requests go to the address that was given, not by way of a proxy of the environment.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def all(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
        """Return ``function(job)`` of each job, in order, so many at a time as allowed."""
        if not jobs:
            return []
        with ThreadPoolExecutor(max_workers=min(self.transport.concurrency, len(jobs))) as pool:
            return list(pool.map(function, jobs))

    def call(self, url: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that a server answers; POST with a body, GET without.

        Raises:
            Refused: a code that says no.
            Unavailable: no answer that can be read after all retries; says what the last one was.

        """
        said = ""
        for attempt in range(self.transport.retries + 1):
            self._wait_turn()
            pause = min(self.transport.pause * 2**attempt, _LONGEST_PAUSE)
            try:
                return self._once(url, body)
            except urllib.error.HTTPError as error:
                text = error.read(4096).decode("utf-8", "replace")
                if error.code not in RETRIED:
                    raise Refused(error.code, text) from error
                said = f"HTTP {error.code}: {text[:200]}"
                pause = _asked_pause(error.headers.get("Retry-After"), pause)
            except (OSError, ValueError) as error:  # no connection, a time-out, an answer cut off or no JSON
                said = f"{type(error).__name__}: {error}"
            except Exception as error:
                if type(error).__module__ != "http.client":
                    raise
                said = f"{type(error).__name__}: {error}"
            if attempt < self.transport.retries:
                self.retried += 1
                time.sleep(pause)
        raise Unavailable(f"no answer after {self.transport.retries + 1} tries ({said})")

    def _once(self, url: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.transport.key:
            headers["Authorization"] = f"Bearer {self.transport.key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers)
        self.sent += 1
        with self._opener.open(request, timeout=self.transport.timeout) as response:
            return json.loads(response.read())

    def _wait_turn(self) -> None:
        """Wait until one more request keeps to the rate."""
        if self.transport.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            at = max(now, self._free_at)
            self._free_at = at + 1.0 / self.transport.rate
        time.sleep(at - now)


def _asked_pause(text: str | None, pause: float) -> float:
    try:
        return min(max(float(text or ""), 0.0), _LONGEST_PAUSE)
    except ValueError:
        return pause
