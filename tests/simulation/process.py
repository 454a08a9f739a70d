"""One life of the daemon in a world, and what was asked of it."""

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.stage import STAGE, Stage, until_nothing_moves

from waiaas.domain.ids import AgentId
from waiaas.domain.request import Request
from waiaas.pipeline.worker import Worker


@dataclass(frozen=True)
class Asked:
    """A request of an agent, under a key of its own."""

    agent_id: AgentId
    request: Request
    key: str


@dataclass
class Process:
    """One life of the daemon: a worker, and the callers it is answering."""

    stage: Stage
    worker: Worker
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        context = copy_context()
        context.run(STAGE.set, self.stage)
        self.tasks.append(asyncio.get_running_loop().create_task(work, context=context))

    def raise_what_ended(self) -> None:
        """Raise what ended any of it, if something did."""
        for task in self.tasks:
            if task.done():
                task.result()
        self.tasks = [task for task in self.tasks if not task.done()]

    async def kill(self) -> None:
        """Forget everything it was doing, where it was doing it."""
        for task in self.tasks:
            task.cancel()
        await until_nothing_moves()
        assert all(task.done() for task in self.tasks)
