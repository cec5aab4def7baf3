import fc from 'fast-check';
import { MOST_BYTES } from './edits.ts';

/**
 * Changes to values that have a meaning: JSON documents and CBOR messages as trees. Slots (a key of an object, a place
 * of an array) are counted through the whole tree, so that every depth is reached.
 */

/** Arrays within arrays, deeper than any program may recurse; encoders write it without building it. */
export class Bomb {
  readonly depth: number;
  constructor(depth: number) {
    this.depth = depth;
  }
}

/** Plain data with bytes and bombs. */
export type Tree = unknown;

const NASTY_WORDS = [
  '',
  ' ',
  '..',
  '../x',
  '/etc/passwd',
  'a/b',
  '+',
  '#',
  '*',
  'central',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'raw',
  'n\u0000ul',
  'line\nbreak',
  'ü',
  '\u202e',
  '\ud800',
  'x'.repeat(1000),
  'x'.repeat(5000),
] as const;

const number = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, 2, 255, 256, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53)),
  fc.constantFrom(0.5, 1e-300, 1e300, Number.MAX_VALUE, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.integer({ min: -8, max: 5000 }),
);
const word = fc.oneof(fc.constantFrom(...NASTY_WORDS), fc.string({ unit: 'binary', maxLength: 8 }));
const value: fc.Arbitrary<Tree> = fc.oneof(
  number,
  word,
  fc.constantFrom(null, undefined, true, false),
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom([], {}, [[]], [null], { v: 1 }),
  fc.nat(3).map((k) => new Bomb(10 ** (k + 1))),
);

type Op =
  | { readonly op: 'replace'; readonly at: number; readonly value: Tree }
  | { readonly op: 'remove' | 'tweak'; readonly at: number; readonly by: number }
  | { readonly op: 'swap' | 'copy'; readonly at: number; readonly from: number }
  | { readonly op: 'repeat'; readonly at: number; readonly times: number }
  | { readonly op: 'add' | 'rename'; readonly at: number; readonly key: string; readonly value: Tree };

const at = fc.nat(100_000);
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('replace' as const), at, value }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom('tweak' as const, 'remove' as const),
      at,
      by: fc.integer({ min: -3, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constantFrom('swap' as const, 'copy' as const), at, from: at }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('repeat' as const), at, times: fc.constantFrom(1, 2, 10, 100, 5000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constantFrom('add' as const, 'rename' as const), at, key: word, value }),
  },
);

interface Slot {
  readonly holder: Record<string, Tree> | Tree[];
  readonly key: string | number;
}

function isHolder(tree: Tree): tree is Record<string, Tree> | Tree[] {
  return typeof tree === 'object' && tree !== null && !(tree instanceof Uint8Array) && !(tree instanceof Bomb);
}

/** Values that a tree may have. */
const MOST_VALUES = 20_000;

function sizeOf(tree: Tree): number {
  return isHolder(tree) ? Object.values(tree).reduce((sum: number, inner) => sum + sizeOf(inner), 1) : 1;
}

/** Slots in pre-order; far too many are not listed to the end. */
function slotsOf(root: Tree[]): Slot[] {
  const slots: Slot[] = [];
  const walk = (holder: Record<string, Tree> | Tree[]): void => {
    const keys = Array.isArray(holder) ? holder.keys() : Object.keys(holder);
    for (const key of keys) {
      if (slots.length > 5000) return;
      slots.push({ holder, key });
      const inner = holder[key as never] as Tree;
      if (isHolder(inner)) walk(inner);
    }
  };
  walk(root);
  return slots;
}

function cloned(tree: Tree): Tree {
  if (Array.isArray(tree)) return tree.map(cloned);
  if (!isHolder(tree)) return tree instanceof Uint8Array ? tree.slice() : tree;
  return Object.fromEntries(Object.entries(tree).map(([key, inner]) => [key, cloned(inner)]));
}

const get = ({ holder, key }: Slot): Tree => (holder as Record<string, Tree>)[key as string];
function put({ holder, key }: Slot, tree: Tree): void {
  Object.defineProperty(holder, key, { value: tree, writable: true, enumerable: true, configurable: true });
}

/** A number a little off, a text or bytes a little longer or shorter, an answer turned round. */
function tweaked(tree: Tree, by: number): Tree {
  if (typeof tree === 'number') return tree + by;
  if (typeof tree === 'boolean') return !tree;
  if (typeof tree === 'string') return by < 0 ? tree.slice(0, by) : tree + 'x'.repeat(by);
  if (tree instanceof Uint8Array) {
    const size = Math.max(0, tree.length + by);
    return Uint8Array.from({ length: size }, (_, k) => tree[k] ?? k);
  }
  return tree;
}

function apply(root: Tree[], one: Op): void {
  const slots = slotsOf(root);
  const slot = slots[one.at % slots.length];
  if (slot === undefined) return;
  const { holder, key } = slot;
  const inner = get(slot);
  switch (one.op) {
    case 'replace':
      put(slot, cloned(one.value));
      break;
    case 'tweak':
      put(slot, tweaked(inner, one.by));
      break;
    case 'remove':
      if (Array.isArray(holder)) holder.splice(key as number, 1);
      else delete holder[key];
      break;
    case 'swap':
    case 'copy': {
      const other = slots[one.from % slots.length]!;
      const taken = get(other);
      if (sizeOf(root) + sizeOf(taken) > MOST_VALUES) break;
      // Copies, or a slot inside the other would make a ring.
      put(slot, cloned(taken));
      if (one.op === 'swap') put(other, cloned(inner));
      break;
    }
    case 'repeat':
      if (Array.isArray(holder)) {
        const times = Math.min(one.times, Math.floor((MOST_VALUES - sizeOf(root)) / sizeOf(inner)));
        holder.splice(key as number, 0, ...Array.from({ length: Math.max(0, times) }, () => cloned(inner)));
      }
      break;
    case 'add':
      if (isHolder(inner) && !Array.isArray(inner)) put({ holder: inner, key: one.key }, cloned(one.value));
      break;
    case 'rename':
      if (Array.isArray(holder)) break;
      delete holder[key];
      put({ holder, key: one.key }, inner);
  }
}

/** A sample with none to a few changes. */
export function editedTree(samples: readonly Tree[]): fc.Arbitrary<Tree> {
  const script = fc.oneof(
    { weight: 6, arbitrary: fc.array(op, { maxLength: 2 }) },
    { weight: 1, arbitrary: fc.array(op, { maxLength: 10 }) },
  );
  return fc.tuple(fc.constantFrom(...samples), script).map(([sample, ops]) => {
    const root = [cloned(sample)];
    for (const one of ops) apply(root, one);
    return root[0];
  });
}

/** JSON text of a tree: numbers that JSON has no word for become ones that overflow, bytes become lists. */
export function jsonText(tree: Tree, most: number = MOST_BYTES): string {
  const bombs: number[] = [];
  const text = JSON.stringify(tree, (_, item: unknown) => {
    if (item instanceof Bomb) return `\u0000${bombs.push(item.depth)}`;
    if (item instanceof Uint8Array) return [...item];
    if (typeof item === 'number' && !Number.isFinite(item)) return Number.isNaN(item) ? null : `\u0001${item > 0}`;
    return item;
  });
  return (text ?? '')
    .replace(/"\\u0000(\d+)"/g, (_, k) => '['.repeat(bombs[Number(k) - 1] ?? 0) + ']'.repeat(bombs[Number(k) - 1] ?? 0))
    .replace(/"\\u0001(true|false)"/g, (_, positive) => (positive === 'true' ? '1e999' : '-1e999'))
    .slice(0, most);
}
