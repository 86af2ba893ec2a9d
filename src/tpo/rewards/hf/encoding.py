"""From conversations to token ids: templated by the tokenizer, tokenised once, nothing cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tpo.messages import Conversation, Message, readable, text_of


class Encoder:
    """Writes conversations as a model was trained to read them.

    Args:
        tokenizer: a tokenizer of transformers.
        template: a chat template to use instead of the tokenizer's.
        appended: token ids to put after each conversation.
        pair: write a question and an answer instead of a chat.
        limit: most tokens that the model takes; None if it has no limit.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: str | None = None,
        appended: Sequence[int] = (),
        *,
        pair: bool,
        limit: int | None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._appended = list(appended)
        self._pair = pair
        self._limit = limit

    def __call__(self, conversations: Sequence[Conversation]) -> list[list[int] | str]:
        """The token ids of each conversation; where there are none, the reason in words."""
        texts = [self._text(messages) for messages in conversations]
        good = [text for text in texts if not isinstance(text, str)]
        coded = iter(self._tokens(good))
        return [text if isinstance(text, str) else self._checked(next(coded)) for text in texts]

    def _text(self, messages: Conversation) -> tuple[str, ...] | str:
        """What to tokenise, or why there is nothing."""
        if self._pair:
            return readable(messages[:-1]), text_of(messages[-1])
        flat = [_flat(message) for message in messages]
        try:
            # A template is a program from elsewhere: it may raise anything, and refuses roles by raising.
            written = self._tokenizer.apply_chat_template(flat, chat_template=self._template, tokenize=False)
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            return f"the reward model's chat template refuses this conversation: {said}"
        return (str(written),)

    def _tokens(self, texts: list[tuple[str, ...]]) -> list[list[int]]:
        if not texts:
            return []
        # A chat template writes every special token itself: a tokenizer that adds its own would double the BOS.
        # Truncation is switched off by name, for a saved tokenizer may have it switched on.
        columns = [list(column) for column in zip(*texts, strict=True)]
        coded = self._tokenizer(*columns, add_special_tokens=self._pair, truncation=False, padding=False, verbose=False)
        return [[*map(int, row), *self._appended] for row in coded["input_ids"]]

    def _checked(self, tokens: list[int]) -> list[int] | str:
        if not tokens:
            return "the conversation has no tokens: the chat template wrote nothing"
        if self._limit is not None and len(tokens) > self._limit:
            return f"the conversation has {len(tokens)} tokens, and the reward model takes {self._limit}"
        return tokens


def _flat(message: Message) -> Message:
    # Templates of text models join content as a string; parts would be refused, or printed as Python.
    return {**message, "content": text_of(message)} if isinstance(message.get("content"), list) else message
