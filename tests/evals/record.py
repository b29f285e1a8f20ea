"""Record answers for the evaluations of sample processes, and accept what comes out: `python -m tests.evals.record`.

They come from a script that stands for a model, and like one it errs at times.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from cli.app import call
from starter import PARTS
from tests.endpoint import Answered, Asked, Endpoint, completion, open_endpoint

SAMPLES = ("customer-news", "invoice-approval")
PRICES = '[models.default]\nmodel = "scripted"\nbase_url = "{url}"\ninput_price = 0.25\noutput_price = 2.0\n'


class Clerk:
    """Answers as the agents of the samples should, but rates a new supplier too well at every third time."""

    def __init__(self) -> None:
        self._rated = 0

    def __call__(self, asked: Asked) -> Answered:
        context = _context(asked)
        results = [json.loads(said["content"]) for said in asked.messages if said["role"] == "tool"]
        if "news" in context:
            return _answered(asked, json.dumps(self._letter(context)))
        if not results:
            return _answered(asked, "", ("erp_read_supplier", {"supplier": context["order"]["supplier"]}))
        return _answered(asked, "", ("finish", self._audit(context, results[0])))

    def _letter(self, context: dict[str, Any]) -> dict[str, str]:
        body = f"Dear {context['customer']},\n\nabout your {context['goods']}: {context['news']}.\n\nThe order desk"
        return {"subject": f"Your order {context['order']}", "body": body}

    def _audit(self, context: dict[str, Any], supplier: dict[str, Any]) -> dict[str, Any]:
        order, matches = context["order"], context["order"]["received"]
        risk = "low" if matches else "high"
        if matches and not supplier["invoices_paid"]:
            self._rated += 1
            risk = "low" if self._rated % 3 == 0 else "medium"
        return {"matches": matches, "risk": risk, "reasons": [f"Order {order['order']} says {order['total']}."]}


def _context(asked: Asked) -> dict[str, Any]:
    first = next(said["content"] for said in asked.messages if said["role"] == "user")
    found: dict[str, Any] = json.loads(first.partition("Context:\n")[2])
    return found


def _answered(asked: Asked, text: str, *calls: tuple[str, Any]) -> Answered:
    usage = (len(json.dumps(asked.body)) // 4, 40)
    finish = "tool_calls" if calls else "stop"
    return Answered(body=json.dumps(completion(asked, text, calls, finish, usage)))


def settings(endpoint: Endpoint, folder: Path) -> None:
    """The scripted endpoint is the model of whoever reads the settings now."""
    file = folder / "surefoot.toml"
    file.write_text(PRICES.format(url=endpoint.url))
    os.environ["SUREFOOT_CONFIG"] = str(file)


if __name__ == "__main__":
    with open_endpoint() as endpoint:
        endpoint.default = Clerk()
        settings(endpoint, Path(sys.argv[1]))
        status = call(["eval", *SAMPLES, "--record", "--accept"], PARTS)
    sys.stdout.flush()
    os._exit(status)
