"""Pushes readings to the list `data_queue`, as such scripts do. Needs `pip install redis`.

    python3 redis_producer.py [HOW_MANY]

Without a number it goes on for ever, ten a second.
"""

import json
import os
import random
import sys
import time
from datetime import datetime, timezone

import redis

server = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
how_many = int(sys.argv[1]) if len(sys.argv) > 1 else None

number = 0
while how_many is None or number < how_many:
    number += 1
    reading = {
        "id": number,
        "sensor": f"sensor-{number % 8}",
        "value": round(random.uniform(0, 200), 2),
        "ts": datetime.now(timezone.utc).isoformat(),
    }
    server.lpush("data_queue", json.dumps(reading))
    if how_many is None:
        time.sleep(0.1)

print(f"pushed {number}; waiting in the list now: {server.llen('data_queue')}")
