"""Does half of a job, and goes on for ever."""

import json
import sys
import time

for line in sys.stdin:
    done = 499_990
    while '"job"' in line:
        done = min(done + 1, 500_000)
        event = {"event": "progress", "done": done, "total": 1_000_000}
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
        time.sleep(0.05)
