"""Addresses to listen on."""

import pytest

from service.server.sockets import ListenError, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_listens_where_it_is_told(host: str) -> None:
    try:
        with listen(host, 0) as bound:
            assert bound.getsockname()[1] > 0
    except ListenError:
        if host != "::1":
            raise
        pytest.skip("no IPv6 on this machine")
