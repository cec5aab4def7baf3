import { TesseraError } from '../errors.ts';

/** The error of all decoders for invalid encoded data; `what` says what is wrong with it. */
export function corrupt(what: string): TesseraError {
  return new TesseraError('TESSERA_CODEC', `the encoded data is corrupt: ${what}`, {
    hint: 'If it happens again and again, compare the versions of central and the node.',
  });
}
