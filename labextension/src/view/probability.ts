/** Log-probabilities as people read them. */

export function probability(logprob: number | null): number {
  return logprob === null ? 0 : Math.min(1, Math.exp(logprob));
}

/** One decimal; where that would be nothing but zeros, one digit. */
export function percent(logprob: number | null): string {
  const value = 100 * probability(logprob);
  return `${value === 0 || value >= 0.1 ? value.toFixed(1) : value.toPrecision(1)} %`;
}

/** In whole percents. */
export function share(logprob: number | null): string {
  const value = 100 * probability(logprob);
  return value < 0.95 ? '<1 %' : `${value.toFixed(0)} %`;
}

/** How unsure an entropy is: 0 for one choice, a half for two equal ones, towards 1 for many. */
export function doubt(entropy: number | null | undefined): number {
  return 1 - Math.exp(-Math.max(0, entropy ?? 0));
}

/** A score or log-probability with a real minus; null: minus infinity. */
export function number(value: number | null, digits = 3): string {
  return value === null ? '−∞' : value.toFixed(digits).replace('-', '−');
}
