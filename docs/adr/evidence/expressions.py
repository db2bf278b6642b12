"""Measures what ADR 0011 rests on: `PYTHONPATH=. python docs/adr/evidence/expressions.py`; needs the extra `cel`.

Prints the price of an evaluation and of a compilation, what the package takes for expressions and operands that are refused, and
what the most expensive ones take that are allowed.
"""

# ruff: noqa: T201 - a measurement prints its table

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cel_expr_python import cel

from runtime.graph.conditions import compile_condition

NUMBERS = list(range(5_000))
ROWS = [{"id": i, "rate": i / 7, "name": f"row {i}"} for i in range(5_000)]
TEXT = "x" * (64 << 10)
DOUBLED = "[1, 1]" + ".map(x, [x, x])" * 22

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("a.map(x, x) != []", {"a": NUMBERS}),
    ("a.filter(x, x >= 0) != []", {"a": NUMBERS}),
    ("a.all(x, a == a)", {"a": NUMBERS}),
    ("a.all(x, x in a)", {"a": NUMBERS}),
    ("a.all(x, a == a)", {"a": ROWS[:1_500]}),
    ("a.matches(b) || true", {"a": TEXT, "b": "(xyz|ab)*?[a-z]+" * 1_000}),
    (f"{DOUBLED} == {DOUBLED}", {}),
]
ALLOWED: list[tuple[str, dict[str, Any]]] = [
    ("a > 1 && b == 'x'", {"a": 2, "b": "x"}),
    ("a.all(x, x >= 0)", {"a": NUMBERS}),
    ("a.all(r, r.rate >= limit)", {"a": ROWS, "limit": 0}),
    ("a.all(r, r == r && r == r && r == r)", {"a": ROWS[:4_000]}),
    ("a.all(x, " + "&&".join(["string(x) != ''"] * 50) + ")", {"a": NUMBERS[:1_900]}),
    ("a.exists(x, " + "||".join(["x.b == 1"] * 80) + ") || true", {"a": NUMBERS[:900]}),
    ("+".join("a" * 25) + " != []", {"a": NUMBERS[:700]}),
    ("!a.contains(b)", {"a": TEXT[:50_000], "b": TEXT[:25_000] + "y"}),
]


def best(action: Callable[[], object], times: int) -> float:
    """Return the shortest of several measurements, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1e3)
    return min(taken)


def row(milliseconds: float, text: str) -> None:
    print(f"{milliseconds:12.3f} ms  {text if len(text) < 90 else text[:90] + '…'}")


def main() -> None:
    print("compiled and checked, for names that are new, and that are not")
    row(best(lambda: compile_condition({"expr": f"a{time.perf_counter_ns()} > 1 && b == 'x'"}, "", []), 50), "new")
    row(best(lambda: compile_condition({"expr": "a > 1 && b == 'x'"}, "", []), 50), "not new")
    print("refused: evaluated by the package alone")
    for text, state in REFUSED:
        program = cel.NewEnv(variables=dict.fromkeys(state, cel.Type.DYN)).compile(text)
        row(best(partial(program.eval, data=state), 1), text)
    print("allowed: evaluated as a condition")
    for text, state in ALLOWED:
        test = compile_condition({"expr": text}, "", [])
        if test is None:
            raise ValueError(text)
        row(best(partial(test, state.__getitem__, []), 5), text)


if __name__ == "__main__":
    main()
