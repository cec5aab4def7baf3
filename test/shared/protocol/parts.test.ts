import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PartMessage } from '../../../shared/protocol/messages/part.ts';
import { PART_LIMIT_BYTES, Reassembler, splitBody } from '../../../shared/protocol/parts.ts';

// Lost if these fail: tensors arrive garbled, or a sender that never finishes a body fills this machine's memory.

const LIMITS = { perSenderBytes: 100_000, totalBytes: 250_000, expiryMs: 1000 };
const part = (m: string, k: number, n: number, size = 10): PartMessage => ({
  v: 1,
  m,
  part: [k, n],
  d: new Uint8Array(size),
});

describe('splitBody', () => {
  it('keeps every part below the limit, with room for its envelope', () => {
    for (const size of [0, 1, PART_LIMIT_BYTES, PART_LIMIT_BYTES + 1, 3_000_000]) {
      const parts = splitBody(new Uint8Array(size), 'm');
      expect(Math.max(...parts.map(({ d }) => d.byteLength))).toBeLessThanOrEqual(PART_LIMIT_BYTES - 128);
      expect(parts.reduce((sum, { d }) => sum + d.byteLength, 0)).toBe(size);
    }
  });
});

describe('Reassembler', () => {
  it('reassembles each body exactly, from parts in any order, with duplicates and other senders between (invariant 1)', () => {
    const body = fc.uint8Array({ minLength: 1, maxLength: 2000 });
    fc.assert(
      fc.property(fc.array(body, { minLength: 1, maxLength: 4 }), fc.infiniteStream(fc.nat()), (bodies, order) => {
        const sent = bodies.flatMap((bytes, k) =>
          splitBody(bytes, `m${k >> 1}`, 300).map((message) => ({ from: `n${k & 1}`, k, message })),
        );
        const shuffled = sent.map((one) => ({ one, at: order.next().value as number }));
        shuffled.sort((a, b) => a.at - b.at);
        const receiver = new Reassembler();
        const whole = new Map<number, Uint8Array>();
        for (const { one } of shuffled) {
          const outcome = receiver.accept(one.from, one.message, 0);
          if (outcome.kind === 'complete') whole.set(one.k, outcome.body);
          else expect(receiver.accept(one.from, one.message, 0).kind).toBe('duplicate');
        }
        expect([...whole.keys()].sort()).toEqual(bodies.map((_, k) => k));
        for (const [k, bytes] of whole) expect(bytes).toEqual(bodies[k]);
        expect(receiver.bytes).toBe(0);
      }),
    );
  });

  it('never keeps more bytes than its caps, whatever is announced (invariants 2 and 3)', () => {
    const any = fc.record({
      from: fc.constantFrom('a', 'b', 'c', 'd'),
      m: fc.constantFrom('1', '2', '3', '4'),
      k: fc.nat(1200),
      n: fc.nat(1200),
      size: fc.nat(60_000),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 60 }), (parts) => {
        const receiver = new Reassembler(LIMITS);
        for (const { from, m, k, n, size } of parts) {
          receiver.accept(from, part(m, k, n, size), 0);
          expect(receiver.bytes).toBeLessThanOrEqual(LIMITS.totalBytes);
        }
      }),
    );
  });

  it.each([
    ['an index beyond the count', part('m', 2, 2)],
    ['no parts at all', part('m', 0, 0)],
    ['a count that no body within the cap can have', part('m', 0, 2 ** 30)],
  ])('refuses %s', (_what, message) => {
    expect(new Reassembler(LIMITS).accept('a', message, 0).kind).toBe('refused');
  });

  it('drops a body whose parts contradict each other', () => {
    const receiver = new Reassembler(LIMITS);
    receiver.accept('a', part('m', 0, 2), 0);
    expect(receiver.accept('a', part('m', 1, 3), 0).kind).toBe('refused');
    expect(receiver.bytes).toBe(0);
  });

  it('drops the oldest unfinished body of a sender for a new one of the same sender, never of another', () => {
    const receiver = new Reassembler(LIMITS);
    receiver.accept('b', part('theirs', 0, 2, 90_000), 0);
    receiver.accept('a', part('old', 0, 2, 60_000), 0);
    receiver.accept('a', part('new', 0, 2, 60_000), 0);
    expect(receiver.expired).toBe(1);
    expect(receiver.accept('a', part('new', 1, 2, 10), 0).kind).toBe('complete');
    expect(receiver.accept('b', part('theirs', 1, 2, 10), 0).kind).toBe('complete');
  });

  it('drops a body without a new part for too long (invariant 4)', () => {
    const receiver = new Reassembler(LIMITS);
    receiver.accept('a', part('m', 0, 3), 0);
    receiver.accept('a', part('m', 1, 3), 900);
    receiver.expire(1900);
    expect(receiver.bytes).toBeGreaterThan(0);
    receiver.expire(1901);
    expect(receiver.bytes).toBe(0);
    expect(receiver.accept('a', part('m', 2, 3), 1902).kind).toBe('pending');
  });

  it('accepts the hundred-thousandth first part as fast as the first one, or else a hostile sender stops central (invariant 5)', () => {
    const receiver = new Reassembler();
    const started = performance.now();
    for (let k = 0; k < 100_000; k++) receiver.accept('a', part(String(k), 0, 2, 1), k / 10);
    // Scanning all open bodies for every part took half a minute here.
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(receiver.bytes).toBeLessThanOrEqual(64 * 2 ** 20);
  });

  it('does not keep a large network buffer alive for a small part', () => {
    const packet = new Uint8Array(65_536);
    const d = packet.subarray(10, 20);
    const receiver = new Reassembler(LIMITS);
    receiver.accept('a', { v: 1, m: 'm', part: [0, 2], d }, 0);
    packet.fill(9);
    const outcome = receiver.accept('a', part('m', 1, 2, 1), 0);
    expect(outcome).toEqual({ kind: 'complete', spentMs: 0, body: new Uint8Array(11) });
  });
});
