/** MQTT topic filters (MQTT 3.1.1 section 4.7): `+` one level, `#` the rest, `$` topics only when named. */

/** Whether `topic` matches `filter`. */
export function matchesFilter(filter: string, topic: string): boolean {
  // [MQTT-4.7.2-1]: a filter that starts with a wildcard does not match topics that start with $.
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (const [k, want] of wanted.entries()) {
    if (want === '#') return true;
    if (k >= levels.length) return false;
    if (want !== '+' && want !== levels[k]) return false;
  }
  return wanted.length === levels.length;
}

/** Whether every topic that `inner` matches is matched by `outer` too; `inner` may be a filter or a topic. */
export function coversFilter(outer: string, inner: string): boolean {
  if (inner.startsWith('$') && (outer.startsWith('+') || outer.startsWith('#'))) return false;
  const wide = outer.split('/');
  const narrow = inner.split('/');
  for (const [k, level] of wide.entries()) {
    if (level === '#') return true;
    const other = narrow[k];
    if (other === undefined || other === '#') return false;
    if (level !== '+' && level !== other) return false;
  }
  return wide.length === narrow.length;
}

/** Whether a string is a valid filter: wildcards stand alone in their level and `#` only at the end. */
export function isFilter(filter: string): boolean {
  if (filter.length === 0 || filter.includes('\0')) return false;
  const levels = filter.split('/');
  return levels.every((level, k) => level === '+' || (level === '#' && k === levels.length - 1) || !/[+#]/.test(level));
}
