"""Doing several things at once: the first failure ends all, and is raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first failure is raised as it is, not wrapped in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all at once and return their results, in their order; the first failure cancels the rest."""
    coroutines = list(work)
    if len(coroutines) == 1:  # a task of its own costs time, and does nothing for one alone
        return [await coroutines[0]]
    async with task_group() as group:
        tasks = [group.create_task(one) for one in coroutines]
    return [task.result() for task in tasks]
