"""HEALTHCHECK of the image: exit code 0 while the service takes requests, else 1 and why not."""

import http.client
import os
import sys

# Below the HEALTHCHECK's own timeout, so that the reason is recorded.
TIMEOUT_SECONDS = 4.0


def main() -> int:
    port = int(os.environ.get("SEGSERVE_PORT") or 8000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"port {port} does not answer: {error}")
        return 1
    finally:
        connection.close()
    print(text)
    return 0 if response.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
