/**
 * Where a feature map keeps its rows and columns: indices of axes, or -1 where it has none (a 1-D network has no rows;
 * a per-channel vector has neither). `h === w` says that one axis holds both, row by row (`[n, c, h * w]`): such a
 * folded map can pass through, but cannot be cut.
 */
export interface Layout {
  readonly h: number;
  readonly w: number;
  /** Cells along the two axes; 1 where the axis is absent. */
  readonly rows: number;
  readonly cols: number;
}

/** The two spatial axes. */
export const AXES = ['h', 'w'] as const;
/** A spatial axis. */
export type Axis = (typeof AXES)[number];

/** Cells of a map along an axis. */
export function cells(layout: Layout, axis: Axis): number {
  return axis === 'h' ? layout.rows : layout.cols;
}

/** Whether rows and columns share one axis. */
export function isFolded(layout: Layout): boolean {
  return layout.h >= 0 && layout.h === layout.w;
}

/** Whether axis `dim` of a tensor holds rows or columns. */
export function isSpatial(layout: Layout, dim: number): boolean {
  return dim >= 0 && (layout.h === dim || layout.w === dim);
}

/** The spatial axis that lies at `dim`, or undefined; for maps that are not folded. */
export function axisAt(layout: Layout, dim: number): Axis | undefined {
  return layout.h === dim ? 'h' : layout.w === dim ? 'w' : undefined;
}

/** The same map after its axes moved: `move` gives an axis' new index. */
export function moved(layout: Layout, move: (dim: number) => number): Layout {
  return { ...layout, h: layout.h < 0 ? -1 : move(layout.h), w: layout.w < 0 ? -1 : move(layout.w) };
}

/** What people call the axes of a layout that `dims` touches: "rows", "columns" or "rows and columns". */
export function axisNames(layout: Layout, dims: readonly number[]): string {
  const names = [
    ...(dims.includes(layout.h) && layout.h >= 0 ? ['rows'] : []),
    ...(dims.includes(layout.w) && layout.w >= 0 ? ['columns'] : []),
  ];
  return names.join(' and ');
}
