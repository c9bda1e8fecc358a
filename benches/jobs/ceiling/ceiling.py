"""What plain SQL does on the same PostgreSQL: pgbench on the least that a durable queue needs."""

import argparse
import json
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BATCH = 500

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
parser.add_argument("--pgbench", required=True)
parser.add_argument("--config")
parser.add_argument("--seconds", type=float)
parser.add_argument("--scale", type=float)
parser.add_argument("--only", default="")
args = parser.parse_args()
psql = [str(Path(args.pgbench).with_name("psql")), "-qX", "-v", "ON_ERROR_STOP=1", args.url]


def pgbench(script: str, *flags: str) -> float:
    """Transactions a second, as pgbench counts them without the time to connect."""
    command = [args.pgbench, "-n", "-M", "prepared", "-f", str(HERE / script), *flags, args.url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def fresh(jobs: int) -> None:
    subprocess.run([*psql, "-f", str(HERE / "schema.sql")], check=True, stderr=subprocess.DEVNULL)
    fill = f"INSERT INTO ceiling (input) SELECT '{{}}' FROM generate_series(1, {jobs})"
    subprocess.run([*psql, "-c", fill, "-c", "VACUUM ANALYZE ceiling", "-c", "CHECKPOINT"], check=True)


def tell(measure: str, value: float) -> None:
    line = {"engine": "plain SQL", "config": "plain", "measure": measure, "value": round(value), "unit": "jobs/s"}
    print(json.dumps(line), flush=True)


def wants(measure: str) -> bool:
    return not args.only or measure in args.only.split(",")


if wants("drain"):
    # How many at once is best depends on the machine: the better of two counts.
    best = 0.0
    for clients in (2, 4):
        batches = max(2, round(300 * args.scale / clients))
        fresh(batches * clients * BATCH)
        best = max(best, pgbench("exchange.sql", "-c", str(clients), "-j", "2", "-t", str(batches)))
    tell("drain", best * BATCH)
if wants("enqueue64"):
    fresh(1)
    tell("enqueue64", pgbench("enqueue.sql", "-c", "64", "-j", "2", "-T", str(max(2, round(args.seconds)))))
