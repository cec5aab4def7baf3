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
