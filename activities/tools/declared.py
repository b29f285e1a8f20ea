"""Tools that a `tools.yaml` declares, as tools a worker registers: HTTP, SQL and MCP behind the same door as Python."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from activities.breaker import Breakers
from activities.tools.rates import Rates
from contracts.base import Json
from contracts.connections import DeclaredTool, HttpCall, SqlCall
from contracts.egress import Egress
from contracts.tools import Tool, ToolContext

if TYPE_CHECKING:
    from activities.tools.http import HttpConnector
    from activities.tools.mcp import McpConnector
    from activities.tools.sql import SqlConnector

Call = Callable[[ToolContext, Mapping[str, Json]], Awaitable[Json]]


class Connectors:
    """What declared tools are called through; one for a worker. `close` ends connections and children.

    A connector is made, and its library imported, for the first tool that needs it: together they would double the time
    in which a worker starts.
    """

    def __init__(self, egress: Egress | None = None) -> None:
        self.breakers = Breakers()
        self._egress = egress or Egress()
        self._rates = Rates()

    def tools(self, declared: Iterable[DeclaredTool]) -> list[Tool[..., Any]]:
        return [self._tool(each) for each in declared]

    async def close(self) -> None:
        for made in ("_mcp", "_http", "_sql"):
            if made in vars(self):
                await getattr(self, made).close()

    @cached_property
    def _http(self) -> "HttpConnector":
        from activities.tools.http import HttpConnector

        return HttpConnector(self._egress, self.breakers)

    @cached_property
    def _sql(self) -> "SqlConnector":
        from activities.tools.sql import SqlConnector

        return SqlConnector()

    @cached_property
    def _mcp(self) -> "McpConnector":
        from activities.tools.mcp import McpConnector

        return McpConnector(self._egress, self.breakers)

    def _tool(self, declared: DeclaredTool) -> Tool[..., Any]:
        call = self._call(declared)

        async def run(context: ToolContext, args: Mapping[str, Json]) -> Json:
            if declared.group_rate is not None:
                await self._rates.turn(declared.group, declared.group_rate)
            return await call(context, args)

        return Tool(spec=declared.spec, function=run, arguments=None, result=None, wants_context=True)

    def _call(self, declared: DeclaredTool) -> Call:
        made = declared.call
        if isinstance(made, HttpCall):
            http = self._http
            return lambda context, args: http.call(made, context, args)
        if isinstance(made, SqlCall):
            sql = self._sql
            return lambda context, args: sql.call(made, context, args)
        mcp = self._mcp
        return lambda context, args: mcp.call(declared.group, made, context, args)
