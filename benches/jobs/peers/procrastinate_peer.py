"""Procrastinate. Default: one worker, one job at a time. Best: two processes of twenty each."""

import asyncio
import random
import subprocess
import sys
import time

import procrastinate
import psycopg
from measure import CLIENTS, args, count, tell, wants

ENGINE = "Procrastinate"
BEST = args.config == "best"

pool = {"min_size": 16, "max_size": 64} if BEST else {}
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=args.url, **pool))
handled: asyncio.Queue[float] = asyncio.Queue()


@app.task(name="noop")
async def noop() -> None:
    handled.put_nowait(time.perf_counter())


async def fill(jobs: int) -> None:
    for done in range(0, jobs, 1000):
        await noop.batch_defer_async(*({} for _ in range(min(1000, jobs - done))))


async def work_until_empty() -> None:
    await app.run_worker_async(wait=False, concurrency=20 if BEST else 1, install_signal_handlers=False)


async def drain() -> None:
    jobs = count(3000 if BEST else 1500)
    await fill(jobs)
    start = time.perf_counter()
    other = None
    if BEST:
        other = await asyncio.to_thread(
            subprocess.Popen, [sys.executable, __file__, *sys.argv[1:], "--help-drain"]
        )
    await work_until_empty()
    if other is not None:
        await asyncio.to_thread(other.wait)
    tell(ENGINE, "drain", jobs / (time.perf_counter() - start), "jobs/s")


async def enqueue64() -> None:
    times: list[float] = []
    start = time.perf_counter()

    async def client() -> None:
        now = time.perf_counter()
        while now < start + args.seconds:
            await noop.defer_async()
            then = time.perf_counter()
            times.append((then - now) * 1000)
            now = then

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    tell(ENGINE, "enqueue64", len(times) / (time.perf_counter() - start), "jobs/s", times)


async def batch() -> None:
    jobs = count(20_000)
    start = time.perf_counter()
    await fill(jobs)
    tell(ENGINE, "batch", jobs / (time.perf_counter() - start), "jobs/s")


async def latency() -> None:
    worker = asyncio.create_task(
        app.run_worker_async(concurrency=20 if BEST else 1, install_signal_handlers=False)
    )
    # The worker says nothing when it listens: its first job does.
    await noop.defer_async()
    await handled.get()
    times: list[float] = []
    for _ in range(count(200)):
        start = time.perf_counter()
        await noop.defer_async()
        times.append((await handled.get() - start) * 1000)
        await asyncio.sleep(0.02 * (0.5 + random.random()))
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    tell(ENGINE, "latency", sorted(times)[len(times) // 2], "ms", times)


async def empty() -> None:
    async with await psycopg.AsyncConnection.connect(args.url, autocommit=True) as connection:
        await connection.execute("truncate procrastinate_jobs cascade")
    while not handled.empty():
        handled.get_nowait()


async def main() -> None:
    async with app.open_async():
        if "--help-drain" in sys.argv:
            return await work_until_empty()
        await app.schema_manager.apply_schema_async()
        for name, measure in (("drain", drain), ("enqueue64", enqueue64), ("batch", batch), ("latency", latency)):
            if wants(name):
                await measure()
                await empty()


asyncio.run(main())
