/**
 * Labels of a text file, one a line. Empty lines at the end are dropped; a WordNet id before the name, as in ImageNet's
 * lists (`n01440764 tench, Tinca tinca`), is taken off; labels are cut to 255 characters, the most that MQTT apps take.
 */
export function parseLabels(text: string): string[] {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim());
  while (lines.length > 0 && lines.at(-1) === '') lines.pop();
  return lines.map((line) => line.replace(/^n\d{8}\s+/, '').slice(0, 255));
}

/** The label of a class, `class 17` where there is none. */
export function labelOf(labels: readonly string[], index: number): string {
  return labels[index] || `class ${index}`;
}

/** Names that lists give to the class that means nothing. */
const NOTHING = /^_*(back ?ground|bg|none|nothing|unlabell?ed|unknown|\?+|n\/?a)_*$/i;

/**
 * Labels by class: those that leave out the class "nothing" in front (`background` 0) move by one. A list that is one
 * short and begins with a name for it is short at its end.
 */
export function labelsByClass(
  labels: readonly string[],
  classes: number,
  background: number | null,
): readonly string[] {
  const isShort = background === 0 && labels.length > 0 && labels.length === classes - 1;
  return isShort && !NOTHING.test(labels[0]!) ? ['nothing', ...labels] : labels;
}
