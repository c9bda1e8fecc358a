"""Durable work with Ferrobase: a client that submits and follows jobs, and a worker that runs them.

One file, only the standard library, Python 3.11 or newer.

    client = Client(url, key)
    job = client.submit({"type": "render", "input": {"scene": 7}})
    for event in client.events(job["id"]):
        print(event["seq"], event["kind"])

    worker = Worker(url, service_key, queues=["default"])

    @worker.on("render")
    def render(job: Context) -> object:
        clip = job.step("clip", lambda step: provider.render(job.input["scene"], idempotency_key=step.token))
        job.approval("ok", prompt="Publish it?")
        return clip

    worker.run()

A handler may run again from its start, after a crash, a failure or a wait: what it did inside
`step` is then not done again but remembered. So whatever costs money or cannot be repeated belongs
into a step, and what stands between steps must do no harm when it is repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TypedDict, TypeVar, cast
from urllib.parse import quote, urlsplit

__all__ = [
    "ApiError",
    "Client",
    "Context",
    "Event",
    "Handler",
    "InDoubt",
    "JobSpec",
    "NonRetryable",
    "RetryAfter",
    "Step",
    "Stop",
    "Submitted",
    "Worker",
]

T = TypeVar("T")
_log = logging.getLogger(__name__)
Why = Literal["suspended", "cancel", "pause", "lost", "shutdown"]


class Dependency(TypedDict, total=False):
    ref: str
    id: str
    when: Literal["success", "terminal", "failure"]


class JobSpec(TypedDict, total=False):
    """What can be said about a job when it is submitted; only `type` must be."""

    type: str
    ref: str
    parent_ref: str
    parent_id: str
    name: str
    queue: str
    priority: int
    input: Any
    owner: str
    session_id: str
    group: bool
    depends_on: Sequence[Dependency]
    need: Literal["all", "any"] | int
    delay_ms: int
    run_at: str
    deadline_ms: int
    time_limit_ms: int
    max_attempts: int
    backoff_ms: int
    backoff_max_ms: int
    limit_keys: Sequence[str]
    width: int
    weight: float
    cost: float
    idempotency_key: str
    unique: Mapping[str, Any]
    on_child_failure: Literal["fail", "continue", "ignore"]
    labels: Any
    events: bool
    budget: Sequence[Mapping[str, Any]]


class Submitted(TypedDict):
    id: str
    is_new: bool
    state: str


class Event(TypedDict):
    seq: int
    job_id: str | None
    kind: str
    data: dict[str, Any]
    at: str


class ApiError(Exception):
    """What the server refused, in its own words. `code` is for programs, such as `stale`."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


class RetryAfter(Exception):
    """Raised by a handler: try again, but not before so many seconds."""

    def __init__(self, seconds: float, message: str = "try again later") -> None:
        super().__init__(message)
        self.seconds = seconds


class NonRetryable(Exception):
    """Raised by a handler: another try would end the same way."""

    def __init__(self, message: str, code: str = "non_retryable") -> None:
        super().__init__(message)
        self.code = code


class InDoubt(NonRetryable):
    """A paid step may have been paid: the worker died in it, and it said not what to do about that."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Step {key} was begun and never ended; nobody knows whether it took effect", "in_doubt")


class Stop(BaseException):
    """The job is no longer this worker's. Not an `Exception`, so that `except Exception` lets it pass."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"stopped: {why}")
        self.why = why


# How often a request is tried when the network or a node fails, and how long the pauses get: a
# restart of a node takes seconds, and a lease lasts longer than all of them.
TRIES_MAX = 6
PAUSE_SECONDS_MAX = 5.0
# Long polls end before proxies cut them off.
LONG_POLL_MS = 20_000
# No answer by then, beyond what was asked to wait for, and the connection is held to be dead.
ANSWER_SECONDS_MAX = 30.0
HEARTBEAT_SECONDS = 1.0
# Of a lease without a heartbeat that was heard: the rest is for clocks and for what still runs.
LEASE_SHARE_MAX = 0.8
# What a handler tells is sent in bundles: with the next heartbeat, or when there are so many.
EVENTS_MAX = 200
OVER = ("completed", "failed", "cancelled")


