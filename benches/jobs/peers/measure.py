"""What every peer in Python measures alike, and how it is told: one line of JSON for each measure."""

import argparse
import json
from collections.abc import Iterable

CLIENTS = 64

parser = argparse.ArgumentParser()
parser.add_argument("--config", default="default")
parser.add_argument("--url", default="")
parser.add_argument("--seconds", type=float, default=3.0)
parser.add_argument("--scale", type=float, default=1.0)
parser.add_argument("--only", default="")
args, _ = parser.parse_known_args()


def count(full: int) -> int:
    """How many jobs; the short run that tries the scripts asks for fewer."""
    return max(5, round(full * args.scale))


def wants(measure: str) -> bool:
    return not args.only or measure in args.only.split(",")


def tell(engine: str, measure: str, value: float, unit: str, times: Iterable[float] = ()) -> None:
    line: dict[str, object] = {
        "engine": engine,
        "config": args.config,
        "measure": measure,
        "value": round(value, 2),
        "unit": unit,
    }
    if ordered := sorted(times):
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            line[name] = round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
    print(json.dumps(line), flush=True)
