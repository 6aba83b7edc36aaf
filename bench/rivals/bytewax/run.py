"""One query by Bytewax: a dataflow in one worker.

usage: run.py QUERY FOLDER [--answer FILE]
Prints one JSON line: seconds and CPU seconds of the dataflow (without imports), peak memory of the process. With `--answer` the
rows it ends with are written there; where a query keeps rows up to date, that is the last one of each key.
"""

import argparse
import importlib
import json
import resource
import time
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow, Stream
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from orjson import loads


class Discard(StatelessSinkPartition):
    def write_batch(self, items: list) -> None:
        pass


class Keep(StatelessSinkPartition):
    """Rows as they come, or the last of each key."""

    def __init__(self, path: Path, keyed: bool) -> None:
        self.out, self.keyed, self.last = path.open("w"), keyed, {}

    def write_batch(self, items: list) -> None:
        if self.keyed:
            self.last.update(items)
        else:
            self.out.writelines(json.dumps(item) + "\n" for item in items)

    def close(self) -> None:
        self.out.writelines(json.dumps(item) + "\n" for item in self.last.values())
        self.out.close()


class Sink(DynamicSink):
    def __init__(self, part: StatelessSinkPartition) -> None:
        self.part = part

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition:
        return self.part


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("query")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--answer", type=Path)
    args = parser.parse_args()
    query = importlib.import_module(args.query)
    flow = Dataflow(args.query)

    def read(name: str) -> Stream[dict]:
        # Lines a thousand at a time, and parsed so: Bytewax's own advice for throughput.
        lines = op.input(name, flow, FileSource(args.folder / f"{name}.ndjson", batch_size=1000))
        return op.flat_map_batch(f"{name}_parsed", lines, lambda batch: [loads(line) for line in batch])

    read.folder = args.folder
    answer = query.query(read)
    part = Keep(args.answer, getattr(query, "KEYED", False)) if args.answer else Discard()
    op.output("answer", answer, Sink(part))
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    cli_main(flow)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": after.ru_maxrss / 1024}), flush=True)


main()
