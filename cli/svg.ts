/** Pieces of the SVG pictures that commands draw. */

/** Text in XML: names of tensors may contain any characters. */
export function xml(text: string): string {
  const named: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  // Control characters are not allowed in XML at all.
  return text.replace(/[\p{Cc}\p{Cs}]/gu, '?').replace(/[&<>"']/g, (character) => named[character]!);
}

/** 1, 2, 5, 10, 20, ... between two numbers. */
export function ticks(from: number, to: number): number[] {
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to; power++)
    for (const digit of [1, 2, 5])
      if (digit * 10 ** power >= from && digit * 10 ** power <= to) found.push(digit * 10 ** power);
  return found;
}

/** A coordinate. */
export function at(value: number): string {
  return value.toFixed(1);
}

/** A text at a place. */
export function label(left: number, top: number, anchor: 'start' | 'middle' | 'end', content: string): string {
  return `<text x="${at(left)}" y="${at(top)}" text-anchor="${anchor}">${xml(content)}</text>`;
}

/** A line. */
export function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${style}/>`;
}
