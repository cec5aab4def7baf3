import { describe, expect, it } from 'vitest';
import { newMemory, noteEnoughMemory, noteOutOfMemory } from '../../../central/scheduler/memory.ts';

/** If this fails, a node that ran out of memory once gets little work for ever, or runs out again and again. */

const out = { heldBytes: 800, partBytes: 100, assignedAt: 1_000 };

describe("the estimate of a node's memory", () => {
  it('is half of the parts that the node had when it ran out, and at least one part', () => {
    const memory = newMemory(1_000);
    noteOutOfMemory(memory, out, 1_100);
    expect(memory.bytes).toBe(400);
    for (let at = 2_000; at < 12_000; at += 1_000)
      noteOutOfMemory(memory, { ...out, heldBytes: 150, assignedAt: at }, at);
    expect(memory.bytes).toBe(100);
  });

  it('is halved once for all parts that were assigned before the node ran out', () => {
    const memory = newMemory();
    for (let k = 0; k < 8; k++) noteOutOfMemory(memory, { ...out, heldBytes: 800 - 100 * k }, 1_100 + k);
    expect(memory.bytes).toBe(400);
  });

  it('grows back in steps while the node returns results, up to what it announces', () => {
    const memory = newMemory(1_000);
    noteOutOfMemory(memory, out, 1_100);
    const seen = new Set<number>();
    for (let at = 1_200; at < 301_200; at += 100) {
      noteEnoughMemory(memory, at);
      seen.add(memory.bytes);
    }
    expect([...seen]).toEqual([400, 500, 625, 781.25, 976.5625, 1_000]);
  });

  it('never grows beyond what the node announces', () => {
    const memory = newMemory(1_000);
    noteEnoughMemory(memory, 1e6);
    expect(memory.bytes).toBe(1_000);
  });
});
