"""Celery on Redis, which keeps what it was given in memory: not durable as a database is.

Default: one worker as it comes. Best: two workers without a pool, with a large prefetch.
"""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from measure import CLIENTS, args, count, tell, wants

ENGINE = "Celery + Redis"
BEST = args.config == "best"
os.environ["BENCH_CONFIG"] = args.config
os.environ["BENCH_REDIS"] = args.url

from celery_app import noop, store  # noqa: E402
from celery_app import tell as tell_task  # noqa: E402

READY_SECONDS_MAX = 30


class Workers:
    """Worker processes; they are ready when each has answered a task."""

    def __enter__(self) -> "Workers":
        bare = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        flags = [["-P", "solo", *bare, "-n", f"w{n}"] for n in range(2)] if BEST else [["-n", "w0"]]
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-l", "ERROR", *flag],
                cwd=Path(__file__).parent,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for flag in flags
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(READY_SECONDS_MAX)


def over() -> bool:
    return store.llen("celery") == 0 and store.hlen("unacked") == 0


def drain() -> None:
    jobs = count(6000 if BEST else 4000)
    for _ in range(jobs):
        noop.delay()
    with Workers():
        # Python takes seconds to load Celery; the clock starts with the first job taken.
        deadline = time.perf_counter() + READY_SECONDS_MAX
        while store.llen("celery") == jobs and time.perf_counter() < deadline:
            time.sleep(0.001)
        start = time.perf_counter()
        while not over() and time.perf_counter() < deadline:
            time.sleep(0.002)
        tell(ENGINE, "drain", jobs / (time.perf_counter() - start), "jobs/s")


def enqueue64() -> None:
    times: list[float] = []
    start = time.perf_counter()

    def client() -> None:
        now = time.perf_counter()
        while now < start + args.seconds:
            noop.delay()
            then = time.perf_counter()
            times.append((then - now) * 1000)
            now = then

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell(ENGINE, "enqueue64", len(times) / (time.perf_counter() - start), "jobs/s", times)


def latency() -> None:
    with Workers():
        tell_task.delay(time.time())
        store.blpop(["starts"], READY_SECONDS_MAX)
        times = []
        for _ in range(count(200)):
            tell_task.delay(time.time())
            found = store.blpop(["starts"], READY_SECONDS_MAX)
            if found is None:
                break
            times.append(float(found[1]))
            time.sleep(0.02 * (0.5 + random.random()))
        tell(ENGINE, "latency", sorted(times)[len(times) // 2], "ms", times)


for name, measure in (("drain", drain), ("enqueue64", enqueue64), ("latency", latency)):
    if wants(name):
        store.flushall()
        measure()
store.flushall()
