"""Asks the Gemini stand-in how many calls it got."""

import http.client
import json
from typing import Final
from urllib.parse import urlsplit

_TIMEOUT_S: Final = 5
_NO_ROWS: Final = 2**53


def calls_counted(gemini_url: str) -> int | None:
    """How many model calls have ended there; None where no stand-in answers: a real Gemini doesn't tell."""
    url = urlsplit(gemini_url)
    if url.scheme != "http":
        return None
    connection = http.client.HTTPConnection(url.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"/calls?since={_NO_ROWS}")
        response = connection.getresponse()
        if response.getheader("X-Stand-In") is None:
            return None
        counted: int = json.load(response)["sum"]["calls"]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return counted
