"""Write the JSON Schemas of the files that people write, for editors: `python -m language.publish`."""

import json
from pathlib import Path

from contracts.base import Contract
from contracts.evals import Evals
from contracts.process import Process

CONTRACTS = Path(__file__).parents[1] / "contracts"
FILE = CONTRACTS / "process.schema.json"
EVALS = CONTRACTS / "evals.schema.json"


def process_schema() -> str:
    """The schema of `process.yaml` as it is committed."""
    return _schema(Process, "Surefoot process")


def evals_schema() -> str:
    """The schema of `evals.yaml` as it is committed."""
    return _schema(Evals, "Surefoot evaluations of a process")


def _schema(model: type[Contract], title: str) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
        "title": title,
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(process_schema())
    EVALS.write_text(evals_schema())
