const VERSION = /^(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z.-]{1,32}))?$/;

/** Whether a text is a version as packages have it: `1.2.3` or `1.2.3-beta.1`. */
export function isVersion(text: string): boolean {
  return VERSION.test(text);
}

/** Less than, equal to or greater than 0, as `a` comes before, with or after `b` (semver 2.0.0, section 11). */
export function compareVersions(a: string, b: string): number {
  const [, ...x] = VERSION.exec(a) ?? [];
  const [, ...y] = VERSION.exec(b) ?? [];
  for (let i = 0; i < 3; i++) if (x[i] !== y[i]) return Number(x[i]) - Number(y[i]);
  const [before, after] = [x[3], y[3]];
  if (before === after) return 0;
  if (before === undefined || after === undefined) return before === undefined ? 1 : -1;
  return comparePrereleases(before.split('.'), after.split('.'));
}

/** Numbers by value and before words; where one is the beginning of the other, the shorter comes first. */
function comparePrereleases(x: readonly string[], y: readonly string[]): number {
  const at = x.findIndex((word, i) => word !== y[i]);
  if (at === -1) return x.length - y.length;
  const [a, b] = [x[at]!, y[at]];
  if (b === undefined) return 1;
  const [m, n] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (m !== n) return m ? -1 : 1;
  return m ? Number(a) - Number(b) : a < b ? -1 : 1;
}
