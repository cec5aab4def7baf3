import fc from 'fast-check';
import { Reassembler, splitBody } from '../../../shared/protocol/parts.ts';
import { EDGES } from '../edits.ts';
import { type FuzzTarget, must, same } from '../target.ts';

/**
 * The reassembler under a sequence of parts. An input is a list of steps of eight bytes:
 *
 *   step = sender message index count size lie seconds kind
 */
const STEP = 8;
const LIMITS = { perSenderBytes: 20_000, totalBytes: 50_000, expiryMs: 2000 };

const byte = fc.nat(255);
const step = fc.tuple(fc.nat(5), fc.nat(3), fc.nat(6), fc.nat(6), byte, byte, fc.nat(3), fc.nat(4));

/** Parts in any order, with lies, from several senders. */
export const parts: FuzzTarget = {
  name: 'parts',
  about: 'parts out of order, missing, repeated, contradicting, from many senders: whole bodies only, caps kept',
  seeds: () => [Uint8Array.from([0, 0, 0, 2, 9, 0, 0, 0, 0, 0, 1, 2, 9, 0, 0, 0])],
  inputs: () =>
    fc.array(step, { minLength: 1, maxLength: 60 }).map((steps) => Uint8Array.from(steps.flatMap((one) => [...one]))),
  open: () => ({
    judge(input) {
      const receiver = new Reassembler(LIMITS);
      /** Honest bodies that each sender could have sent: the same ones for the same message id. */
      const bodyOf = (from: string, m: string, count: number): Uint8Array =>
        Uint8Array.from({ length: count * 90 - 17 }, (_, k) => (k * 7 + from.length * 13 + m.charCodeAt(0)) & 255);
      const given = new Map<string, Map<number, Uint8Array>>();
      let verdict: 'accepted' | 'refused' = 'refused';
      let now = 0;
      for (let at = 0; at + STEP <= input.length; at += STEP) {
        const [sender = 0, message = 0, index = 0, count = 0, size = 0, lie = 0, pause = 0, kind = 0] = [
          ...input.subarray(at, at + STEP),
        ];
        now += pause * 700;
        const from = 'x'.repeat(1 + (sender % 6));
        const m = 'abcd'[message % 4]!;
        const n = 1 + (count % 7);
        let part = splitBody(bodyOf(from, m, n), m, 218)[index % n]!;
        const edge = Number(EDGES[lie % EDGES.length]!);
        if (kind === 1) part = { ...part, part: [edge, part.part[1]] };
        else if (kind === 2) part = { ...part, part: [part.part[0], edge] };
        else if (kind === 3) part = { ...part, d: new Uint8Array(size * 128).fill(lie) };
        const key = `${from}/${part.m}/${part.part[1]}`;
        const seen = given.get(key) ?? new Map<number, Uint8Array>();
        given.set(key, seen);
        const outcome = receiver.accept(from, part, now);
        // A part that is repeated does not replace the one that came first; a body that was dropped begins anew.
        if (outcome.kind === 'pending' || outcome.kind === 'complete') seen.set(part.part[0], part.d);
        must(receiver.bytes <= LIMITS.totalBytes, () => `${receiver.bytes} bytes are kept`);
        if (outcome.kind !== 'complete') continue;
        verdict = 'accepted';
        const [, announced] = part.part;
        const pieces = Array.from({ length: announced }, (_, k) => seen.get(k));
        must(!pieces.includes(undefined), 'a body is handed over with a part missing');
        must(same(outcome.body, new Uint8Array(Buffer.concat(pieces as Uint8Array[]))), 'a body is not what was sent');
        given.delete(key);
      }
      receiver.expire(now + LIMITS.expiryMs + 1);
      must(receiver.bytes === 0, () => `${receiver.bytes} bytes stay for ever`);
      return verdict;
    },
  }),
};
