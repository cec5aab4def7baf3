import { elementCount } from '../../tensor/tensor.ts';

/** Elements between neighbours along each axis, order C. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) result[axis] = result[axis + 1]! * shape[axis + 1]!;
  return result;
}

/** Fills a tensor by calling a function with each element's position; undefined where it returns undefined once. */
export function fill(
  shape: readonly number[],
  element: (position: readonly number[]) => number | undefined,
): number[] | undefined {
  const values: number[] = [];
  const position = new Array<number>(shape.length).fill(0);
  for (let left = elementCount(shape); left > 0; left--) {
    const value = element(position);
    if (value === undefined) return undefined;
    values.push(value);
    for (let axis = shape.length - 1; axis >= 0 && ++position[axis]! === shape[axis]; axis--) position[axis] = 0;
  }
  return values;
}
