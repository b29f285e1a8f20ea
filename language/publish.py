"""Write the JSON Schema of the process format for editors: `python -m language.publish`."""

import json
from pathlib import Path

from contracts.process import Process

FILE = Path(__file__).parents[1] / "contracts" / "process.schema.json"


def process_schema() -> str:
    """The schema as it is committed."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Process.model_json_schema(by_alias=True),
        "title": "Surefoot process",
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(process_schema())
