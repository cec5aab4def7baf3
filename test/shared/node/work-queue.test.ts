import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Epochs } from '../../../shared/node/epochs.ts';
import { epochOf, type WorkItem, WorkQueue } from '../../../shared/node/work-queue.ts';

const LIMITS = { tiles: 8, bytes: 1000, running: 2 };

type Offered = Partial<Omit<WorkItem, 'parts'>> & { tIds?: readonly number[]; bytes?: number };

/** An item whose first part has all the bytes. */
function item({ tIds = [0], bytes = 10, ...overrides }: Offered = {}): WorkItem {
  return {
    plan: 'p-1',
    iId: '1-1',
    stage: 0,
    attempt: 0,
    parts: tIds.map((t_id, k) => ({ t_id, bytes: k === 0 ? bytes : 0 })),
    arrivedMs: 0,
    deadlineMs: 100,
    ...overrides,
  };
}

function queue<H = string>(limits = LIMITS, ready: ReadonlySet<string> = new Set(['p-1'])): WorkQueue<H> {
  return new WorkQueue<H>(limits, (plan) => ready.has(plan));
}

/** Offers an item as the handler does; items dropped for their epoch are the subject of other tests. */
function taken(work: WorkQueue<string>, offered: WorkItem, handle = '') {
  const entered = work.enter(epochOf(offered.iId), 0);
  return 'code' in entered ? entered : work.offer(offered, handle, 0);
}

const tIdsOf = ({ parts }: WorkItem): number[] => parts.map(({ t_id }) => t_id);

describe('a queue of work', () => {
  it('refuses work for a plan that is not ready', () => {
    expect(queue().offer(item({ plan: 'p-2' }), '', 0)?.code).toBe('unknown-plan');
  });

  it('refuses work whose budget is over, or else a slow node spends its time on results that are not needed any more', () => {
    expect(queue().offer(item({ deadlineMs: 5 }), '', 5)?.code).toBe('expired');
  });

  it('refuses an epoch below the highest seen, or else two centrals share a node', () => {
    const work = queue();
    expect(taken(work, item({ iId: '7-1' }))).toBeUndefined();
    expect(taken(work, item({ iId: '6-999' }))?.code).toBe('expired');
    expect(taken(work, item({ iId: '7-2' }))).toBeUndefined();
    expect(taken(work, item({ iId: '10-1' }))).toBeUndefined();
    expect(taken(work, item({ iId: '9-1' }))?.code).toBe('expired');
  });

  it('counts the epoch of work that it refuses for another reason', () => {
    const work = queue();
    taken(work, item({ iId: '9-1', plan: 'p-2' }));
    expect(taken(work, item({ iId: '8-1' }))?.code).toBe('expired');
  });

  it('drops work of a relieved central, and ignores it from then on', () => {
    const work = queue();
    taken(work, item({ iId: '7-1' }), 'old');
    expect(work.enter(7, 0)).toMatchObject({ dropped: [] });
    expect(work.enter(8, 0)).toMatchObject({ dropped: [{ handle: 'old' }] });
    expect(work.tiles).toBe(0);
    expect(work.enter(7, 0)).toMatchObject({ code: 'expired' });
    expect(taken(work, item({ iId: '7-2' }))?.code).toBe('expired');
    expect(taken(work, item({ iId: '8-1' }))).toBeUndefined();
  });

  it('drops work of a higher epoch too, once that central is not followed any more', () => {
    const epochs = new Epochs();
    const work = new WorkQueue<string>(LIMITS, () => true, epochs);
    taken(work, item({ iId: '9-1' }), 'made up');
    epochs.claimed('hall', { state: 'active', epoch: 7 });
    expect(work.enter(7, 0)).toMatchObject({ dropped: [{ handle: 'made up' }] });
    expect(work.tiles).toBe(0);
  });

  it('refuses work above its limits, or else a node runs out of memory', () => {
    const work = queue();
    expect(work.offer(item({ tIds: [1, 2, 3, 4, 5, 6] }), '', 0)).toBeUndefined();
    expect(work.offer(item({ tIds: [1, 2, 3] }), '', 0)?.code).toBe('busy');
    expect(work.offer(item({ bytes: 995 }), '', 0)?.code).toBe('busy');
    expect(work.offer(item({ tIds: [1, 2] }), '', 0)).toBeUndefined();
  });

  it('accepts one item of any size when idle, or else a large frame could never run', () => {
    expect(queue().offer(item({ bytes: 10_000, tIds: [...Array(20).keys()] }), '', 0)).toBeUndefined();
  });

  it('counts running work too, not only queued work', () => {
    const work = queue();
    work.offer(item({ bytes: 900 }), 'a', 0);
    const { start } = work.next(0);
    expect(work.offer(item({ bytes: 900 }), 'b', 0)?.code).toBe('busy');
    work.finished(start!);
    expect(work.bytes).toBe(0);
    expect(work.offer(item({ bytes: 900 }), 'b', 0)).toBeUndefined();
  });
});

