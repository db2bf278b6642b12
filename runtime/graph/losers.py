"""Which nodes lose when a join with `cancel_losers` has what it needs: those that can lead nowhere but to this join."""

from collections.abc import Mapping, Sequence

from runtime.graph.definition import GraphDefinition


def losers_of(
    definition: GraphDefinition,
    arcs: Sequence[tuple[int, int]],
    is_back: Sequence[bool],
    chains: Sequence[tuple[int, ...]],
) -> Mapping[int, tuple[int, ...]]:
    """Return the losers of each join that cancels them.

    A node loses if every forward edge from it leads to the join or to another loser, and it lives in the join's own loop or
    deeper. A loop whose header does not lose keeps its whole body.

    Args:
        definition: The graph.
        arcs: Source and target of each edge.
        is_back: Whether the edge closes a loop.
        chains: Each node's loop scopes, innermost first.
    """
    joins = [index for index, node in enumerate(definition.nodes) if node.cancel_losers and node.join != "all"]
    if not joins:
        return {}
    forward: list[list[int]] = [[] for _ in definition.nodes]
    back: list[list[int]] = [[] for _ in definition.nodes]
    arriving: list[list[int]] = [[] for _ in definition.nodes]
    for (source, target), closes in zip(arcs, is_back, strict=True):
        (back if closes else forward)[source].append(target)
        if not closes:
            arriving[target].append(source)
    return {join: _losers(join, forward, back, arriving, chains) for join in joins}


def _losers(
    join: int,
    forward: Sequence[Sequence[int]],
    back: Sequence[Sequence[int]],
    arriving: Sequence[Sequence[int]],
    chains: Sequence[tuple[int, ...]],
) -> tuple[int, ...]:
    scope = chains[join][0]
    lost = {join}
    pending = list(arriving[join])
    while pending:  # a node is looked at again whenever another one that it leads to is lost
        node = pending.pop()
        if node not in lost and scope in chains[node] and all(target in lost for target in forward[node]):
            lost.add(node)
            pending.extend(arriving[node])
    kept = [node for node in lost if any(target not in lost for target in back[node])]
    while kept:  # the loop goes on without the join, so whoever leads into its body does too
        node = kept.pop()
        if node in lost and node != join:
            lost.remove(node)
            kept.extend(source for source in arriving[node] if source in lost)
            kept.extend(other for other in lost if node in back[other])
    return tuple(sorted(lost - {join}))
