/**
 * What became of the parts of a frame.
 *
 * @import { ApiFrame } from '../api.ts'
 * @typedef {ApiFrame['trace'][number]} Request
 * @typedef {'used' | 'hedged' | 'filled' | 'lost' | 'open'} Fate
 */

/** Fates in words. @type {Readonly<Record<Fate, string>>} */
export const FATES = {
  used: 'answered in time',
  hedged: 'slow: a second node was asked too',
  filled: 'late: filled with zeros',
  lost: 'no answer',
  open: 'not asked for',
};

/**
 * The requests for a part, the one whose result was used first, and its fate.
 * @param {ApiFrame} frame
 * @param {number} stage
 * @param {number} part
 * @returns {{ fate: Fate, requests: readonly Request[] }}
 */
export function partOf({ result, trace }, stage, part) {
  const requests = trace
    .filter((request) => request.stage === stage && request.t_id === part)
    .sort((a, b) => Number(b.used) - Number(a.used));
  const isMissing = result.missing.some((missing) => missing.stage === stage && missing.t_id === part);
  if (isMissing) return { fate: result.status === 'degraded' ? 'filled' : 'lost', requests };
  if (requests.length === 0) return { fate: 'open', requests };
  if (!requests[0].used) return { fate: 'lost', requests };
  return { fate: requests.some(({ hedged }) => hedged) ? 'hedged' : 'used', requests };
}

/**
 * The box of a tile in its stage's area, as shares (0..1).
 * @param {ApiFrame['stages'][number]} stage
 * @param {number} tile
 */
export function boxOf({ rows, cols }, tile) {
  const [row, col] = [Math.floor(tile / cols.length), tile % cols.length];
  const at = (/** @type {readonly number[]} */ sizes, /** @type {number} */ k) =>
    sizes.slice(0, k).reduce((sum, size) => sum + size, 0) / sizes.reduce((sum, size) => sum + size, 0);
  const [x, y] = [at(cols, col), at(rows, row)];
  return { x, y, width: at(cols, col + 1) - x, height: at(rows, row + 1) - y };
}
