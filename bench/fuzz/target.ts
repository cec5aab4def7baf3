import type fc from 'fast-check';

/** The outcome of one input: accepted, or refused as it should be. Anything else is a finding and is thrown. */
export type Verdict = 'accepted' | 'refused';

/** Runs a decoder. It throws for every fault: the engine keeps the input. */
export interface Judge {
  judge(input: Uint8Array): Verdict | Promise<Verdict>;
  close?(): Promise<void>;
}

/** A decoder of data from outside, and its inputs. */
export interface FuzzTarget {
  readonly name: string;
  /** The question that the target answers, in one line. */
  readonly about: string;
  /** Valid inputs to begin with, beside those of test/corpus. */
  seeds(): Uint8Array[] | Promise<Uint8Array[]>;
  /** Inputs derived from the seeds by changes that respect the format. */
  inputs(seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array>;
  open(): Judge | Promise<Judge>;
  /** Time that one input may take, ms; default 250. */
  readonly limitMs?: number;
  /** Inputs are large: fewer are made at a time. */
  readonly heavy?: boolean;
  /** Share of all inputs beside the others, default 1: slow decoders get fewer. */
  readonly weight?: number;
}

/** Invalid input was accepted, or the output is wrong. */
export class FuzzFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FuzzFault';
  }
}

/** Throws a FuzzFault unless `holds`. */
export function must(holds: boolean, what: string | (() => string)): asserts holds {
  if (!holds) throw new FuzzFault(typeof what === 'string' ? what : what());
}

/** Whether two plain values (bytes included) are the same; NaN is itself. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === 0 && b === 0;
  if (a instanceof Uint8Array || b instanceof Uint8Array)
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same(a[key as never], b[key as never]))
  );
}

/** Text as bytes. */
export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Bytes as text; what is no UTF-8 becomes replacement characters, as wherever we read text. */
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
