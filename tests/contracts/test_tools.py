"""What the decorator makes of a function: schemas for agents, and refusals of what cannot be called by name."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from contracts.tools import ToolContext, granted, tool


class Receipt(BaseModel):
    number: str
    total: float


def test_schemas_come_from_the_signature_and_the_description_from_the_docstring() -> None:
    @tool(name="shop.buy", effect="write", idempotent=True, timeout="30s")
    async def buy(
        ctx: ToolContext, item: Annotated[str, Field(description="its name")], count: int = 1, *, gift: bool = False
    ) -> Receipt:
        """Buy something.

        It is delivered the next day.
        """
        raise AssertionError

    assert buy.wants_context
    assert buy.spec.description == "Buy something.\n\nIt is delivered the next day."
    assert buy.spec.parameters["required"] == ["item"]
    assert buy.spec.parameters["additionalProperties"] is False
    properties = buy.spec.parameters["properties"]
    assert set(properties) == {"item", "count", "gift"}
    assert (properties["item"]["type"], properties["item"]["description"]) == ("string", "its name")
    assert buy.spec.returns["required"] == ["number", "total"]


def test_an_argument_may_have_a_name_that_python_keeps_for_itself() -> None:
    @tool(name="shop.move", effect="read")
    def move(source: Annotated[str, Field(alias="from")], json: str = "", copy: bool = False) -> str:
        """Move."""
        return source

    assert set(move.spec.parameters["properties"]) == {"from", "json", "copy"}
    assert move.arguments is not None
    assert move.arguments.model_validate({"from": "here"}).model_dump()["source"] == "here"


def test_a_tool_is_still_its_function() -> None:
    @tool(name="shop.double", effect="read")
    def double(count: int) -> int:
        """Twice as many."""
        return 2 * count

    assert double(4) == 8


def _untyped(item) -> str:  # type: ignore[no-untyped-def] # the mistake under test
    return str(item)


def _no_result(item: str):  # type: ignore[no-untyped-def] # the mistake under test
    return item


def _rest(*items: str) -> str:
    return ""


def _late(item: str, ctx: ToolContext) -> str:
    return item


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_untyped, "give parameter item a type"),
        (_no_result, "give _no_result a return type"),
        (_rest, r"\*items: str cannot be passed by name"),
        (_late, "ctx: ToolContext must be the first parameter"),
    ],
)
def test_a_signature_that_cannot_be_a_tool_is_refused_by_name(function: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"tool shop.bad: {said}"):
        tool(name="shop.bad", effect="read")(function)


@pytest.mark.parametrize("name", ["Shop.buy", "shop buy", "shop.", "1shop", "shop-buy"])
def test_a_name_that_is_no_activity_type_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case words joined by dots"):
        tool(name=name, effect="read")


@pytest.mark.parametrize(("effect", "idempotent"), [("read", False), ("write", True)])
def test_a_check_is_only_for_writes_that_cannot_be_repeated(effect: Literal["read", "write"], idempotent: bool) -> None:
    with pytest.raises(ValueError, match="not idempotent"):
        tool(name="shop.buy", effect=effect, idempotent=idempotent, check="shop.bought")


def test_grants_deny_what_they_do_not_name() -> None:
    names = ("erp.read_order", "erp.write_order", "mail.send", "erp.inner.read_x", "xmail.send")
    assert granted(["erp.read_*", "mail.send"], names) == ("erp.read_order", "mail.send")
    assert granted([], names) == ()
