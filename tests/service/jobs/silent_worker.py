"""Takes jobs and stands still."""

import time

while True:
    time.sleep(3600)