def _backoff(tries: int) -> float:
    return min(PAUSE_SECONDS_MAX, 0.1 * 2.0**tries) * (0.5 + random.random())


def _part(text: str) -> str:
    return quote(text, safe="")


class _Http:
    """Requests with keys, a limit on waiting, and another try where one does no harm."""

    def __init__(self, url: str, key: str, token: str | Callable[[], str] | None) -> None:
        self.to, self.key, self.token = urlsplit(url.rstrip("/")), key, token
        # A connection for each thread: jobs do not wait for each other's answers.
        self.local = threading.local()

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.to.scheme == "https" else http.client.HTTPConnection
        return kind(self.to.hostname or "localhost", self.to.port, timeout=timeout)

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: object,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        token = self.token() if callable(self.token) else self.token
        keys = {"apikey": self.key, "authorization": f"Bearer {token or self.key}"}
        content = None
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
            keys["content-type"] = "application/json"
        connection.request(method, self.to.path + path, content, {**keys, **headers})
        response = connection.getresponse()
        if response.status < 300:
            return response
        said: dict[str, Any] = {}
        with suppress(ValueError):
            said = json.loads(response.read())
        after = response.headers.get("retry-after", "")
        raise ApiError(
            response.status,
            str(said.get("code", "unknown")),
            str(said.get("message", response.reason)),
            float(after) if after.isdigit() else None,
        )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
        tries: int = TRIES_MAX,
        timeout: float = ANSWER_SECONDS_MAX,
        leave: threading.Event | None = None,
    ) -> Any:
        """Every request here may be sent twice: reads, what is fenced by a claim, and what has a key."""
        for tried in range(1, tries + 1):
            connection: http.client.HTTPConnection | None = getattr(self.local, "connection", None)
            if connection is None:
                connection = self.local.connection = self.connect(timeout + wait)
            connection.timeout = timeout + wait
            if connection.sock is not None:
                connection.sock.settimeout(timeout + wait)
            try:
                text = self.send(connection, method, path, body, headers or {}).read()
                return json.loads(text) if text else None
            except (ApiError, OSError, http.client.HTTPException) as error:
                if not isinstance(error, ApiError):
                    connection.close()
                    self.local.connection = None
                if tried == tries or not _is_passing(error) or (leave is not None and leave.is_set()):
                    raise
                pause = (isinstance(error, ApiError) and error.retry_after) or _backoff(tried)
                if leave is not None:
                    leave.wait(pause)
                else:
                    time.sleep(pause)
        raise AssertionError("unreachable")


def _is_passing(error: Exception) -> bool:
    """The network, a node that restarts, or one that has too much to do."""
    return error.status in (429, 502, 503, 504) if isinstance(error, ApiError) else True


def _is_stale(error: BaseException) -> bool:
    return isinstance(error, ApiError) and (error.code == "stale" or error.status in (404, 409))


