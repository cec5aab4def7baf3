import { deflateSync } from 'node:zlib';
import { flag } from '../../cli/options.ts';

/** Shortest time in which one core of the machine of docs/benchmarks.md, with nothing else to do, deflates `SAMPLE`, ms. */
const REFERENCE_MS = 1.92;
const REPEATS = 50;
const SAMPLE = drawnCodes(1 << 18);

/** The option that benchmarks with targets in seconds have: other work on a machine makes everything on it slower. */
export const scaledOption = flag(
  '--scaled',
  'scales targets of time by how fast this machine deflates now, compared with the one of docs/benchmarks.md',
);

/**
 * How fast this machine is now compared with the one of docs/benchmarks.md, at most 1: measured with zlib, which is not
 * part of Tessera.
 */
export function machineSpeed(): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) {
    const start = performance.now();
    deflateSync(SAMPLE, { level: 1 });
    best = Math.min(best, performance.now() - start);
  }
  return Math.min(1, REFERENCE_MS / best);
}

/** Half zeros, half evenly spread over 4 bits, always the same (a linear congruential generator). */
function drawnCodes(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 31 === 0 ? 0 : (state >>> 20) & 15;
  });
}
