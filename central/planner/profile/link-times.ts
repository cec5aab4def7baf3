import { quantile, rounded } from './samples.ts';

/** Times until the answers to echoes of one size, ms. */
export interface Echoes {
  readonly bytes: number;
  readonly ms: readonly number[];
}

/** A link as its echoes show it. */
export interface EchoedLink {
  /** Until the answer to an empty message. */
  readonly empty_ms: number;
  readonly mbps: number;
}

/** Least time of a byte, ms: a terabit per second, where echoes cannot tell bytes from noise. */
const LEAST_MS = 8e-9;

/**
 * The time of empty echoes, and the bandwidth: the regression of time on bytes through it. The answer to an echo is empty,
 * so all bytes go one way.
 */
export function echoedLink(echoes: readonly Echoes[]): EchoedLink {
  const medians = echoes.map(({ bytes, ms }) => ({
    bytes,
    ms: quantile(
      [...ms].sort((a, b) => a - b),
      0.5,
    ),
  }));
  const empty_ms = medians.find(({ bytes }) => bytes === 0)?.ms ?? 0;
  let [products, squares] = [0, 0];
  for (const { bytes, ms } of medians) {
    products += bytes * (ms - empty_ms);
    squares += bytes * bytes;
  }
  const perByte = squares === 0 ? LEAST_MS : Math.max(LEAST_MS, products / squares);
  return { empty_ms, mbps: rounded(1 / (125 * perByte)) };
}

/**
 * The fixed time of a hop besides what its message costs both machines, ms: an echo is a message there and one back, of
 * which each costs both.
 */
export function fixedMs({ empty_ms }: EchoedLink, messageMs: readonly number[]): number {
  return rounded(Math.max(0, empty_ms / 2 - messageMs.reduce((sum, ms) => sum + ms, 0)));
}
