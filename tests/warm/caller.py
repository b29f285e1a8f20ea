"""What is called as Python is: a program of ours is run by the keeper of `tests/warm/keeper.py`, all else by Python."""

# ruff: noqa: PTH100, PTH109, PTH118 -- to import pathlib takes as long as all the rest

import json
import os
import signal
import socket
import sys

OURS = ("starter.py", "worker.py")


def run_by(address: str, words: list[str]) -> int:
    """Have the keeper run it, with our streams, folder and environment, and with the signals that we get.

    Returns:
        Its exit status, negative when a signal ended it.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        socket.send_fds(line, [b"\n"], [0, 1, 2])
        line.sendall(json.dumps([words, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        with line.makefile("r") as answers:
            pid = int(answers.readline())
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda number, _: os.kill(pid, number))
            return int(answers.readline())


def main() -> None:
    address, root, python, *words = sys.argv[1:]
    if not words or os.path.abspath(words[0]) not in [os.path.join(root, name) for name in OURS]:
        os.execv(python, [python, *words])  # noqa: S606 - nothing is there for a shell to read
    status = run_by(address, words)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main()
