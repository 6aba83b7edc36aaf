"""The script that our users come from: asyncio + aiohttp + a Redis list + pandas + sqlite3.

It is written the way such articles write it, with every sleep removed: one task polls the API and
pushes the body onto a Redis list, one pops it, filters with pandas and inserts into SQLite.

usage: article.py URL REDIS_PORT DATABASE ROWS
Prints one JSON line: rows fetched, rows stored, seconds, CPU seconds of this process.
"""

import asyncio
import json
import resource
import sqlite3
import sys
import time

import aiohttp
import pandas as pd
import redis

URL, REDIS_PORT, DATABASE, ROWS = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
QUEUE = "data_queue"


def peak_mib() -> float:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


async def collect(client: redis.Redis, done: asyncio.Event) -> None:
    fetched = 0
    async with aiohttp.ClientSession() as session:
        while fetched < ROWS:
            async with session.get(URL) as response:
                body = await response.json()
            fetched += len(body["items"])
            client.lpush(QUEUE, json.dumps(body))
            await asyncio.sleep(0)
    done.set()


async def process(client: redis.Redis, database: sqlite3.Connection, done: asyncio.Event) -> int:
    stored = 0
    while True:
        raw = client.rpop(QUEUE)
        if raw is None:
            if done.is_set():
                return stored
            await asyncio.sleep(0)
            continue
        frame = pd.DataFrame(json.loads(raw)["items"])
        hot = frame[frame["value"] > 100]
        for _, row in hot.iterrows():
            database.execute(
                "INSERT INTO processed_items (id, sensor, value, ts) VALUES (?, ?, ?, ?)",
                (int(row["id"]), row["sensor"], float(row["value"]), row["ts"]),
            )
        database.commit()
        stored += len(hot)
        await asyncio.sleep(0)


async def main() -> None:
    client = redis.Redis(port=REDIS_PORT)
    client.delete(QUEUE)
    database = sqlite3.connect(DATABASE)
    database.execute(
        "CREATE TABLE IF NOT EXISTS processed_items (id INTEGER, sensor TEXT, value REAL, ts TEXT)"
    )
    done = asyncio.Event()
    started = time.monotonic()
    _, stored = await asyncio.gather(collect(client, done), process(client, database, done))
    seconds = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "fetched": ROWS, "stored": stored, "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_mib": peak_mib(),
    }))


asyncio.run(main())
