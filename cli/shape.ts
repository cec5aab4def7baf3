import { usage } from './options.ts';

/** Reads a shape such as `1x3x224x224`. */
export function parseShape(text: string, flag: string): readonly number[] {
  if (!/^\d{1,6}(x\d{1,6}){0,7}$/i.test(text)) throw usage(flag, text, 'sizes joined by x, such as 1x3x224x224');
  const shape = text.toLowerCase().split('x').map(Number);
  if (shape.some((size) => size < 1)) throw usage(flag, text, 'sizes of at least 1');
  return shape;
}
