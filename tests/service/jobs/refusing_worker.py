"""Fails each job at once."""

import json
import sys

PROBLEM = {
    "type": "urn:segserve:problem:unreadable-image",
    "title": "Image does not decode",
    "status": 422,
    "detail": "No picture.",
    "request_id": "-",
}

for line in sys.stdin:
    if '"job"' in line:
        sys.stdout.write(json.dumps({"event": "failed", "problem": PROBLEM}) + "\n")
        sys.stdout.flush()
