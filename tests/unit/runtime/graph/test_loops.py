"""Natural loops: textbook graphs by hand, and random graphs against the definitions."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.graph.loops import Arc, LoopForest, find_loops
from tests.support.naive_loops import dominates, is_reducible, natural_loops, reachable
from tests.support.settings import thorough


def loops(size: int, arcs: list[Arc], entry: int = 0) -> list[tuple[int, tuple[int, ...], set[int]]]:
    forest = find_loops(size, arcs, entry)
    assert forest.irreducible == ()
    return [(loop.header, loop.back_arcs, set(loop.body)) for loop in forest.loops]


def test_a_chain_has_no_loop_and_keeps_its_order() -> None:
    assert find_loops(3, [(0, 1), (1, 2)], 0) == LoopForest((0, 1, 2), (), ())


def test_a_cycle_is_a_loop_of_all_its_nodes() -> None:
    assert loops(3, [(0, 1), (1, 2), (2, 0)]) == [(0, (2,), {0, 1, 2})]


def test_two_edges_back_to_one_header_are_one_loop() -> None:
    arcs = [(0, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 4)]
    assert loops(5, arcs) == [(1, (3, 4), {1, 2, 3})]


def test_nested_loops_come_from_the_outside_in() -> None:
    arcs = [(0, 1), (1, 2), (2, 1), (2, 0)]
    assert loops(3, arcs) == [(0, (3,), {0, 1, 2}), (1, (2,), {1, 2})]


def test_a_self_edge_is_a_loop_of_its_own_inside_one_with_the_same_header() -> None:
    arcs = [(0, 0), (0, 1), (1, 0)]
    assert loops(2, arcs) == [(0, (2,), {0, 1}), (0, (0,), {0})]


def test_a_branch_that_cannot_come_back_is_not_in_the_body() -> None:
    arcs = [(0, 1), (1, 2), (1, 3), (2, 0)]
    assert loops(4, arcs) == [(0, (3,), {0, 1, 2})]


def test_a_cycle_with_two_entries_is_irreducible() -> None:
    forest = find_loops(3, [(0, 1), (0, 2), (1, 2), (2, 1)], 0)
    assert len(forest.irreducible) == 1
    assert forest.irreducible[0] in (2, 3)
    assert forest.loops == ()


def test_the_textbook_graph_of_irreducible_flow_inside_a_loop() -> None:
    arcs = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4), (4, 3), (4, 0)]
    forest = find_loops(5, arcs, 0)
    assert len(forest.irreducible) == 1
    assert [(loop.header, loop.back_arcs) for loop in forest.loops] == [(0, (6,))]


def test_what_the_entry_does_not_lead_to_is_left_out() -> None:
    assert loops(4, [(0, 1), (2, 3), (3, 2), (2, 1)]) == []
    assert find_loops(4, [(0, 1), (2, 3), (3, 2), (2, 1)], 0).order == (0, 1)


def test_a_very_long_cycle_needs_no_recursion() -> None:
    size = 10_000
    arcs = [(i, (i + 1) % size) for i in range(size)]
    assert loops(size, arcs) == [(0, (size - 1,), set(range(size)))]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Arc]]:
    size = draw(st.integers(1, 8))
    nodes = st.integers(0, size - 1)
    return size, draw(st.lists(st.tuples(nodes, nodes), max_size=16))


@thorough
@given(graphs())
def test_loops_and_irreducible_edges_are_those_of_the_definitions(drawn: tuple[int, list[Arc]]) -> None:
    size, arcs = drawn
    forest = find_loops(size, arcs, 0)
    assert set(forest.order) == reachable(arcs, 0)
    assert bool(forest.irreducible) is not is_reducible(arcs, 0)
    expected = natural_loops(arcs, 0)
    if not forest.irreducible:
        found = {(x.header, all(arcs[i] == (x.header, x.header) for i in x.back_arcs)): x for x in forest.loops}
        assert {key: (x.back_arcs, x.body) for key, x in found.items()} == expected


@thorough
@given(graphs())
def test_the_order_has_every_node_after_its_forward_predecessors(drawn: tuple[int, list[Arc]]) -> None:
    size, arcs = drawn
    forest = find_loops(size, arcs, 0)
    rank = {node: place for place, node in enumerate(forest.order)}
    back = {arc for loop in forest.loops for arc in loop.back_arcs} | set(forest.irreducible)
    assert all(rank[s] < rank[t] for i, (s, t) in enumerate(arcs) if i not in back and s in rank)
    assert all(dominates(arcs, 0, arcs[i][1], arcs[i][0]) for loop in forest.loops for i in loop.back_arcs)


@thorough
@given(graphs())
def test_loops_nest_or_do_not_touch_and_outer_ones_come_first(drawn: tuple[int, list[Arc]]) -> None:
    size, arcs = drawn
    forest = find_loops(size, arcs, 0)
    if forest.irreducible:
        return
    for place, outer in enumerate(forest.loops):
        for inner in forest.loops[place + 1 :]:
            assert inner.body <= outer.body or not inner.body & outer.body
