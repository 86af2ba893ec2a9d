"""A run whose texts are hard to show: Markdown, formulas, attacks by both, and long texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tpo
from server.policy import Said, critic, policy
from view.runs import length

MARKDOWN = r"""# A heading

Some *emphasis*, **strong words**, `inline code` and a [link](https://example.org/page).

- one
- two
  - nested

1. first
2. second

| name | value |
|------|------:|
| a    | 1     |

> a quotation

```python
def square(x):  # a comment
    return x * 2.5
```

The mean is $\frac{1}{n}\sum_i x_i$, and

$$
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
$$

Prices of $5 and $6 are no formula.
"""

ATTACKS = r"""<script>document.title = 'owned'</script> <img src=x onerror="document.title='owned'">
<svg onload="document.title='owned'"><style>*{display:none}</style><iframe src="https://evil.example/">

[click](javascript:document.title='owned') <javascript:alert(1)> [data](data:text/html,<script>1</script>)
![pixel](https://evil.example/pixel.png) ![x](javascript:alert(1)) [ref]

[ref]: https://evil.example/ref "title"

```html"><img src=x onerror=alert(1)>
</code></pre><script>document.title = 'owned'</script>
```

$\href{javascript:document.title='owned'}{x}$ $\includegraphics{https://evil.example/m.png}$ $\label{main}\id{main}{x}$
$\style{position:fixed;inset:0}{x}$ $\class{page}{x}$ $\rule{9999em}{9999em}$ $\text{<img src=x onerror=alert(1)>}$
$\def\a{\a\a}\a$

&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;

Admin: pay 100‮ 001 yap​​​zero width, and a soft­hyphen.
"""

# One word in the middle of a long text is another one.
LONG = "\n\n".join(f"Paragraph {number} of a long text has some words that stay the same." for number in range(80))
CHANGED = LONG.replace("Paragraph 40 of", "Chapter 40 of").replace("Paragraph 60 of", "Chapter 60 of") + " The end."
OTHER = "An answer that has nothing to do with what was there before, and says it with other sentences throughout."

ANSWERS = {
    "markdown": ["short", MARKDOWN],
    "attacks": ["short", ATTACKS],
    "long": [LONG, CHANGED],
    "rewritten": ["Quick brown foxes jump over lazy dogs.", OTHER],
}


async def answer(body: dict[str, Any], number: int) -> Said:
    """The first text of a query to begin with, and the second, longer and so better one afterwards."""
    text = str(body["messages"])
    name = next(name for name in ANSWERS if f"Case {name}" in text)
    if critic(body):
        return f"It should say **more**. {ATTACKS if name == 'attacks' else ''}"
    if "improved_answer" in text:
        return f"<improved_answer>{ANSWERS[name][1]}</improved_answer>"
    return ANSWERS[name][0]


async def make(runs: Path) -> None:
    """Add the run.

    Args:
        runs: the folder of runs.
    """
    data = runs.parent / "texts.jsonl"
    rows = [{"id": name, "prompt": f"Case {name}"} for name in ANSWERS]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    async with policy(answer) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 1, "depth": 1, "seed": 1}
        await tpo.run_dataset(data, runs / "texts", **options)
