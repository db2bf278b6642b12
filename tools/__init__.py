"""What a graph can call: the tool contract, the registry, and the tools that ship with the engine."""

from tools.contract import CallCancelled, Effect, Tool, ToolContext, ToolError, ToolLog, ToolSource, tool
from tools.registry import Registry, default_registry

__all__ = [
    "CallCancelled",
    "Effect",
    "Registry",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolLog",
    "ToolSource",
    "default_registry",
    "tool",
]
