"""What a test needs of the machine, and does not find."""

import os
from typing import NoReturn

import pytest


def lacking(why: str) -> NoReturn:
    """Leave the test out. CI as root is able to have everything, and fails instead: nothing is to go untested there."""
    if os.environ.get("CI") and os.geteuid() == 0:
        pytest.fail(why)
    pytest.skip(why)
