"""The task and the settings of the Celery peer; `BENCH_CONFIG` says which ones."""

import os
import time

import redis
from celery import Celery

URL = os.environ["BENCH_REDIS"]
app = Celery("bench", broker=URL)
app.conf.broker_connection_retry_on_startup = True
if os.environ.get("BENCH_CONFIG") == "best":
    app.conf.update(
        worker_prefetch_multiplier=1000,
        task_ignore_result=True,
        worker_disable_rate_limits=True,
        broker_pool_limit=64,
    )
store = redis.Redis.from_url(URL)


@app.task(name="noop")
def noop() -> None:
    pass


@app.task(name="tell")
def tell(started: float) -> None:
    store.rpush("starts", (time.time() - started) * 1000)
