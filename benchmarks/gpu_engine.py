"""An inference engine that only pretends: what a GPU's continuous batching costs in time, without the GPU.

The engine decodes up to `slots` sequences at once, all of them one token a step, and a step takes longer the more
sequences are in it. That is why a server wants to be full: its throughput rises with the batch, at first almost in
proportion. The default curve has the shape of one that was measured (two B200, 16 to 512 sequences at once: 3455, 8120,
15552, 18746 tokens/s), with 64 slots where that server has 256, and the time shortened.

Time is continuous and costs no ticks. A token clock counts the steps since the start; its pace depends on nothing but
how many sequences are live. A sequence that starts at 100 and is 30 tokens long ends when the clock shows 130, whatever
happens between, so the next event is the top of a heap, and a new sequence changes the pace and nothing else. Computing
a prompt stops the clock for a while (less for what the prefix cache holds), as it takes compute from everybody's step.

Events are worked off at the moment when they were due, not when the process came to look. So a busy machine makes
answers late, but never the pretended GPU slower.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import NormalDist

CHARACTERS = 4  # in a token
BLOCK = 16 * CHARACTERS  # characters that the prefix cache keeps or forgets together

# A byte's word, exactly one token with its space.
WORDS = [f"{a}{b}{c} " for a in "bdfklmnprstvzghj" for b in "aeio" for c in "lnrs"]


@dataclass(frozen=True)
class Settings:
    """What the GPU can do, and what the model is like.

    Attributes:
        slots: most sequences that decode at once.
        queue: most sequences that wait for a slot.
        base: seconds of a step, however few sequences are in it.
        per_sequence: seconds that each sequence adds to a step.
        prefill_rate: prompt tokens computed in a second.
        pace: all times are multiplied with it.
        cache_blocks: blocks of 16 tokens that the prefix cache holds.
        mean_tokens: mean length of an answer.
        spread: standard deviation of the logarithm of an answer's length; 0 makes all equally long.
        longest: most tokens of an answer.
    """

    slots: int = 64
    queue: int = 128
    base: float = 0.25e-3
    per_sequence: float = 0.01e-3
    prefill_rate: float = 600_000.0
    pace: float = 1.0
    cache_blocks: int = 16384
    mean_tokens: int = 128
    spread: float = 0.0
    longest: int = 1024

    def rate(self, live: int) -> float:
        """Tokens a second with so many sequences at once, prompts apart."""
        return live / (self.pace * (self.base + self.per_sequence * live))


@dataclass
class Measured:
    """What an engine did. Sequences count when they start, tokens when they are computed."""

    busy_seconds: float = 0.0
    full_seconds: float = 0.0
    prefill_seconds: float = 0.0
    live_seconds: float = 0.0
    most_queued: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0


@dataclass(eq=False, slots=True)
class Sequence:
    """An answer in the making.

    Attributes:
        prompt: the conversation as the model gets it.
        text: what it is going to say.
        tokens: how long that is.
        interval: tokens between two calls of `on_tokens`, called for the first and the last token too; 0
            for the last one only.
        on_tokens: called with the sequence and how many tokens of it there are.
        cached: tokens of the prompt that were found in the cache.
        blocks: the prompt's blocks.
    """

    prompt: str
    text: str
    tokens: int
    interval: int
    on_tokens: Callable[[Sequence, int], None]
    cached: int = 0
    blocks: list[int] = field(default_factory=list)
    began: float = -1.0
    over: bool = False


class PrefixCache:
    """Which blocks of text were computed lately: each known by its own text and everything before it, as in vLLM."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def match(self, prompt: str) -> tuple[int, list[int]]:
        """Tokens of the prompt that are there already, and its blocks; from now on all of them are there."""
        blocks = self._chain(prompt, [])
        # The last token has to be computed, or there would be nothing to go on from.
        usable = (len(prompt) - 1) // BLOCK
        known = next((at for at, block in enumerate(blocks) if block not in self._blocks), len(blocks))
        self._keep(blocks)
        return min(known, usable) * (BLOCK // CHARACTERS), blocks

    def add(self, text: str, blocks: list[int]) -> None:
        """Keep a prompt with its answer, which the next turn of the conversation starts with."""
        self._keep(self._chain(text, blocks))

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()

    def _chain(self, text: str, start: list[int]) -> list[int]:
        """The blocks of a text, of which the first are known."""
        chain, block = [*start], start[-1] if start else 0
        for at in range(len(start) * BLOCK, len(text) - BLOCK + 1, BLOCK):
            block = hash((block, text[at : at + BLOCK]))
            chain.append(block)
        return chain

    def _keep(self, blocks: list[int]) -> None:
        for block in reversed(blocks):  # so that the ends of texts go before their beginnings
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)


