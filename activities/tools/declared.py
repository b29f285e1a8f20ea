"""Tools that a `tools.yaml` declares, as tools a worker registers: HTTP, SQL and MCP behind the same door as Python."""

from collections.abc import Iterable, Mapping
from typing import Any

from activities.breaker import Breakers
from activities.tools.http import HttpConnector
from activities.tools.mcp import McpConnector
from activities.tools.rates import Rates
from activities.tools.sql import SqlConnector
from contracts.base import Json
from contracts.connections import DeclaredTool, HttpCall, SqlCall
from contracts.egress import Egress
from contracts.tools import Tool, ToolContext


class Connectors:
    """What declared tools are called through; one for a worker. `close` ends connections and children."""

    def __init__(self, egress: Egress | None = None) -> None:
        self.breakers = Breakers()
        egress = egress or Egress()
        self._http = HttpConnector(egress, self.breakers)
        self._sql = SqlConnector()
        self._mcp = McpConnector(egress, self.breakers)
        self._rates = Rates()

    def tools(self, declared: Iterable[DeclaredTool]) -> list[Tool[..., Any]]:
        return [self._tool(each) for each in declared]

    async def close(self) -> None:
        await self._mcp.close()
        await self._http.close()
        await self._sql.close()

    def _tool(self, declared: DeclaredTool) -> Tool[..., Any]:
        async def run(context: ToolContext, args: Mapping[str, Json]) -> Json:
            if declared.group_rate is not None:
                await self._rates.turn(declared.group, declared.group_rate)
            call = declared.call
            if isinstance(call, HttpCall):
                return await self._http.call(call, context, args)
            if isinstance(call, SqlCall):
                return await self._sql.call(call, context, args)
            return await self._mcp.call(declared.group, call, context, args)

        return Tool(spec=declared.spec, function=run, arguments=None, result=None, wants_context=True)
