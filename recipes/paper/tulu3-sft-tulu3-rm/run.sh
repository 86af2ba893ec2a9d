#!/bin/sh
# From the project's root, with serve.sh running and TPO_JUDGE_API_KEY set: recipes/paper/tulu3-sft-tulu3-rm/run.sh DATA [OUT]
set -eu
PATH="$PWD/.venv/bin:$PATH"
echo "This takes about 3 hours on 5 H100 (\$40), and \$140 for the judge (estimated, see recipes/README.md). Ctrl-C ends it; the same command continues."
data=$1
out=${2:-evals/tulu3-sft-tulu3-rm}
config=recipes/paper/tulu3-sft-tulu3-rm/tpo.toml

python3 recipes/paper/check.py $config
tpo check --policy http://localhost:8000/v1 --reward vllm:http://localhost:8001

tpo --config $config eval alpaca_eval arena_hard beavertails xstest math500 \
  --data "$data" --data beavertails=hub: \
  --method sample --method tpo \
  --out "$out/benchmarks"

# The paper draws 500 dialogues.
tpo --config $config eval hh_rlhf \
  --data hh_rlhf=hub: --limit 500 \
  --method sample --method tpo \
  --out "$out/hh_rlhf"

tpo report "$out/benchmarks"
tpo report "$out/hh_rlhf"
