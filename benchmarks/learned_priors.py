"""Priors learned from a run's earlier queries against the fixed ones, offline, on answers that were drawn once.

    python benchmarks/learned_priors.py stop docs/results/ifeval/outcomes.jsonl docs/results/ifeval-held-out/outcomes.jsonl
    python benchmarks/learned_priors.py adaptive docs/results/ifeval/outcomes.jsonl docs/results/ifeval-held-out/outcomes.jsonl

Written down before the first computation (2026-11-29):

1. Bayes stop. Hypothesis: the fixed prior (a mean of half of the maximum) overrates weak models, so that a prior
   from the finished queries of the run gives up on hopeless queries sooner and spends more where there is hope.
   Prediction: at the tokens of the fixed prior with price 0.01, 0.02 and 0.05 it keeps all rules in at least 1 point
   more prompts on at least two of the three models. False if it is below that, and useless where it loses.
   The form in which the weight of the mean is the ratio of the variance within queries to that between them gains at
   least as much as a fixed weight of 1.
2. Adaptive. Hypothesis: the fixed lifts (a restated rule helps by half a standard deviation) are wrong for the 135M,
   and a lift learned from the run is not. Prediction: with lifts that are learned from answers of the same wave, the
   share of plain answers after the first wave grows by a half or more on the 135M within its queries, and at equal
   tokens learned lifts lose on no model more than 1 point against the fixed ones. False if plain sampling does not
   get more, or a model loses more.
"""