@dataclass
class Engine:
    """Sequences in, calls of their `on_tokens` out. It has no clock: its owner calls `advance` at the time of `due`."""

    settings: Settings
    now: float
    measured: Measured = field(default_factory=Measured)
    live: int = 0
    queued: int = 0

    def __post_init__(self) -> None:
        self.cache = PrefixCache(self.settings.cache_blocks)
        self._waiting: deque[Sequence] = deque()
        self._tokens = 0.0  # the token clock
        self._stall = 0.0  # seconds of prompts to compute before it goes on
        self._step = 1.0  # seconds of a token, with what is live now
        self._marks: list[tuple[float, int, Sequence]] = []
        self._order = itertools.count()

    def room(self) -> int:
        """How many more sequences may come."""
        return self.settings.slots + self.settings.queue - self.live - self.queued

    def slow_down(self, factor: float) -> None:
        """From now on all times are so many times as long."""
        self.settings = replace(self.settings, pace=self.settings.pace * factor)
        self._count(0)

    def submit(self, sequence: Sequence, now: float) -> None:
        """Start a sequence, or let it wait."""
        self.advance(now)
        if self.live < self.settings.slots:
            self._start(sequence)
            return
        self._waiting.append(sequence)
        self.queued += 1
        self.measured.most_queued = max(self.measured.most_queued, self.queued)

    def cancel(self, sequence: Sequence, now: float) -> None:
        """Nobody waits for it any more."""
        self.advance(now)
        if sequence.over:
            return
        sequence.over = True
        if sequence.began < 0:
            self.queued -= 1
            return
        self.measured.generated_tokens += int(self._tokens - sequence.began)
        self._leave()

    def due(self) -> float | None:
        """When something happens next."""
        while self._marks and self._marks[0][2].over:
            heapq.heappop(self._marks)
        if not self._marks:
            return None
        return self.now + self._stall + max(0.0, self._marks[0][0] - self._tokens) * self._step

    def advance(self, now: float) -> None:
        """Let time pass, and do what was due in it."""
        while (due := self.due()) is not None and due <= now:
            self._pass(due)
            mark, _, sequence = heapq.heappop(self._marks)
            self._tokens = mark
            self._reached(sequence, round(mark - sequence.began))
        self._pass(now)

    def _pass(self, until: float) -> None:
        seconds = until - self.now
        if seconds <= 0:
            return
        self.now = until
        if self.live:
            stalled = min(seconds, self._stall)
            self._stall -= stalled
            self._tokens += (seconds - stalled) / self._step
            self.measured.prefill_seconds += stalled
            self.measured.busy_seconds += seconds
            self.measured.live_seconds += seconds * self.live
            if self.live == self.settings.slots:
                self.measured.full_seconds += seconds

    def _start(self, sequence: Sequence) -> None:
        sequence.began = self._tokens
        sequence.cached, sequence.blocks = self.cache.match(sequence.prompt)
        prompt = tokens_in(sequence.prompt)
        self.measured.prompt_tokens += prompt
        self.measured.cached_tokens += sequence.cached
        self._stall += self.settings.pace * (prompt - sequence.cached) / self.settings.prefill_rate
        self._count(1)
        self._mark(sequence, 1 if sequence.interval else sequence.tokens)

    def _mark(self, sequence: Sequence, token: int) -> None:
        heapq.heappush(self._marks, (sequence.began + token, next(self._order), sequence))

    def _reached(self, sequence: Sequence, token: int) -> None:
        if token < sequence.tokens:
            self._mark(sequence, min(token + sequence.interval, sequence.tokens))
        else:
            sequence.over = True
            self.measured.generated_tokens += token
            self.cache.add(sequence.prompt + sequence.text, sequence.blocks)
            self._leave()
        sequence.on_tokens(sequence, token)

    def _leave(self) -> None:
        """A slot is free: the next one that waits gets it."""
        self._count(-1)
        while self._waiting:
            sequence = self._waiting.popleft()
            if not sequence.over:
                self.queued -= 1
                self._start(sequence)
                return

    def _count(self, change: int) -> None:
        self.live += change
        settings = self.settings
        self._step = settings.pace * (settings.base + settings.per_sequence * self.live)
        if not self.live:
            self._stall = 0.0


def tokens_in(text: str) -> int:
    """How many tokens a text has."""
    return -(-len(text) // CHARACTERS)


def answer(settings: Settings, prompt: str, seed: int, limit: int | None) -> tuple[str, int, bool]:
    """What the model says to a prompt with a seed, its tokens, and whether the limit cut it off.

    The same every time; another one for every prompt and seed, in its words and, with a spread, its length.
    """
    key = hashlib.shake_128(f"{seed}\n{prompt}".encode())
    wanted = settings.mean_tokens
    if settings.spread:
        even = (int.from_bytes(key.digest(6)) + 0.5) / 2**48
        middle = math.log(settings.mean_tokens) - settings.spread**2 / 2
        wanted = int(math.exp(middle + settings.spread * NormalDist().inv_cdf(even)) + 0.5)
    wanted = max(1, min(settings.longest, wanted))
    tokens = wanted if limit is None else max(1, min(limit, wanted))
    return "".join(map(WORDS.__getitem__, key.digest(tokens)))[:-1], tokens, tokens < wanted
