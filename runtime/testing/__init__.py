"""The test kit: for testing graphs, tools, journals and the engine itself without sleeping and without luck.

`ScriptedTools` is a tool source whose tools do what their config says, every bad habit included; a `Gate` holds a call up until
the test lets it go. `GatedJournal` holds commits up or makes them fail. Nothing here is used by the engine.
"""

from runtime.testing.gates import Gate, ThreadGate
from runtime.testing.journals import GatedJournal
from runtime.testing.scripted import Call, ScriptedTools, scripted

__all__ = ["Call", "Gate", "GatedJournal", "ScriptedTools", "ThreadGate", "scripted"]
