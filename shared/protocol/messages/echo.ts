import { z } from '../../schema.ts';
import { bytes, count } from './fields.ts';

/** Most bytes of one echo. */
export const MAX_ECHO_BYTES = 4 * 1024 * 1024;

/**
 * `echo`: a `ping` of any client of the wire is answered with a `pong` of the same number without the bytes. `n` counts
 * the pings of one process.
 */
export const echoMessage = z.discriminatedUnion('type', [
  z.object({
    v: z.literal(1),
    type: z.literal('ping'),
    n: count,
    d: bytes.refine((d) => d.byteLength <= MAX_ECHO_BYTES, `expected at most ${MAX_ECHO_BYTES} bytes`),
  }),
  z.object({ v: z.literal(1), type: z.literal('pong'), n: count }),
]);
/** An echo between two clients of the wire. */
export type EchoMessage = z.infer<typeof echoMessage>;
