/**
 * Reads labels from text, one a line. Empty lines at the end are dropped, and so is a WordNet id before the name, as in
 * ImageNet's lists (`n01440764 tench, Tinca tinca`). Labels are cut to 255 characters, the most that MQTT apps accept.
 */
export function parseLabels(text: string): string[] {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim());
  while (lines.length > 0 && lines.at(-1) === '') lines.pop();
  return lines.map((line) => line.replace(/^n\d{8}\s+/, '').slice(0, 255));
}

/** The label of a class, or `class 17` where it has none. */
export function labelOf(labels: readonly string[], index: number): string {
  return labels[index] || `class ${index}`;
}

/** Usual names of the background class. */
const NOTHING = /^_*(back ?ground|bg|none|nothing|unlabell?ed|unknown|\?+|n\/?a)_*$/i;

/**
 * Labels by class. Where the list leaves out a background class in front (`background` 0), its labels move by one. A
 * list that is one label short and begins with a name of the background lacks its last label.
 */
export function labelsByClass(
  labels: readonly string[],
  classes: number,
  background: number | null,
): readonly string[] {
  const isShort = background === 0 && labels.length > 0 && labels.length === classes - 1;
  return isShort && !NOTHING.test(labels[0]!) ? ['nothing', ...labels] : labels;
}
