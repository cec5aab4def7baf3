import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Need,
  type PartRegions,
  RegionIndex,
  type SizedPlace,
  UNUSED_MS,
} from '../../../shared/node/region-index.ts';

/** A stretch of a tensor with one axis, 100 bytes an element. */
function place(start: number, end: number, tensor = 't'): SizedPlace {
  return { tensor, box: [[start, end]], bytes: (end - start) * 100 };
}

function part(overrides: { iId?: string; needs?: readonly Need[]; makes?: readonly SizedPlace[] } = {}): PartRegions {
  return { iId: '1-1', plan: 'p-1', needs: [], makes: [], ...overrides };
}

function regions(limit = 10_000) {
  const dropped: string[] = [];
  return { held: new RegionIndex(limit, (iIds) => dropped.push(...iIds)), dropped };
}

describe('a part', () => {
  it('waits for regions of other nodes, and is ready when the last one is here', () => {
    const { held } = regions();
    const reader = part({
      needs: [
        { ...place(0, 2), from: 'n-1' },
        { ...place(2, 4), from: 'n-2' },
      ],
    });
    expect(held.begin(reader, 0)).toBe('waits');
    held.receive('1-1', 'p-1', 'n-1', [place(0, 2)], 1);
    expect(held.settle('1-1').ready).toEqual([]);
    expect(held.unmet(reader)).toMatchObject([{ from: 'n-2' }]);
    held.receive('1-1', 'p-1', 'n-2', [place(1, 4)], 1);
    expect(held.settle('1-1').ready).toEqual([reader]);
    expect(held.settle('1-1').ready).toEqual([]);
  });

  it('is ready at once where its regions came first', () => {
    const { held } = regions();
    expect(held.receive('1-1', 'p-1', 'n-1', [place(0, 4)], 0)).toHaveLength(1);
    expect(held.begin(part({ needs: [{ ...place(1, 2), from: 'n-1' }] }), 0)).toBeUndefined();
  });

  it('does not take a region of another sender than the one that central named (invariant 4)', () => {
    const { held } = regions();
    held.receive('1-1', 'p-1', 'n-2', [place(0, 2)], 0);
    expect(held.begin(part({ needs: [{ ...place(0, 2), from: 'n-1' }] }), 0)).toBe('waits');
    // What nodes sent does not stand in for what was made here.
    expect(held.begin(part({ needs: [place(0, 2)] }), 0)).toMatchObject({ code: 'missing-input' });
  });

  it('waits for what another part here makes, and misses it as soon as nobody will make it', () => {
    const { held } = regions();
    const maker = part({ makes: [place(0, 4)] });
    const reader = part({ needs: [place(1, 3)] });
    expect(held.begin(reader, 0)).toMatchObject({ code: 'missing-input', missing: [{ tensor: 't' }] });
    expect(held.begin(maker, 0)).toBeUndefined();
    expect(held.begin(reader, 0)).toBe('waits');
    expect(held.end(maker, true, 0).ready).toEqual([reader]);
    expect(held.bytes).toBeGreaterThan(400);

    const other = part({ iId: '1-2', makes: [place(0, 4)] });
    const stuck = part({ iId: '1-2', needs: [place(1, 3)] });
    held.begin(other, 0);
    held.begin(stuck, 0);
    expect(held.end(other, false, 0).stuck).toMatchObject([{ part: stuck, missing: [{ tensor: 't' }] }]);
  });

  it('that finds a region lost in the executor makes it missing for the next one', () => {
    const { held } = regions();
    held.open('1-1', 'p-1', place(0, 4), 0);
    const reader = part({ needs: [place(0, 2)] });
    expect(held.begin(reader, 0)).toBeUndefined();
    held.end(reader, false, 0, [place(0, 2)]);
    expect(held.begin(part({ needs: [place(0, 2)] }), 0)).toMatchObject({ code: 'missing-input' });
    expect(held.bytes).toBe(0);
  });

  it('without regions of its own costs nothing here', () => {
    const { held } = regions(0);
    expect(held.begin(part(), 0)).toBeUndefined();
    expect(held.isEmpty).toBe(true);
  });
});

