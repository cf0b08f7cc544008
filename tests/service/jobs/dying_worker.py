"""Does the jobs, and is killed in the middle of the first map."""

import os
import signal
from collections.abc import Callable
from typing import Any

from service import job_worker
from service.settings import Settings


class DyingWorker(job_worker.Worker):
    def __init__(self, settings: Settings, say: Callable[[dict[str, Any]], None]) -> None:
        assert settings.job_folder is not None
        mark = settings.job_folder / "died"

        def say_and_die(event: dict[str, Any]) -> None:
            say(event)
            if event.get("done", 0) * 2 > event.get("total", 1) and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        super().__init__(settings, say_and_die)


job_worker.Worker = DyingWorker  # type: ignore[misc]
job_worker.main()
