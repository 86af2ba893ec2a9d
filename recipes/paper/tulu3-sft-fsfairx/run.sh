#!/bin/sh
# From the project's root, with serve.sh running and TPO_JUDGE_API_KEY set: recipes/paper/tulu3-sft-fsfairx/run.sh DATA [OUT]
set -eu
PATH="$PWD/.venv/bin:$PATH"
echo "This takes about 36 hours on 5 H100 (\$450), and \$470 for the judge (estimated, see recipes/README.md). Ctrl-C ends it; the same command continues."
data=$1
out=${2:-evals/tulu3-sft-fsfairx}
config=recipes/paper/tulu3-sft-fsfairx/tpo.toml

python3 recipes/paper/check.py $config
tpo check --policy http://localhost:8000/v1 --reward vllm:http://localhost:8001

tpo --config $config eval alpaca_eval arena_hard beavertails xstest math500 \
  --data "$data" --data beavertails=hub: \
  --method sample --method best-of-n --method revision --method tpo --method tpo-d5-n20 \
  --out "$out/benchmarks"

# The paper draws 500 dialogues.
tpo --config $config eval hh_rlhf \
  --data hh_rlhf=hub: --limit 500 \
  --method sample --method best-of-n --method revision --method tpo --method tpo-d5-n20 \
  --out "$out/hh_rlhf"

tpo report "$out/benchmarks"
tpo report "$out/hh_rlhf"

# Figure 6: 100 prompts each, against best-of-30 and best-of-60. The report has equal tokens and equal seconds as well.
tpo --config $config eval alpaca_eval arena_hard hh_rlhf \
  --data "$data" --data hh_rlhf=hub: --limit 100 \
  --method best-of-30 --method best-of-60 --method tpo --against best-of-60 \
  --out "$out/best-of-n"

tpo report "$out/best-of-n"

# Figures 3, 4 and 5: curves over five steps, against Revision, and width.
tpo --config $config eval hh_rlhf \
  --data hh_rlhf=hub: --limit 500 \
  --method tpo-d5-n5 --method revision-d5-n5 --method tpo-d5-n10 --method tpo-d2-n15 --method tpo-d3-n10 \
  --out "$out/curves"

tpo report "$out/curves"
