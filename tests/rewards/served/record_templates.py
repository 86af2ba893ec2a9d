"""Write down what transformers makes of some chat templates: run by hand, in an environment that has transformers.

    python tests/rewards/served/record_templates.py

The templates are our own; each uses something that published ones use.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": " Wie geht's, <Ann>?\n"}
ASSISTANT = {"role": "assistant", "content": "Gut & «fein».  "}
BOS = {"bos_token": "<s>", "eos_token": "</s>"}

CHATML = """\
{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{% endif %}
"""
HEADERS = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}
{%- else %}{% set system = '' %}{% set rest = messages %}{% endif %}
{%- if tools is not none %}{{ tools | tojson }}{% endif %}
{{- '[SYS]' + system + '[/SYS]' if system }}
{%- for m in rest %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate!') }}{% endif %}
{{- '[' ~ m.role|upper ~ ']' ~ m.content.strip() ~ (eos_token if m.role == 'assistant' else '') }}
{%- endfor %}
"""
LOOPS = """\
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}{% if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for message in messages %}
  {%- if message.role == 'system' %}{% continue %}{% endif %}
  {%- if loop.index0 > ns.last + 1 %}{% break %}{% endif %}
  {{ message.role }}: {{ message | tojson }}
{% endfor %}
"""
GENERATION = """\
{% for message in messages %}
  {% if message.role == 'assistant' %}
{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}
{% else %}
{{ message.content }}|
  {% endif %}
{% endfor %}
"""
INDENTED = "{{ bos_token }}{{ messages | tojson(indent=2) }}{{ messages[-1].get('name', 'nobody') }}"

CASES: list[dict[str, Any]] = [
    {"template": CHATML, "special": {}, "messages": [SYSTEM, USER, ASSISTANT], "answer_due": False},
    {"template": CHATML, "special": {}, "messages": [USER], "answer_due": True},
    {"template": HEADERS, "special": BOS, "messages": [SYSTEM, USER, ASSISTANT], "answer_due": False},
    {"template": HEADERS, "special": BOS, "messages": [USER, ASSISTANT, USER, ASSISTANT], "answer_due": False},
    {"template": LOOPS, "special": BOS, "messages": [SYSTEM, USER, ASSISTANT], "answer_due": False},
    {"template": GENERATION, "special": BOS, "messages": [USER, ASSISTANT], "answer_due": False},
    {"template": INDENTED, "special": BOS, "messages": [USER, ASSISTANT], "answer_due": False},
]


def main() -> None:
    """Write data/templates.json."""
    transformers: Any = importlib.import_module("transformers")
    tokenizers: Any = importlib.import_module("tokenizers")

    def rendered(case: dict[str, Any]) -> str:
        fast = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=fast, **case["special"])
        tokenizer.chat_template = case["template"]
        text: str = tokenizer.apply_chat_template(
            case["messages"], tokenize=False, add_generation_prompt=case["answer_due"]
        )
        return text

    cases = [{**case, "text": rendered(case)} for case in CASES]
    written = {"source": f"transformers {transformers.__version__}", "cases": cases}
    path = Path(__file__).parent / "data" / "templates.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
