"""The mailbox: in order, nothing lost, nobody waits while there is something."""

import anyio

from runtime.actors.mailbox import Mailbox, Request
from runtime.run.messages import Cancel, DropLogs, Message, Start


def test_messages_are_taken_in_the_order_they_were_sent() -> None:
    mailbox = Mailbox()
    sent = [DropLogs(number) for number in range(5)]
    for message in sent:
        mailbox.send(message)
    assert not mailbox.is_empty
    assert [mailbox.take() for _ in sent] == sent
    assert mailbox.is_empty
    assert mailbox.take() is None


async def test_waiting_ends_at_once_while_there_is_a_message() -> None:
    mailbox = Mailbox()
    mailbox.send(Start())
    with anyio.fail_after(1):
        await mailbox.wait()
    assert mailbox.take() == Start()


async def test_waiting_ends_with_the_next_message() -> None:
    mailbox = Mailbox()
    taken: list[Message | Request | None] = []

    async def read() -> None:
        while len(taken) < 3:
            await mailbox.wait()
            taken.append(mailbox.take())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        mailbox.send(Start())
        mailbox.send(Cancel())
        await anyio.wait_all_tasks_blocked()
        assert taken == [Start(), Cancel()]
        mailbox.send(DropLogs(1))
    assert taken == [Start(), Cancel(), DropLogs(1)]
