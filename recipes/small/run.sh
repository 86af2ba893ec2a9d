#!/bin/sh
# Which small model with which method keeps up with which larger one: from the project's root, recipes/small/run.sh [OUT]
# It needs `pip install '.[datasets,hub,plots]'`, and fetches IFEval and two models (1.6 GB) from the Hugging Face Hub.
set -eu
PATH="$PWD/.venv/bin:$PATH"
echo "This takes two to three hours on two cores (estimated). Ctrl-C ends it; the same command continues."
here=recipes/small
out=${1:-evals/small}

tpo experiment $here/experiment.toml --out "$out"
