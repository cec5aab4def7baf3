import fc from 'fast-check';
import { EDGES, thenEdited } from './edits.ts';

/**
 * Changes to Protocol Buffers messages by their fields, whatever they mean: fields are taken out, repeated, exchanged
 * between messages, renumbered, and their numbers made extreme; the lengths around them stay true.
 */

interface ProtoField {
  number: number;
  value: bigint | Uint8Array | ProtoField[];
  wire: number;
}

function varint(bytes: Uint8Array, from: number): { value: bigint; next: number } | undefined {
  let value = 0n;
  for (let k = 0; k < 10 && from + k < bytes.length; k++) {
    value |= BigInt(bytes[from + k]! & 0x7f) << BigInt(7 * k);
    if (bytes[from + k]! < 0x80) return { value, next: from + k + 1 };
  }
  return undefined;
}

/** The fields of a message; undefined where the bytes are none. Length-delimited fields are opened where they can be. */
function parse(bytes: Uint8Array, depth: number): ProtoField[] | undefined {
  const fields: ProtoField[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = varint(bytes, at);
    if (tag === undefined) return undefined;
    const [number, wire] = [Number(tag.value >> 3n), Number(tag.value & 7n)];
    if (number === 0 || number > 100) return undefined;
    at = tag.next;
    if (wire === 0) {
      const read = varint(bytes, at);
      if (read === undefined) return undefined;
      fields.push({ number, wire, value: read.value });
      at = read.next;
      continue;
    }
    const size = wire === 5 ? 4 : wire === 1 ? 8 : undefined;
    const length = wire === 2 ? varint(bytes, at) : undefined;
    if (size === undefined && length === undefined) return undefined;
    const start = length?.next ?? at;
    const end = start + (size ?? Number(length!.value));
    if (end > bytes.length) return undefined;
    const payload = bytes.subarray(start, end);
    const inner = wire === 2 && payload.length > 1 && depth > 0 ? parse(payload, depth - 1) : undefined;
    fields.push({ number, wire, value: inner ?? payload });
    at = end;
  }
  return fields;
}

function varintBytes(value: bigint): number[] {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
    left >>= 7n;
  } while (left > 0n);
  return bytes;
}

function encoded(fields: readonly ProtoField[]): Uint8Array {
  const pieces = fields.flatMap(({ number, wire, value }) => {
    const tag = Uint8Array.from(varintBytes((BigInt(number) << 3n) | BigInt(wire)));
    if (typeof value === 'bigint') return [tag, Uint8Array.from(varintBytes(value))];
    const payload = value instanceof Uint8Array ? value : encoded(value);
    return wire === 2 ? [tag, Uint8Array.from(varintBytes(BigInt(payload.length))), payload] : [tag, payload];
  });
  return new Uint8Array(Buffer.concat(pieces));
}

const at = fc.nat(100_000);
const op = fc.oneof(
  fc.record({ op: fc.constantFrom('remove' as const, 'open' as const), at }),
  fc.record({ op: fc.constantFrom('copy' as const, 'swap' as const, 'inside' as const), at, from: at }),
  fc.record({ op: fc.constant('repeat' as const), at, times: fc.constantFrom(1, 3, 50) }),
  fc.record({ op: fc.constant('renumber' as const), at, number: fc.integer({ min: 1, max: 21 }) }),
  fc.record({ op: fc.constant('number' as const), at, value: fc.constantFrom(...EDGES, 2n, 3n, 7n, 64n, 1_000_000n) }),
  fc.record({ op: fc.constant('bytes' as const), at, bytes: fc.uint8Array({ maxLength: 20 }) }),
  fc.record({ op: fc.constant('nest' as const), at, depth: fc.constantFrom(3, 30, 300) }),
);

interface Place {
  readonly holder: ProtoField[];
  readonly index: number;
}

function placesOf(root: ProtoField[]): Place[] {
  const places: Place[] = [];
  const walk = (holder: ProtoField[]): void => {
    for (const [index, { value }] of holder.entries()) {
      if (places.length > 20_000) return;
      places.push({ holder, index });
      if (Array.isArray(value)) walk(value);
    }
  };
  walk(root);
  return places;
}

const copyOf = (field: ProtoField): ProtoField => ({
  ...field,
  value: Array.isArray(field.value) ? field.value.map(copyOf) : field.value,
});

type Op = typeof op extends fc.Arbitrary<infer T> ? T : never;

function apply(root: ProtoField[], one: Op): void {
  const places = placesOf(root);
  const place = places[one.at % places.length];
  if (place === undefined) return;
  const { holder, index } = place;
  const field = holder[index]!;
  switch (one.op) {
    case 'remove':
      holder.splice(index, 1);
      break;
    case 'open':
      if (Array.isArray(field.value)) holder.splice(index, 1, ...field.value);
      break;
    case 'copy':
    case 'swap':
    case 'inside': {
      const other = places[one.from % places.length]!;
      const taken = copyOf(other.holder[other.index]!);
      if (one.op === 'inside') {
        if (Array.isArray(field.value)) field.value.push(taken);
        break;
      }
      if (one.op === 'swap') other.holder[other.index] = { ...copyOf(field), number: taken.number };
      holder[index] = { ...taken, number: field.number };
      break;
    }
    case 'repeat':
      holder.splice(index, 0, ...Array.from({ length: one.times }, () => copyOf(field)));
      break;
    case 'renumber':
      field.number = one.number;
      break;
    case 'number':
      if (typeof field.value === 'bigint') field.value = one.value;
      break;
    case 'bytes':
      if (field.value instanceof Uint8Array && field.wire === 2) field.value = one.bytes;
      break;
    case 'nest': {
      if (field.wire !== 2 || placesOf([field]).length > 50) break;
      let inner = copyOf(field);
      for (let k = 0; k < one.depth; k++) inner = { number: field.number, wire: 2, value: [inner] };
      holder[index] = inner;
    }
  }
}

/** Samples with a few changes of their fields, now and then also of their bytes. */
export function editedMessage(samples: readonly Uint8Array[], opened: number): fc.Arbitrary<Uint8Array> {
  const parsed = samples.map((bytes) => parse(bytes, opened) ?? []);
  const script = fc.oneof(
    { weight: 4, arbitrary: fc.array(op, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(op, { minLength: 1, maxLength: 12 }) },
  );
  const made = fc.tuple(fc.nat(samples.length - 1), script).map(([which, ops]) => {
    const root = parsed[which]!.map(copyOf);
    for (const one of ops) apply(root, one);
    return encoded(root).slice(0, 256 * 1024);
  });
  return thenEdited(made, samples);
}
