/** Numbers as people read them. */

export function bytes(count: number): string {
  const [unit, size] = count >= 2 ** 30 ? ['GiB', 2 ** 30] : ['MiB', 2 ** 20];
  const digits = unit === 'GiB' ? 2 : count < 10 * 2 ** 20 ? 1 : 0;
  return `${(count / size).toFixed(digits)} ${unit}`;
}

export function parameters(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)}B` : `${(count / 1e6).toFixed(1)}M`;
}

export function speed(tokensPerSecond: number): string {
  return `${Math.round(tokensPerSecond).toLocaleString()} tokens/s`;
}

export function percent(part: number, whole: number): string {
  return `${whole ? Math.round((100 * part) / whole) : 0} %`;
}