class Client:
    """Submits jobs, changes them and follows what happens."""

    def __init__(self, url: str, key: str, *, token: str | Callable[[], str] | None = None) -> None:
        self._http = _Http(url, key, token)

    def submit(self, spec: JobSpec, *, idempotency_key: str | None = None) -> Submitted:
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        # Without a key the second of two tries would be a second job.
        keyed = idempotency_key or "idempotency_key" in spec or "unique" in spec
        answer = self._http.call("POST", "/jobs/v1/jobs", spec, headers=headers, tries=TRIES_MAX if keyed else 1)
        return cast(Submitted, answer)

    def submit_all(self, specs: Sequence[JobSpec], *, idempotency_key: str | None = None) -> list[Submitted]:
        """A graph of jobs in one transaction: all of them are there afterwards, or none."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        keyed = idempotency_key or all("idempotency_key" in spec or "unique" in spec for spec in specs)
        body = {"jobs": list(specs)}
        answer = self._http.call("POST", "/jobs/v1/jobs", body, headers=headers, tries=TRIES_MAX if keyed else 1)
        return cast("list[Submitted]", answer["jobs"])

    def get(self, job: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._http.call("GET", f"/jobs/v1/jobs/{_part(job)}"))

    def tree(self, job: str) -> dict[str, Any]:
        """The `job`, and as `jobs` everything below it without inputs and outputs, itself first."""
        return cast("dict[str, Any]", self._http.call("GET", f"/jobs/v1/jobs/{_part(job)}?tree=1"))

    def cancel(self, job: str, reason: str | None = None) -> None:
        self._http.call("POST", f"/jobs/v1/jobs/{_part(job)}/cancel", {"reason": reason})

    def pause(self, job: str) -> None:
        self._http.call("POST", f"/jobs/v1/jobs/{_part(job)}/pause", {})

    def resume(self, job: str) -> None:
        self._http.call("POST", f"/jobs/v1/jobs/{_part(job)}/resume", {})

    def retry(self, job: str) -> None:
        self._http.call("POST", f"/jobs/v1/jobs/{_part(job)}/retry", {})

    def signal(self, job: str, name: str, payload: object = None, *, idempotency_key: str | None = None) -> None:
        path = f"/jobs/v1/jobs/{_part(job)}/signals/{_part(name)}"
        headers = {"idempotency-key": idempotency_key or str(uuid.uuid4())}
        self._http.call("POST", path, {"payload": payload}, headers=headers)

    def approvals(self) -> list[dict[str, Any]]:
        """What waits for an answer of mine."""
        return cast("list[dict[str, Any]]", self._http.call("GET", "/jobs/v1/approvals"))

    def answer(self, approval: str, answer: object) -> None:
        self._http.call("POST", f"/jobs/v1/approvals/{_part(approval)}", {"answer": answer})

    def events(self, job: str, *, after: int = 0, leave: threading.Event | None = None) -> Iterator[Event]:
        """What happens in a job's stream, each event once and in order.

        A session's jobs share one, and so do the jobs of a tree without a session. It reconnects by
        itself; it ends with the loop's `break`, or with `leave` at the server's next sign of life.
        """
        stream = self.get(job)["stream_id"]
        if stream is None:
            raise ApiError(404, "not_found", "The job tells no events")
        return self.stream(stream, after=after, leave=leave)

    async def events_async(self, job: str, *, after: int = 0) -> AsyncIterator[Event]:
        """`events` for `async for`; each wait is spent in a thread."""
        leave = threading.Event()
        events = self.events(job, after=after, leave=leave)
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                yield event
        finally:
            leave.set()

    def stream(self, stream: str, *, after: int = 0, leave: threading.Event | None = None) -> Iterator[Event]:
        """The same for a stream by its id."""
        path = f"/sessions/v1/streams/{_part(stream)}/events"
        leave = leave or threading.Event()
        failures = 0
        while not leave.is_set():
            connection = self._http.connect(ANSWER_SECONDS_MAX)
            try:
                headers = {"accept": "text/event-stream", "last-event-id": str(after)}
                response = self._http.send(connection, "GET", f"{path}?after={after}", None, headers)
                for event in _frames(response, leave):
                    failures = 0
                    # What was seen before the connection broke is not told again.
                    if event["seq"] > after:
                        after = event["seq"]
                        yield event
            except (ApiError, OSError, http.client.HTTPException) as error:
                if not _is_passing(error):
                    raise
                failures += 1
            finally:
                connection.close()
            leave.wait(_backoff(failures))

    def finished(self, job: str, *, timeout: float | None = None) -> dict[str, Any]:
        """The job once it is over, or as it is when the time has passed."""
        until = None if timeout is None else time.monotonic() + timeout
        tries = 0
        while (found := self.get(job))["state"] not in OVER and (until is None or time.monotonic() < until):
            tries += 1
            time.sleep(min(0.5, 0.02 * tries))
        return found


def _frames(response: http.client.HTTPResponse, leave: threading.Event) -> Iterator[Event]:
    """The events of one connection; comments keep it alive and are skipped."""
    seq, data = None, list[str]()
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        if line.startswith("id:"):
            seq = int(line[3:])
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line:
            if seq is not None and data:
                yield cast(Event, {**json.loads("\n".join(data)), "seq": seq})
            seq, data = None, []
        if leave.is_set():
            return


class Step:
    """A step that runs. `token` is the same for every try: give it to the provider."""

    def __init__(self, job: Context, path: str, begun: Mapping[str, Any]) -> None:
        self.token = str(begun.get("idempotency_token") or "")
        # What an earlier try kept: go on with that work instead of beginning another.
        self.handle: Any = begun.get("handle")
        self.amount: float | None = None
        self.usage: Any = None
        self._job, self._path = job, path

    def keep(self, handle: object) -> None:
        """Keeps the provider's name for work that has begun, before waiting for it."""
        self._job._post(f"{self._path}/handle", {"handle": handle})

    def cost(self, amount: float, usage: object = None) -> None:
        """What it did cost, in the unit of its estimate, and details for people."""
        self.amount, self.usage = amount, usage


