"""Takes a job and ends, as a process does that the system kills."""

import os
import signal
import sys

for line in sys.stdin:
    if '"job"' in line:
        os.kill(os.getpid(), signal.SIGKILL)
