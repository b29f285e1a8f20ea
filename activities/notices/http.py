"""Posting a notice: what the answer means, whatever the receiver is."""

import httpx2

from activities.answers import retry_after, short
from contracts.notices import Undelivered
from contracts.settings import without_credentials

TIMEOUT = 15.0
"""Seconds for one answer."""
MAX_READ = 4_000
"""Bytes of an answer that are read."""

_LATER = frozenset({408, 425, 429})


def client(proxy: str | None) -> httpx2.AsyncClient:
    """One that goes where the settings say and nowhere else."""
    return httpx2.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False, proxy=proxy)


async def post(sender: httpx2.AsyncClient, url: str, content: bytes, headers: dict[str, str], setting: str) -> None:
    """Args:
        url: may be a secret, and is never repeated.
        setting: which one says where this goes.

    Raises:
        Undelivered: it was not accepted.
    """
    try:
        async with sender.stream("POST", url, content=content, headers=headers) as answer:
            said = await _beginning(answer)
    except (httpx2.TransportError, OSError) as error:
        raise Undelivered(f"{setting}: no answer ({type(error).__name__})") from error
    except (httpx2.InvalidURL, ValueError) as error:
        raise Undelivered(f"{setting} is no address to post to", final=True) from error
    if answer.is_success:
        return
    status = f"{setting}: {answer.status_code} {answer.reason_phrase}"
    if answer.status_code >= 500 or answer.status_code in _LATER:
        raise Undelivered(f"{status}: {said}", after=retry_after(answer.headers))
    if answer.has_redirect_location:
        to = without_credentials(answer.headers["location"])
        raise Undelivered(f"{status} to {to}, which is not followed; mend the setting", final=True)
    raise Undelivered(f"{status}: {said}", final=True)


async def _beginning(answer: httpx2.Response) -> str:
    read = b""
    async for part in answer.aiter_raw():
        read += part
        if len(read) >= MAX_READ:
            break
    return short(read[:MAX_READ].decode("utf-8", errors="replace"))
