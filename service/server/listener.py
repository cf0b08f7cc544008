"""What the server asks of each way in, whatever is spoken there."""

from typing import Protocol


class Listener(Protocol):
    """A bound address and a protocol that is spoken at it. Used on the event loop only.

    `lifecycle.Server` calls the methods in this order, each for every listener before the next, so
    that no way in is still open while another is finished with.
    """

    async def start(self) -> None:
        """Take connections from now on."""
        ...

    def stop_accepting(self) -> None:
        """Take no more connections; serve on at those there are."""
        ...

    async def drain(self, deadline: float) -> None:
        """Wait until what was accepted is answered, or `deadline` of time.monotonic() has come."""
        ...

    async def close(self) -> None:
        """Tell whoever still waits that it is over, and close every connection.

        Called once even where `start` failed or was never called.
        """
        ...
