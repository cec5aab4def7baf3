import { TesseraError } from '../errors.ts';
import type { ValueInfo } from './model.ts';

/** Shapes given by the user, by input name. */
export type InputShapes = Readonly<Record<string, readonly number[]>>;

function shapeError(message: string, hint: string): TesseraError {
  return new TesseraError('TESSERA_SHAPE', message, { hint });
}

function shown(shape: readonly (number | string)[]): string {
  return `[${shape.map((size) => (size === '' ? '?' : size)).join(', ')}]`;
}

/** Whether a dimension is open. Exporters write an open one as a name, as nothing, as -1 or as 0. */
function isOpen(size: number | string): size is string {
  return typeof size === 'string' || size <= 0;
}

function howToGive(input: ValueInfo): string {
  const rank = input.shape?.length ?? 4;
  const example = (input.shape ?? Array.from({ length: rank }, () => '')).map((size, axis) =>
    isOpen(size) ? (axis === 0 ? 1 : 224) : size,
  );
  return (
    `Give the shape: --input-shape ${example.join('x')} (for raw tensors --tensor ${example.join('x')}), ` +
    `or input.shape: [${example.join(', ')}] in model.yaml.`
  );
}

/** The user's shape, checked against the dimensions that the file fixes. */
function agreed(input: ValueInfo, given: readonly number[]): readonly number[] {
  if (!given.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw shapeError(
      `The shape [${given}] given for input "${input.name}" has a size that is not a positive number.`,
      '',
    );
  }
  const { shape } = input;
  const fits = shape?.length === given.length && shape.every((size, axis) => isOpen(size) || size === given[axis]);
  if (shape === undefined || fits) return given;
  throw shapeError(
    `The shape ${shown(given)} given for input "${input.name}" does not fit the model's ${shown(shape)}.`,
    'Only dimensions that the file leaves open can be chosen; for another size export the model again.',
  );
}

/**
 * The inputs with every dimension fixed, in this order of preference: the user's shape; the file; `batch` for an open
 * first dimension; the size that another input fixed for the same symbol. Throws TESSERA_SHAPE, naming the dimension
 * and the flags that set it. Inputs that are not tensors stay as they are.
 */
export function fixInputs(inputs: readonly ValueInfo[], given: InputShapes, batch: number): ValueInfo[] {
  for (const name of Object.keys(given)) {
    if (inputs.some((input) => input.name === name)) continue;
    throw shapeError(
      `A shape is given for "${name}", which is not an input of the model.`,
      `Its inputs are ${inputs.map((input) => `"${input.name}"`).join(', ')}.`,
    );
  }
  const symbols = new Map<string, number>();
  const learnSymbol = (symbol: number | string | undefined, size: number) => {
    if (typeof symbol === 'string' && symbol !== '' && !symbols.has(symbol)) symbols.set(symbol, size);
  };
  for (const input of inputs) {
    const own = Object.hasOwn(given, input.name) ? given[input.name]! : undefined;
    if (own === undefined) continue;
    agreed(input, own).forEach((size, axis) => {
      learnSymbol(input.shape?.[axis], size);
    });
  }
  for (const { name, shape } of inputs) {
    const first = shape?.[0];
    if (first !== undefined && isOpen(first) && !Object.hasOwn(given, name)) learnSymbol(first, batch);
  }
  return inputs.map((input) => {
    if (input.type !== undefined) return input;
    if (Object.hasOwn(given, input.name)) return { ...input, shape: given[input.name]! };
    const { name, shape } = input;
    if (shape === undefined)
      throw shapeError(`The model does not say what shape its input "${name}" has.`, howToGive(input));
    const fixed = shape.map((size, axis) => {
      if (!isOpen(size)) return size;
      const known = symbols.get(size) ?? (axis === 0 ? batch : undefined);
      if (known !== undefined) return known;
      const label = typeof size === 'string' && size !== '' ? `"${size}" (axis ${axis})` : `${axis}`;
      throw shapeError(
        `Input "${name}" has the open dimension ${label} in its shape ${shown(shape)}.`,
        howToGive(input),
      );
    });
    return { ...input, shape: fixed };
  });
}
