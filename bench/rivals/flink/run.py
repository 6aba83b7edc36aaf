"""One query by Apache Flink: SQL in one JVM (a mini cluster of 2 slots), state on the heap, objects reused.

usage: run.py QUERY FOLDER [--answer FILE] [--cores N]
For each line of standard input the query runs over the folder, in the same JVM; it prints a JSON line: seconds, CPU seconds and peak
memory of the JVM. With `--answer` it runs once, and the rows it ends with are written there. A local file is one split, which one slot
alone reads: where there is a folder `bid.parts`, bids are read from its files, so that each slot has one.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")

# What Nexmark's own configuration for Flink sets (mini batches, split distinct aggregates), and what makes one JVM fast.
# No checkpoints: what was processed is lost with the process, where Millstream keeps it.
SETTINGS = {
    "execution.runtime-mode": "STREAMING",
    "pipeline.object-reuse": "true",
    "state.backend.type": "hashmap",
    "table.local-time-zone": "UTC",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "2s",
    "table.exec.mini-batch.size": "50000",
    "table.optimizer.distinct-agg.split.enabled": "true",
    "taskmanager.memory.network.min": "256mb",
    "taskmanager.memory.network.max": "256mb",
    "rest.flamegraph.enabled": "false",
}


class Flink:
    def __init__(self, cores: int) -> None:
        os.environ.setdefault("JVM_ARGS", "-Xmx8g")
        from pyflink.java_gateway import get_gateway
        from pyflink.table import EnvironmentSettings, TableEnvironment

        self.new = lambda: TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
        self.settings = SETTINGS | {"parallelism.default": str(cores)}
        self.pid = get_gateway().jvm.java.lang.ProcessHandle.current().pid()

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mib(self) -> float:
        """Since `forget_peak`, or the start."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def counted(self, query: str, folder: Path, sink: dict[str, str]) -> str:
        self.forget_peak()
        cpu, started = self.cpu(), time.monotonic()
        self.run(query, folder, sink)
        return json.dumps({"seconds": time.monotonic() - started, "cpu": self.cpu() - cpu, "peak_mib": self.peak_mib()})

    def run(self, query: str, folder: Path, sink: dict[str, str]) -> None:
        from pyflink.table import FormatDescriptor, TableDescriptor

        env = self.new()
        for key, value in self.settings.items():
            env.get_config().set(key, value)
        tables = (HERE / "tables.sql").read_text()
        if (folder / "bid.parts").exists():
            tables = tables.replace("bid.ndjson", "bid.parts")
        tables = tables.replace("${INPUT}", str(folder.resolve()))
        for table in tables.split(";"):
            if table.strip():
                env.execute_sql(table)
        builder = TableDescriptor.for_connector(sink["connector"])
        for key, value in sink.items():
            if key not in ("connector", "format"):
                builder = builder.option(key, value)
        if "format" in sink:
            builder = builder.format(FormatDescriptor.for_format(sink["format"]).build())
        env.sql_query((HERE / f"{query}.sql").read_text()).execute_insert(builder.build()).wait()


def last_rows(folder: Path, answer: Path) -> None:
    """The rows that are left once every change was made, in the order in which each task made them."""
    left: dict[str, int] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open() as lines:
            for line in lines:
                change = json.loads(line)
                row, by = (change["after"], 1) if change["op"] == "c" else (change["before"], -1)
                text = json.dumps(row)
                left[text] = left.get(text, 0) + by
    with answer.open("w") as out:
        for text, times in left.items():
            assert times >= 0, f"{times} times {text}"
            out.write((text + "\n") * times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("query")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--answer", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    flink = Flink(args.cores)
    if not args.answer:
        for _ in sys.stdin:
            print(flink.counted(args.query, args.folder, {"connector": "blackhole"}), flush=True)
        return
    changes = Path(tempfile.mkdtemp(dir=args.answer.parent))
    sink = {"connector": "filesystem", "path": str(changes.resolve()), "format": "debezium-json"}
    print(flink.counted(args.query, args.folder, sink), flush=True)
    last_rows(changes, args.answer)
    shutil.rmtree(changes)


main()
