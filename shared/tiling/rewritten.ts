import type { Attribute, Initializer } from '../onnx/model.ts';
import type { Rewrite } from './rules/rule.ts';

/** A node's inputs, with some replaced by constants or removed. */
export function replacedInputs(
  inputs: readonly string[],
  constants: Rewrite['constants'],
  place: (tensor: Initializer) => string,
): string[] {
  const result = [...inputs];
  for (const [index, tensor] of constants ?? []) {
    if (tensor === undefined && index >= result.length) continue;
    while (result.length < index) result.push('');
    result[index] = tensor === undefined ? '' : place(tensor);
  }
  while (result.at(-1) === '') result.pop();
  return result;
}

/** A node's attributes, with some changed or removed. */
export function changedAttributes(
  attributes: ReadonlyMap<string, Attribute>,
  changes: Rewrite['attributes'],
): ReadonlyMap<string, Attribute> {
  const result = new Map(attributes);
  for (const [name, attribute] of Object.entries(changes ?? {}))
    if (attribute === undefined) result.delete(name);
    else result.set(name, attribute);
  return result;
}
