// Answers in the order of the search: one that repeats words of our prompts comes after all others with a reward.

// Sorts the best first.
export function byRank(one, other) {
  return standing(one) - standing(other) || (other.reward ?? 0) - (one.reward ?? 0);
}

// The best, and the earliest of equals; null where none has a reward.
export function bestOf(candidates) {
  return candidates.filter(hasReward).reduce((best, one) => (best === null || byRank(one, best) < 0 ? one : best), null);
}

export function hasReward(one) {
  return one.reward !== null && one.reward !== undefined;
}

function standing(one) {
  return hasReward(one) ? (one.leaked ? 1 : 0) : 2;
}