class Context:
    """What a handler has."""

    def __init__(self, http: _Http, claimed: Mapping[str, Any]) -> None:
        self.claimed = claimed
        self.id: str = claimed["id"]
        self.input: Any = claimed["input"]
        self.attempt: int = claimed["failures"] + 1
        # Set as soon as the job is no longer ours; long work without steps should look at it.
        self.stopped = threading.Event()
        self._http, self._repeats = http, dict[str, int]()
        # Why it is not, once `stopped` is set.
        self.why: Why = "lost"
        self._told: list[dict[str, Any]] = []
        self._next = 0
        self._telling, self._lock = threading.Lock(), threading.Lock()
        self._heard = time.monotonic()
        self._fraction: float | None = None
        self._message: str | None = None

    def check(self) -> None:
        """Ends the handler if the job is no longer ours."""
        if self.stopped.is_set():
            raise Stop(self.why)

    def step(
        self,
        key: str,
        run: Callable[[Step], T],
        *,
        version: str = "",
        estimate: float | None = None,
        unit: Literal["usd", "tokens", "seconds", "calls"] | None = None,
        request: object = None,
        in_doubt: Literal["retry", "fail"] | Callable[[Step], T] = "retry",
    ) -> T:
        """Does `run` once and remembers what it returned, across crashes and retries.

        Another `version` runs it anew; the same key with another `request` is refused. `in_doubt`
        says what to do when a worker died within it and there is no handle: run it again with the
        same token, which is right for providers that know such tokens and for what may be done
        twice; or fail, or ask the provider, for what may have been paid.
        """
        self.check()
        name = self._unique(key)
        known = (self.claimed.get("steps") or {}).get(name)
        if known is not None and known["version"] == version and request is None:
            return cast(T, known["result"])
        path = f"steps/{_part(name)}"
        asked: dict[str, Any] = {"version": version, "unit": unit, "estimate": estimate, "idempotent": in_doubt == "retry"}
        if request is not None:
            canonical = json.dumps(request, separators=(",", ":"), ensure_ascii=False)
            asked["request_hash"] = hashlib.sha256(canonical.encode()).hexdigest()
        begun = self._post(f"{path}/begin", asked)
        verdict = begun["verdict"]
        if verdict == "hit":
            return cast(T, begun["result"])
        doing = run
        if verdict == "in_doubt":
            if callable(in_doubt):
                doing = in_doubt
            elif in_doubt != "retry":
                raise InDoubt(name)
        elif verdict == "mismatch":
            raise NonRetryable(f"Step {name} was made of another request", "mismatch")
        elif verdict in ("over_budget", "stale"):
            # The engine paused or failed the job in the same breath, as the budget says.
            self._stop("pause" if verdict == "over_budget" else "lost")
        # Nothing is begun that nobody waits for any more.
        self.check()
        step = Step(self, path, begun)
        try:
            result = doing(step)
        except Exception as error:
            if not self.stopped.is_set():
                self._post(f"{path}/fail", {"error": _described(error), "charged": bool(step.amount)})
            raise
        # Also when the job was lost meanwhile: what was paid for is kept.
        ended = {"result": result, "cost": step.amount, "usage": step.usage}
        kept = self._post(f"{path}/end", ended, even_lost=True)
        # Another claim was first: its result is the one that every later run will see.
        return cast(T, kept["result"]) if kept["outcome"] == "superseded" else result

    def sleep(self, key: str, seconds: float) -> None:
        """Gives the worker free and goes on, in a new run, when the time has passed."""
        self._wait(key, {"kind": "timer", "due_ms": round(seconds * 1000)})

    def wait_signal(self, name: str, *, key: str | None = None, timeout: float | None = None) -> Any:
        """Waits for a signal to this job; None if none came in time."""
        return self._wait(key or f"signal:{name}", {"kind": "signal", "name": name, "due_ms": _ms(timeout)})

    def approval(
        self,
        key: str,
        *,
        prompt: str | None = None,
        form: object = None,
        assignee: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Waits for a person's answer; None if none came in time."""
        asked = {"kind": "approval", "prompt": prompt, "form": form, "assignee": assignee, "due_ms": _ms(timeout)}
        said = self._wait(key, asked)
        return None if said is None else said["answer"]

    def spawn(self, specs: Sequence[JobSpec]) -> list[Submitted]:
        """Makes children of this job; the same call in a later run makes no others."""
        key = self._unique("spawn")
        jobs = [
            spec if "idempotency_key" in spec or "unique" in spec else {**spec, "idempotency_key": f"{self.id}/{key}/{n}"}
            for n, spec in enumerate(specs)
        ]
        answer = self._post("spawn", {"jobs": jobs})
        return cast("list[Submitted]", answer if isinstance(answer, list) else answer["jobs"])

    def children(
        self,
        key: str,
        specs: Sequence[JobSpec],
        *,
        width: int | None = None,
        on_failure: Literal["fail", "continue", "ignore"] | None = None,
    ) -> list[dict[str, Any]]:
        """Makes children, at most `width` of them at once, and waits until all are over."""
        group: JobSpec = {"type": "group", "ref": "children", "name": key, "group": True}
        if width is not None:
            group["width"] = width
        if on_failure is not None:
            group["on_child_failure"] = on_failure
        below = [cast(JobSpec, {**spec, "parent_ref": "children"}) for spec in specs]
        made = self.spawn([group, *below])
        self._wait(key, {"kind": "children"})
        return [self._http.call("GET", f"/jobs/v1/jobs/{one['id']}", leave=self.stopped) for one in made[1:]]

    def log(self, message: str, **data: Any) -> None:
        """A line for people, in the job's stream."""
        self.emit("job.log", {"message": message, **data})

    def emit(self, kind: str, data: object) -> None:
        """An event of one's own, such as `job.chunk` with a piece of text.

        `job.`, `step.`, `approval.` and `budget.` are otherwise the engine's. Events of one handler
        keep their order.
        """
        with self._lock:
            self._told.append({"kind": kind, "data": data})
            full = len(self._told) >= EVENTS_MAX
        if full:
            self._flush()

    def progress(self, fraction: float, message: str | None = None) -> None:
        """How far it is, 0 to 1; told with the next heartbeat."""
        self._fraction = min(1.0, max(0.0, fraction))
        self._message = message or self._message

    def _flush(self) -> None:
        """Sends what was told; a job that is not ours any more has nothing to tell."""
        with self._telling:
            with self._lock:
                events, self._told = self._told, []
            stream = self.claimed["stream_id"]
            if not events or stream is None:
                return
            # The producer's name and number let the server drop what it has already, and what a
            # claim says that has lost its job.
            body = {"producer": f"{self.id}:{self.claimed['epoch']}:sdk", "n": self._next, "events": events}
            self._next += len(events)
            with suppress(ApiError, OSError, http.client.HTTPException):
                self._http.call("POST", f"/sessions/v1/streams/{stream}/events", body)

    def _stop(self, why: Why) -> None:
        if not self.stopped.is_set():
            self.why = why
            self.stopped.set()

    def _post(self, what: str, body: Mapping[str, Any], *, even_lost: bool = False) -> Any:
        """Everything a worker says about a job names the claim that it has."""
        if not even_lost:
            self.check()
        said = {"epoch": self.claimed["epoch"], **{name: value for name, value in body.items() if value is not None}}
        leave = None if even_lost else self.stopped
        try:
            return self._http.call("POST", f"/jobs/v1/jobs/{self.id}/{what}", said, leave=leave)
        except (ApiError, OSError, http.client.HTTPException) as error:
            if _is_stale(error):
                self._stop("lost")
            self.check()
            raise

    def _wait(self, key: str, wait: Mapping[str, Any]) -> Any:
        self.check()
        name = self._unique(key)
        known = (self.claimed.get("steps") or {}).get(name)
        if known is not None:
            return known["result"]
        self._flush()
        said = {name: value for name, value in wait.items() if value is not None}
        answer = self._post("suspend", {"waits": [{"key": name, **said}]})
        if answer["state"] != "ready":
            self._stop("suspended" if answer["state"] == "suspended" else "lost")
            self.check()
        return answer["steps"].get(name, {}).get("result")

    def _unique(self, key: str) -> str:
        """A key that is used again within one run is another step: `key`, `key#2`, `key#3`."""
        n = self._repeats[key] = self._repeats.get(key, 0) + 1
        return key if n == 1 else f"{key}#{n}"


Handler = Callable[[Context], Any]


class Worker:
    """Claims jobs, runs each handler in a thread and tells the end of each."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        token: str | Callable[[], str] | None = None,
        id: str | None = None,
        queues: Sequence[str] = ("default",),
        concurrency: int = 4,
        lease_ms: int | None = None,
        code_version: str | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.id = id or f"py-{uuid.uuid4()}"
        self._http = _Http(url, key, token)
        self._queues, self._concurrency = list(queues), concurrency
        self._lease_ms, self._code_version = lease_ms, code_version
        self._on_error = on_error or (lambda error: _log.warning("worker %s: %r", self.id, error))
        self._handlers: dict[str, Handler] = {}
        self._running: dict[str, tuple[Context, threading.Thread]] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()

    def on(self, type: str) -> Callable[[Handler], Handler]:
        """What runs jobs of this type, as a decorator."""

        def keep(handler: Handler) -> Handler:
            self._handlers[type] = handler
            return handler

        return keep

    def run(self) -> None:
        """Works until `stop` is called, from another thread or a signal's handler."""
        beating = threading.Thread(target=self._beat_always, name="heartbeat", daemon=True)
        beating.start()
        failures = 0
        while not self._stopping.is_set():
            with self._changed:
                slots = self._concurrency - len(self._running)
                if slots <= 0:
                    self._changed.wait(HEARTBEAT_SECONDS)
                    continue
            try:
                for claimed in self._claim(slots):
                    self._start(claimed)
                failures = 0
            except (ApiError, OSError, http.client.HTTPException) as error:
                if not self._stopping.is_set():
                    self._on_error(error)
                    failures += 1
                    self._stopping.wait(_backoff(failures))
        for _, thread in list(self._running.values()):
            thread.join()

    def stop(self, grace: float = 10.0) -> None:
        """Takes nothing new, lets what runs come to its end, and gives back what has not by then.

        A claim that waits just now ends with the server's answer; what it brings is given back.
        """
        self._stopping.set()
        until = time.monotonic() + grace
        for _, thread in list(self._running.values()):
            thread.join(max(0.0, until - time.monotonic()))
        for job, _ in list(self._running.values()):
            job._stop("shutdown")

    def _claim(self, slots: int) -> list[dict[str, Any]]:
        body = {
            "queues": self._queues,
            "types": list(self._handlers),
            "slots": slots,
            # Threads cannot be interrupted: shorter waits, so that stopping takes no longer.
            "wait_ms": LONG_POLL_MS // 10,
            "lease_ms": self._lease_ms,
            "code_version": self._code_version,
        }
        said = {name: value for name, value in body.items() if value is not None}
        path = f"/jobs/v1/workers/{_part(self.id)}/claim"
        return cast("list[dict[str, Any]]", self._http.call("POST", path, said, wait=LONG_POLL_MS / 10_000, tries=1)["jobs"])

    def _start(self, claimed: dict[str, Any]) -> None:
        job = Context(self._http, claimed)
        if self._stopping.is_set():
            job._stop("shutdown")
        thread = threading.Thread(target=self._run_one, args=(job,), name=f"job {job.id}", daemon=True)
        with self._changed:
            self._running[job.id] = (job, thread)
        thread.start()

    def _run_one(self, job: Context) -> None:
        try:
            self._perform(job)
        except BaseException as error:
            self._on_error(error)
        finally:
            with self._changed:
                self._running.pop(job.id, None)
                self._changed.notify_all()

    def _perform(self, job: Context) -> None:
        end: dict[str, Any]
        try:
            handler = self._handlers.get(job.claimed["type"])
            if handler is None:
                raise NonRetryable(f"This worker has no handler for {job.claimed['type']}")
            job.check()
            end = {"outcome": "completed", "output": handler(job)}
            # A handler that swallowed a `Stop` has nothing to say either.
            if job.stopped.is_set() and job.why != "shutdown":
                return
            # What is no JSON is the handler's failure, and shall not be found out by the request.
            json.dumps(end, allow_nan=False)
        except Stop as stop:
            # Suspended, cancelled, paused or lost: the engine knows already.
            if stop.why != "shutdown":
                return
            end = {"outcome": "released"}
        except Exception as error:
            if job.stopped.is_set() and job.why != "shutdown":
                return
            end = {"outcome": "released"} if job.stopped.is_set() else {"outcome": "failed", **_failed(error)}
        job._flush()
        try:
            self._http.call("POST", f"/jobs/v1/jobs/{job.id}/finish", {"epoch": job.claimed["epoch"], **end})
        except ApiError as error:
            if not _is_stale(error):
                raise

    def _beat_always(self) -> None:
        while not (self._stopping.is_set() and not self._running):
            jobs = [job for job, _ in list(self._running.values())]
            if jobs:
                self._beat(jobs)
                for job in jobs:
                    if job._told:
                        job._flush()
            with self._changed:
                self._changed.wait(HEARTBEAT_SECONDS) if not jobs else None
            if jobs:
                time.sleep(HEARTBEAT_SECONDS)

    def _beat(self, jobs: list[Context]) -> None:
        """One request for all jobs; what is no longer ours is stopped."""
        sent = time.monotonic()
        for job in jobs:
            if sent - job._heard > job.claimed["lease_ms"] / 1000 * LEASE_SHARE_MAX:
                job._stop("lost")
        beats = [
            {"id": job.id, "epoch": job.claimed["epoch"], "progress": job._fraction, "message": job._message}
            for job in jobs
        ]
        body = {"jobs": beats, **({"lease_ms": self._lease_ms} if self._lease_ms else {})}
        path = f"/jobs/v1/workers/{_part(self.id)}/heartbeat"
        try:
            answer = self._http.call("POST", path, body, tries=1, timeout=HEARTBEAT_SECONDS * 3)
        except (ApiError, OSError, http.client.HTTPException) as error:
            self._on_error(error)
            return
        told = {one["id"]: one["directive"] for one in answer["directives"]}
        for job in jobs:
            if directive := told.get(job.id):
                job._stop(directive)
            else:
                job._heard = sent


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _failed(error: Exception) -> dict[str, Any]:
    """What a failure means for the next try."""
    told: dict[str, Any] = {"error": _described(error), "retryable": not isinstance(error, NonRetryable)}
    if isinstance(error, RetryAfter):
        told["delay_ms"] = _ms(error.seconds)
    return told


def _described(error: Exception) -> dict[str, str]:
    code = getattr(error, "code", None)
    return {"code": code if isinstance(code, str) else type(error).__name__, "message": str(error)}
