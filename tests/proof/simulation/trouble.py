"""What befalls the simulated servers: kills at instants and at operations, failing, full, locked and slow disks, zombies, stops."""

from typing import Final

import trio

from tests.proof.simulation.disk import Accident
from tests.proof.simulation.world import World

MAX_TROUBLES: Final = 6
DEEDS: Final = (
    "kill",
    "kill",
    "kill_before",
    "kill_after",
    "kill_after",
    "fail",
    "fail_stored",
    "full",
    "busy",
    "stall",
    "zombie",
    "zombie",
    "stop",
)


async def trouble(world: World, servers: trio.Nursery) -> None:
    """Let happen what the seed has in store."""
    chance = world.random
    if chance.random() < 0.1:
        return
    moments = sorted(
        chance.random() ** 2 * chance.choice([4, 15, 60]) for _ in range(chance.randrange(MAX_TROUBLES + 1))
    )
    for moment in moments:
        await trio.sleep_until(moment)
        strike(world, chance.choice(DEEDS), servers)


def strike(world: World, deed: str, servers: trio.Nursery) -> None:
    """Let one thing happen to whoever serves now."""
    chance, server, now = world.random, world.current, trio.current_time()
    if server is None or server.lost.is_set():
        return
    world.struck.append(deed)
    match deed:
        case "kill":
            server.kill()
        case "kill_before" | "kill_after" | "fail" | "fail_stored":
            server.journal.accident = Accident(chance.randrange(12), deed)
        case "full":
            world.disk.full_until = now + chance.random() * 10
        case "busy":
            world.disk.busy_until = now + chance.random() * 8
        case "stall":
            world.disk.stalled_until = now + chance.random() * 10
        case "zombie":
            server.freeze()
            servers.start_soon(server.rise, chance.random() * 10)
        case "stop":
            server.stop()
