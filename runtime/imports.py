"""Importing users' files, wherever they lie."""

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType


def import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own, as a package of its folder, so that hyphens and equal names are
    no trouble and `from .helpers import x` works."""
    words = re.sub(r"\W", "_", path.parent.name)
    name = f"surefoot_tools_{words}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[loaded]
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"Python cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