describe('room', () => {
  it('is reserved for what a part will make and read, and more is refused (invariants 1 and 2)', () => {
    const { held } = regions(2000);
    expect(held.begin(part({ makes: [place(0, 8)] }), 0)).toBeUndefined();
    expect(held.begin(part({ needs: [{ ...place(8, 14), from: 'n-1' }] }), 0)).toBe('waits');
    expect(held.begin(part({ makes: [place(0, 8)] }), 0)).toMatchObject({ code: 'out-of-memory' });
    expect(held.receive('1-1', 'p-1', 'n-2', [place(14, 20)], 0)).toEqual([]);
    expect(held.receive('1-1', 'p-1', 'n-1', [place(8, 14)], 0)).toHaveLength(1);
    expect(held.bytes + held.reserved).toBeLessThanOrEqual(2000);
  });

  it('is made by dropping frames without work here, the oldest first (invariant 3)', () => {
    const { held, dropped } = regions(2000);
    held.receive('1-1', 'p-1', 'n-1', [place(0, 5)], 0);
    held.receive('1-2', 'p-1', 'n-1', [place(0, 5)], 1);
    held.receive('1-3', 'p-1', 'n-1', [place(0, 5)], 2);
    expect(held.begin(part({ iId: '1-2', needs: [{ ...place(0, 5), from: 'n-1' }] }), 3)).toBeUndefined();
    expect(held.begin(part({ iId: '1-4', makes: [place(0, 4)] }), 3)).toBeUndefined();
    expect(dropped).toEqual(['1-1']);
  });

  it("is made for what central has it keep, which is not dropped for others, or else a frame's pixels are lost", () => {
    const { held, dropped } = regions(2000);
    held.receive('1-1', 'p-1', 'n-1', [place(0, 5)], 0);
    expect(held.open('1-2', 'p-1', place(0, 15), 1)).toBe(true);
    expect(dropped).toEqual(['1-1']);
    expect(held.begin(part({ iId: '1-3', makes: [place(0, 5)] }), 2)).toMatchObject({ code: 'out-of-memory' });
    expect(held.begin(part({ iId: '1-2', needs: [place(3, 4)] }), 2)).toBeUndefined();
    expect(held.open('1-4', 'p-1', place(0, 15), 3)).toBe(false);
    held.free(['1-2']);
    expect(held.open('1-2', 'p-1', place(0, 1), 4)).toBe(false);
    expect(held.bytes).toBe(0);
  });

  it('of a frame that was not used for long is free again (age)', () => {
    const { held, dropped } = regions();
    held.receive('1-1', 'p-1', 'n-1', [place(0, 5)], 0);
    const busy = part({ iId: '1-2', makes: [place(0, 5)] });
    held.begin(busy, 0);
    held.dropUnused(UNUSED_MS - 1);
    expect(dropped).toEqual([]);
    held.dropUnused(UNUSED_MS);
    expect(dropped).toEqual(['1-1']);
    held.end(busy, true, UNUSED_MS);
    held.use('1-2', UNUSED_MS + 5);
    held.dropUnused(2 * UNUSED_MS);
    expect(held.isEmpty).toBe(false);
  });
});

describe('a frame that was freed', () => {
  it('gets nothing any more, also what was under way (invariant 5)', () => {
    const { held, dropped } = regions();
    const running = part({ makes: [place(0, 5)] });
    held.begin(running, 0);
    held.free(['1-1']);
    expect([held.isFreed('1-1'), held.bytes, held.reserved]).toEqual([true, 0, 0]);
    expect(held.receive('1-1', 'p-1', 'n-1', [place(0, 1)], 1)).toEqual([]);
    held.end(running, true, 2);
    expect(dropped).toEqual(['1-1', '1-1']);
    expect(held.isEmpty).toBe(true);
  });
});

