import type { Size } from './picture-placement.ts';

/**
 * Sections of a picture: overlapping parts of it that a detector sees as frames of their own, so that small objects are
 * not scaled away (SAHI: Akyon et al. 2022, "Slicing aided hyper inference").
 */
export interface SectionLayout {
  readonly rows: number;
  readonly columns: number;
  /** Share of a section's side that it has in common with its neighbour. */
  readonly overlap: number;
  /** Whether the whole picture is a further section, for objects that are larger than one. */
  readonly whole: boolean;
}

/** A section of a picture, in whole pixels. */
export interface Section extends Size {
  readonly left: number;
  readonly top: number;
}

/** Number of sections. */
export function sectionCount({ rows, columns, whole }: SectionLayout): number {
  return rows * columns + (whole ? 1 : 0);
}

/** Starts and common length of `count` overlapping pieces of a side of `length` pixels; the last one ends with it. */
function pieces(length: number, count: number, overlap: number): { starts: number[]; size: number } {
  const size = Math.min(length, Math.ceil(length / (count - (count - 1) * overlap)));
  const starts = Array.from({ length: count }, (_, i) =>
    count === 1 ? 0 : Math.round((i * (length - size)) / (count - 1)),
  );
  return { starts, size };
}

/** The sections of a picture, row by row; the whole picture is the last. */
export function sectionsOf({ rows, columns, overlap, whole }: SectionLayout, picture: Size): Section[] {
  const down = pieces(picture.height, rows, overlap);
  const across = pieces(picture.width, columns, overlap);
  const parts = down.starts.flatMap((top) =>
    across.starts.map((left) => ({ left, top, width: across.size, height: down.size })),
  );
  return whole ? [...parts, { left: 0, top: 0, ...picture }] : parts;
}
