"""What identifies a score: files keep it, so it never changes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tpo.rewards.cache import Identifier

MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=9)}), max_size=4
)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), MESSAGES), max_size=6))
def test_it_is_the_hash_of_name_and_conversation_whatever_came_before(asked: list[tuple[str, list[Any]]]) -> None:
    identifier = Identifier()
    for name, conversation in [*asked, *asked]:
        text = json.dumps(conversation, ensure_ascii=False, separators=(",", ":")).encode()
        expected = hashlib.sha256(name.encode() + b"\0" + text).digest()
        assert identifier.of(name, conversation) == (expected, len(text))
