import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketLimit } from '../../broker/packet-limit.ts';

// Lost if these fail: one client can make the broker hold 256 MB, or a harmless client is disconnected.

/** A PUBLISH to the topic `a`, QoS 0, with so many bytes of payload. */
function publish(bytes: number): Buffer {
  const digits: number[] = [];
  for (let rest = bytes + 3; digits.length === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    digits.push((rest % 128) + (rest >= 128 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([0x30, ...digits, 0, 1, 97]), Buffer.alloc(bytes)]);
}

/** Feeds a stream in chunks of the given sizes; returns the first fault. */
function feed(meter: PacketLimit, stream: Uint8Array, sizes: Iterator<number>): string | undefined {
  for (let at = 0; at < stream.length; ) {
    const size = Math.max(1, sizes.next().value as number);
    const fault = meter.feed(stream.subarray(at, at + size));
    if (fault !== undefined) return fault;
    at += size;
  }
  return undefined;
}

describe('PacketLimit', () => {
  it('passes packets up to the limit, however the stream is cut', () => {
    const packets = fc.array(fc.nat(20_000), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(packets, fc.infiniteStream(fc.nat(9000)), (payloads, sizes) => {
        const stream = Buffer.concat(payloads.map(publish));
        const largest = Math.max(...payloads.map((size) => publish(size).length));
        expect(feed(new PacketLimit(largest), stream, sizes)).toBeUndefined();
      }),
    );
  });

  it('finds the packet that is too large, byte by byte', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 4 }), (payloads) => {
        const before = Buffer.concat([...payloads.map(publish), Buffer.alloc(0)]);
        const meter = new PacketLimit(400);
        for (const byte of before) expect(meter.feed(Uint8Array.of(byte))).toBeUndefined();
        const header = publish(500).subarray(0, 3);
        expect(meter.feed(header.subarray(0, 2))).toBeUndefined();
        expect(meter.feed(header.subarray(2))).toMatch(/^a packet of 506 bytes, the limit is 400$/);
      }),
    );
  });

  it('decides by the first bytes, before the packet has arrived', () => {
    expect(new PacketLimit(1_000_000).feed(publish(2_000_000).subarray(0, 4))).toContain('the limit is 1000000');
  });

  it('refuses a length of more than four bytes (MQTT 3.1.1 section 2.2.3)', () => {
    expect(new PacketLimit(2 ** 30).feed(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80))).toContain('four bytes');
  });
});
