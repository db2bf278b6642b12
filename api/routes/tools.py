"""`/api/tools`: what graphs can call, with the JSON Schema of each tool's config."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.context import context_of
from api.openapi import answers
from api.schemas import ToolsAnswer
from api.wire import answer
from tools import Tool

router = APIRouter(tags=["tools"])


@router.get("/api/tools", summary="List tools", responses=answers(ToolsAnswer, "Every version of every tool"))
async def list_tools(request: Request) -> Response:
    """Answer every tool, and the plug-ins that could not be loaded."""
    registry = context_of(request).tools
    tools = [_line(tool) for tool in registry]
    broken = [{"name": plugin.name, "error": plugin.error} for plugin in registry.broken]
    return answer({"tools": tools, "count": len(tools), "broken": broken})


def _line(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "version": tool.version,
        "description": tool.description,
        "effect": tool.effect,
        "parameters": tool.parameters.model_json_schema(),
        "is_async": tool.is_async,
        "isolation": tool.isolation,
        "cpu_bound": tool.cpu_bound,
    }
