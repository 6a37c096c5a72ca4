/** Log-probabilities as people read them. null is minus infinity, which JSON lacks. */

/** @param {number | null} logprob */
export function probability(logprob) {
  return logprob === null ? 0 : Math.min(1, Math.exp(logprob));
}

/**
 * One decimal; where that would be nothing but zeros, one digit.
 * @param {number | null} logprob
 */
export function percent(logprob) {
  const value = 100 * probability(logprob);
  return `${value === 0 || value >= 0.1 ? value.toFixed(1) : value.toPrecision(1)} %`;
}
