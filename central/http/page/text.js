/** Numbers and times in words that fit a table. */

/**
 * Milliseconds: `3.2 ms`, `219 ms`, `1.4 s`.
 * @param {number | null | undefined} ms
 */
export function milliseconds(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms >= 10_000) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
}

/**
 * Bytes, by powers of ten: `512 B`, `49 kB`, `3.1 MB`.
 * @param {number | null | undefined} count
 */
export function bytes(count) {
  if (count === null || count === undefined) return '–';
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 1e7 ? 0 : 1)} MB`;
  return count >= 1000 ? `${(count / 1000).toFixed(0)} kB` : `${count} B`;
}

/**
 * A share (0..1): `88 %`.
 * @param {number} value
 */
export const share = (value) => `${Math.round(value * 100)} %`;

/**
 * A duration: `42 s`, `5 min`, `3.1 h`, `12 d`.
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86_400)} d`;
}

/**
 * The time of day of Unix seconds, and the date where it is another day.
 * @param {number} seconds
 */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? at.toLocaleTimeString() : at.toLocaleString();
}
