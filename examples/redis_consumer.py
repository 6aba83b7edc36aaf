"""Takes what the pipeline found from the list `hot_queue`, and prints it. Needs `pip install redis`.

    python3 redis_consumer.py [SECONDS]

With a number it ends when nothing has come for so long.
"""

import json
import os
import sys

import redis

server = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
patience = float(sys.argv[1]) if len(sys.argv) > 1 else 0

while taken := server.brpop(["hot_queue"], timeout=patience):
    row = json.loads(taken[1])
    print(f"{row['ts']}  {row['sensor']}  {row['value']}")
