"""The worker in Python: a process that the suite starts, and kills."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "sdk/python"))

from ferrobase_worker import Context, Handler, NonRetryable, RetryAfter, Worker  # noqa: E402

TYPES = os.environ.get("TYPES", "")
worker = Worker(os.environ["URL"], os.environ["KEY"], lease_ms=3000, concurrency=8, code_version="py-1")


def on(kind: str) -> Callable[[Handler], Handler]:
    return worker.on(kind) if not TYPES or kind in TYPES.split(",") else lambda handler: handler


@on("script")
def script(job: Context) -> Any:
    job.log("writing")
    for part in range(1, 4):
        job.emit("job.chunk", {"text": f"part {part} "})
        job.progress(part / 4)
    return job.step("write", lambda _step: {"by": "python", "title": job.input["title"].upper()})


@on("scene")
def scene(job: Context) -> Any:
    return job.step("draw", lambda step: {"by": "python", "scene": job.input["scene"], "token": step.token})


@on("py-nap")
def nap(job: Context) -> Any:
    job.sleep("nap", 0.05)
    return job.wait_signal("wake", timeout=60)


@on("py-children")
def children(job: Context) -> Any:
    made = job.children("kids", [{"type": "scene", "input": {"scene": str(n)}} for n in range(5)], width=2)
    return [one["output"]["scene"] for one in made]


@on("py-approval")
def approval(job: Context) -> Any:
    return job.approval("ok", prompt="Go on?", form={"type": "boolean"})


@on("py-flaky")
def flaky(job: Context) -> Any:
    if job.input["fail"] == "for good":
        raise NonRetryable("never", "hopeless")
    if job.attempt == 1:
        raise RetryAfter(0.05, "busy") if job.input["fail"] == "later" else ValueError("not yet")
    return job.attempt


@on("py-endless")
def endless(job: Context) -> Any:
    job.stopped.wait()
    print(f"stopped {job.id} {job.why}", flush=True)
    job.check()


@on("py-cut-off")
def cut_off(job: Context) -> Any:
    if job.claimed["epoch"] == 1:
        job.stopped.wait()
        print(f"stopped {job.id} {job.why}", flush=True)
    return job.claimed["epoch"]


def stop(*_: object) -> None:
    # A signal's handler must not wait for threads that it interrupts.
    threading.Thread(target=worker.stop).start()


signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
worker.run()