it('keeps a region once, however often it comes', () => {
  const { held } = regions();
  expect(held.receive('1-1', 'p-1', 'n-1', [place(0, 5)], 0)).toHaveLength(1);
  expect(held.receive('1-1', 'p-1', 'n-1', [place(0, 5)], 0)).toHaveLength(0);
  expect(held.receive('1-1', 'p-2', 'n-1', [place(5, 6)], 0)).toHaveLength(0);
});

describe('held regions', () => {
  it('never exceed the limit, and every part that begins is ready, stuck or still waiting for a reason (any order)', () => {
    const frame = fc.constantFrom('1-1', '1-2', '2-1');
    const box = fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 4 }));
    const sender = fc.constantFrom('n-1', 'n-2');
    const need = fc.record({ box, from: fc.option(sender, { nil: undefined }) });
    const step = fc.oneof(
      fc.record({
        do: fc.constant('begin' as const),
        frame,
        needs: fc.array(need, { maxLength: 3 }),
        makes: fc.array(box, { maxLength: 2 }),
      }),
      fc.record({ do: fc.constant('end' as const), which: fc.nat(20), isMade: fc.boolean() }),
      fc.record({ do: fc.constant('receive' as const), frame, from: sender, box }),
      fc.record({ do: fc.constant('free' as const), frame }),
      fc.record({ do: fc.constant('epoch' as const) }),
      fc.record({ do: fc.constant('age' as const) }),
      fc.record({ do: fc.constant('lost' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 500, max: 5000 }), (steps, limit) => {
        const kept = new Map<string, number>();
        const held = new RegionIndex(limit, (iIds) => {
          for (const iId of iIds) kept.delete(iId);
        });
        /** Parts that begun, and whether they wait. */
        const open = new Map<PartRegions, boolean>();
        const settled = ({ ready, stuck }: ReturnType<typeof held.settle>): void => {
          for (const one of ready) {
            expect(open.get(one)).toBe(true);
            open.set(one, false);
          }
          for (const { part: one, missing } of stuck) {
            expect(missing.every(({ from }) => from === undefined)).toBe(true);
            open.delete(one);
            settled(held.end(one, false, now));
          }
        };
        let now = 0;
        for (const action of steps) {
          now += 1;
          if (action.do === 'begin') {
            const needs = action.needs.map(({ box: [start, size], from }) => ({
              ...place(start, start + size),
              ...(from === undefined ? {} : { from }),
            }));
            const one = part({
              iId: action.frame,
              needs,
              makes: action.makes.map(([start, size]) => place(start, start + size)),
            });
            if (held.isFreed(action.frame)) continue;
            const begun = held.begin(one, now);
            if (begun === undefined || begun === 'waits') open.set(one, begun === 'waits');
          } else if (action.do === 'end') {
            const one = [...open.keys()][action.which % Math.max(1, open.size)];
            if (one === undefined) continue;
            const isMade = action.isMade && open.get(one) === false;
            open.delete(one);
            if (isMade && one.makes.length > 0) kept.set(one.iId, 1);
            settled(held.end(one, isMade, now));
          } else if (action.do === 'receive') {
            const [start, size] = action.box;
            const took = held.receive(action.frame, 'p-1', action.from, [place(start, start + size)], now);
            if (took.length > 0) kept.set(action.frame, 1);
            settled(held.settle(action.frame));
          } else if (action.do === 'free') held.free([action.frame]);
          else if (action.do === 'epoch') held.dropFrames((iId) => iId.startsWith('1-'));
          else if (action.do === 'age') held.dropUnused(now + UNUSED_MS);
          else held.dropFrames(() => true);
          expect(held.bytes + held.reserved).toBeLessThanOrEqual(limit);
          expect(held.bytes).toBeGreaterThanOrEqual(0);
          expect(held.reserved).toBeGreaterThanOrEqual(0);
          // What is not known here any more is not kept by the executor either.
          if (held.isEmpty) expect([...kept.keys()]).toEqual([]);
        }
        for (const one of open.keys()) held.end(one, false, now);
        expect(held.reserved).toBe(0);
        held.dropFrames(() => true);
        expect([held.bytes, held.isEmpty, kept.size]).toEqual([0, true, 0]);
      }),
    );
  });
});
