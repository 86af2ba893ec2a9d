#!/bin/sh
# All benchmarks, figures and a judge's quality on the built-in model: from the project's root, recipes/laptop/run.sh [OUT]
# Without --limit it takes all six queries of each benchmark, and three times as long.
set -eu
PATH="$PWD/.venv/bin:$PATH"
echo "This takes about 15 minutes on two cores (measured). Ctrl-C ends it; the same command continues."
here=recipes/laptop
out=${1:-evals/laptop}

tpo --config $here/tpo.toml eval \
  alpaca_eval arena_hard hh_rlhf beavertails xstest math500 ifeval mt_bench gsm8k \
  --data $here/data --against sample \
  --method sample --method best-of-6 --method revision --method tpo \
  --limit 2 --out "$out"

tpo report "$out"

tpo eval judge $here/pairs.jsonl --reward surface
