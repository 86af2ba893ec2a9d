#!/bin/sh
# From the project's root, with serve.sh running: recipes/today/run.sh DATA [OUT]
set -eu
PATH="$PWD/.venv/bin:$PATH"
echo "This takes about 11 hours on 6 H100 (\$170) (estimated, see recipes/README.md). Ctrl-C ends it; the same command continues."
data=$1
out=${2:-evals/today}
config=recipes/today/tpo.toml

tpo check --policy http://localhost:8000/v1 --reward vllm:http://localhost:8001

# How far do the judge and the two rewards agree with people?
tpo eval judge "$data/llmbar" "$data/pandalm" --judge http://localhost:8003/v1 --max-tokens 4096 --keep judged.jsonl
tpo eval judge "$data/llmbar" "$data/pandalm" --reward vllm:http://localhost:8001
tpo eval judge "$data/llmbar" "$data/pandalm" --reward vllm:http://localhost:8002

tpo --config $config eval alpaca_eval arena_hard hh_rlhf xstest math500 ifeval mt_bench gsm8k \
  --data "$data" --limit 500 \
  --method sample --method best-of-n --method best-of-15 --method revision --method tpo \
  --out "$out"

tpo report "$out"