describe('the queue', () => {
  it('starts items in order, as many at a time as allowed', () => {
    const work = queue();
    for (const name of ['a', 'b', 'c']) work.offer(item(), name, 0);
    const first = work.next(0).start!;
    expect([first.handle, work.next(0).start?.handle, work.next(0).start]).toEqual(['a', 'b', undefined]);
    work.finished(first);
    expect(work.next(0).start?.handle).toBe('c');
  });

  it('returns expired items, even when none may start', () => {
    const work = queue({ ...LIMITS, running: 1 });
    work.offer(item(), 'running', 0);
    work.next(0);
    work.offer(item({ deadlineMs: 50 }), 'late', 0);
    expect(work.next(49).expired).toEqual([]);
    expect(work.next(50).expired.map((queued) => queued.handle)).toEqual(['late']);
    expect(work.tiles).toBe(1);
  });

  it('cancels tiles of one frame and stage only', () => {
    const work = queue();
    work.offer(item({ tIds: [0, 1, 2] }), 'a', 0);
    work.offer(item({ iId: '1-2', tIds: [1] }), 'b', 0);
    work.offer(item({ stage: 1, tIds: [1] }), 'c', 0);
    expect(work.cancel('1-1', 0, [1, 5]).map(({ item: dropped, handle }) => [handle, tIdsOf(dropped)])).toEqual([
      ['a', [1]],
    ]);
    expect(tIdsOf(work.next(0).start!.item)).toEqual([0, 2]);
    expect(work.tiles).toBe(4);
    expect(work.cancel('1-2', 0, [1])).toHaveLength(1);
    expect(work.next(0).start?.handle).toBe('c');
  });

  it('drops queued work of a released plan and refuses more of it', () => {
    const ready = new Set(['p-1', 'p-2']);
    const work = queue(LIMITS, ready);
    work.offer(item(), 'a', 0);
    work.offer(item({ plan: 'p-2' }), 'b', 0);
    ready.delete('p-1');
    expect(work.dropPlan('p-1').map((queued) => queued.handle)).toEqual(['a']);
    expect(work.offer(item(), 'c', 0)?.code).toBe('unknown-plan');
    expect(work.next(0).start?.handle).toBe('b');
  });

  it('reads the epoch of an i_id as a number, or else 10 sorts before 9', () => {
    expect([epochOf('10-3'), epochOf('9-12')]).toEqual([10, 9]);
  });

  it('accounts for every tile exactly once, whatever happens in whatever order (invariants 1, 2 and 4)', () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('offer' as const),
        plan: fc.constantFrom('p-1', 'p-2'),
        frame: fc.integer({ min: 1, max: 3 }),
        tiles: fc.integer({ min: 1, max: 10 }),
        bytes: fc.integer({ min: 0, max: 600 }),
        budget: fc.integer({ min: 0, max: 30 }),
      }),
      fc.record({ do: fc.constant('next' as const) }),
      fc.record({ do: fc.constant('finish' as const) }),
      fc.record({
        do: fc.constant('cancel' as const),
        frame: fc.integer({ min: 1, max: 3 }),
        t: fc.integer({ min: 0, max: 9 }),
      }),
      fc.record({ do: fc.constant('gone' as const) }),
      fc.record({ do: fc.constant('ready' as const) }),
      fc.record({ do: fc.constant('lost' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ready = new Set(['p-1']);
        const work = queue<number>(LIMITS, ready);
        const running: { handle: number; item: WorkItem }[] = [];
        let offered = 0;
        let answered = 0;
        let order = -1;
        let number = 0;
        const drop = (queued: readonly { item: WorkItem }[]): void => {
          for (const entry of queued) answered += entry.item.parts.length;
        };
        steps.forEach((action, now) => {
          if (action.do === 'offer') {
            const tIds = [...Array(action.tiles).keys()];
            offered += tIds.length;
            const { plan, bytes, frame, budget } = action;
            const offer = item({ plan, bytes, iId: `1-${frame}`, tIds, arrivedMs: now, deadlineMs: now + budget });
            if (work.offer(offer, number++, now) !== undefined) answered += tIds.length;
          } else if (action.do === 'next') {
            const { start, expired } = work.next(now);
            drop(expired);
            if (start !== undefined) {
              expect(start.handle).toBeGreaterThan(order);
              expect(start.item.deadlineMs).toBeGreaterThan(now);
              order = start.handle;
              running.push(start);
            }
          } else if (action.do === 'finish') {
            const done = running.shift();
            if (done !== undefined) {
              work.finished(done);
              answered += done.item.parts.length;
            }
          } else if (action.do === 'cancel') drop(work.cancel(`1-${action.frame}`, 0, [action.t]));
          else if (action.do === 'gone') {
            ready.delete('p-1');
            drop(work.dropPlan('p-1'));
          } else if (action.do === 'ready') ready.add('p-1');
          else drop(work.dropAll());
          expect(running.length).toBeLessThanOrEqual(LIMITS.running);
          expect(offered - answered).toBe(work.tiles);
        });
        drop(work.dropAll());
        for (const queued of running) {
          work.finished(queued);
          answered += queued.item.parts.length;
        }
        expect(answered).toBe(offered);
        expect([work.tiles, work.bytes]).toEqual([0, 0]);
      }),
    );
  });
});
