import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Epochs } from '../../../shared/node/epochs.ts';
import type { Job, PartOutcome, PreparedPlan, StageRegions } from '../../../shared/node/executor-types.ts';
import { WorkHandler } from '../../../shared/node/work-handler.ts';
import { silentLog } from '../../../shared/ports.ts';
import { receivedWork } from '../../../shared/protocol/messages/received-work.ts';
import { inlineRegions } from '../../../shared/protocol/messages/region.ts';
import {
  type ResultMessage,
  resultMessage,
  type TensorMessage,
  tensorMessage,
  type WorkMessage,
} from '../../../shared/protocol/messages/work.ts';
import { parse } from '../../../shared/schema.ts';
import { executorDouble } from '../../support/executor-double.ts';

const region = { tensor: 'x', box: [[0, 4]] as [number, number][], dtype: 'uint8' as const, shape: [4] };
const raw = { name: 'raw' as const };

function work(overrides: Partial<WorkMessage> = {}, tIds = [0, 1]): WorkMessage {
  return {
    v: 1,
    plan: 'p-1',
    i_id: '1-1',
    stage: 0,
    attempt: 0,
    budget_ms: 1000,
    tiles: tIds.map((t_id) => ({
      t_id,
      in: [{ ...region, codec: raw, d: new Uint8Array([t_id, 1, 2, 3]) }],
      out: [{ tensor: 'y', box: [[0, 4]], codec: raw, to: ['central'] }],
    })),
    ...overrides,
  };
}

/** The executor's plan: its only stage reads and makes `x`, 4 bytes an element. */
const STAGE: StageRegions = { parts: new Map(), tensors: new Map([['x', { dtype: 'float32', areCodes: false }]]) };

/**
 * A handler whose executor the test completes tile by tile, and the messages that it sent. `arrive` brings a region of
 * `x`, `lose` ends the executor's thread.
 */
function workHandler() {
  const sent: ResultMessage[] = [];
  const tensors: [string, TensorMessage][] = [];
  const jobs: { job: Job; tile: (outcome: PartOutcome) => void; end: () => void; fail: (error: Error) => void }[] = [];
  const cancelled: unknown[] = [];
  const timers: { ms: number; at: number; call: () => void }[] = [];
  const network = { isSlow: false, isBroken: false, finish: (): void => {} };
  const taken = new Promise<void>((resolve) => {
    network.finish = resolve;
  });
  let lose = (): void => {};
  const executor = executorDouble({
    run: (job, tile) => new Promise((end, fail) => jobs.push({ job, tile, end, fail })),
    cancel: (...args) => void cancelled.push(args),
    prepared: (plan) => new Set(plan === 'p-1' ? [0] : []),
    preparedPlan: (plan) =>
      plan === 'p-1' ? ({ stages: new Map([[0, STAGE]]) } as unknown as PreparedPlan) : undefined,
    onLoss: (listener) => {
      lose = listener;
    },
  });
  const clock = { now: 0 };
  const made = new WorkHandler({
    id: 'node-a',
    executor,
    send: async (to, message) => {
      expect(to).toBe('central');
      sent.push(resultMessage.parse(message));
    },
    sendTensors: async (to, message) => {
      tensors.push([to, tensorMessage.parse(message)]);
      if (network.isBroken) throw new Error('the network is broken');
      if (network.isSlow) await taken;
    },
    now: () => clock.now,
    after: (ms, call) => void timers.push({ ms, at: clock.now + ms, call }),
    log: silentLog,
    epochs: new Epochs(),
    limits: { tiles: 4096, bytes: 1000, running: 2, regionBytes: 10_000 },
    messageBytes: 256 * 1024,
  });
  const arrive = (from: string, box: [number, number], iId = '1-1'): void => {
    const bytes = (box[1] - box[0]) * 4;
    made.regions.receive(iId, 'p-1', from, [{ tensor: 'x', box: [box], bytes }], clock.now);
    made.regionsArrived(iId);
  };
  return { handler: made, sent, tensors, jobs, clock, cancelled, timers, network, arrive, lose: () => lose() };
}

const output = { ...region, tensor: 'y', codec: raw, d: new Uint8Array(4) };

function done(t_id: number, compute_ms = 5): PartOutcome {
  return { t_id, out: [output], compute_ms };
}

/** A message as it arrives. */
const arrived = (value: unknown) => parse(receivedWork, value, 'TESSERA_MESSAGE_INVALID', 'work');

/** After all promises that are settled now. */
const settled = () => new Promise(setImmediate);

const errors = (message: ResultMessage | undefined) =>
  message?.tiles.map((tile) => ('error' in tile ? [tile.t_id, tile.error.code] : [tile.t_id]));

describe('work', () => {
  it('is answered in one message when all its tiles are done', () => {
    const { handler: made, sent, jobs, clock } = workHandler();
    made.accept('central', work({ attempt: 3 }));
    clock.now = 20;
    jobs[0]!.tile(done(0));
    clock.now = 25;
    jobs[0]!.tile(done(1));
    expect(sent).toEqual([]);
    jobs[0]!.end();
    return settled().then(() => {
      expect(sent).toMatchObject([{ plan: 'p-1', i_id: '1-1', stage: 0, attempt: 3, n_id: 'node-a', queue_ms: 15 }]);
      expect(sent[0]?.tiles.map((tile) => tile.t_id)).toEqual([0, 1]);
      expect(made.rate.perSecond).toBe(200);
      expect(made.waiting).toBe(0);
    });
  });

  it('has waited until its first tile began, also where the outcome of that tile comes with later ones', async () => {
    const { handler: made, sent, jobs, clock } = workHandler();
    made.accept('central', work());
    clock.now = 20;
    jobs[0]!.tile({ ...done(0), waited_ms: 7 });
    jobs[0]!.tile({ ...done(1), waited_ms: 0 });
    jobs[0]!.end();
    await settled();
    expect(sent).toMatchObject([{ queue_ms: 8 }]);
  });

  it('has its bytes copied on arrival, as the MQTT client reuses its buffer', () => {
    const { handler: made, jobs } = workHandler();
    const message = work();
    made.receive('central', arrived(message));
    const given = message.tiles[0]!.in[0] as { d: Uint8Array };
    given.d.fill(99);
    expect([...inlineRegions(jobs[0]!.job.tiles[0]!.in)[0]!.d]).toEqual([0, 1, 2, 3]);
  });

  it('of this process has its buffers transferred to the executor, as copies cost time', () => {
    const { handler: made, jobs } = workHandler();
    const message = work();
    made.accept('central', message);
    const [given] = inlineRegions(message.tiles[0]!.in);
    expect(inlineRegions(jobs[0]!.job.tiles[0]!.in)[0]!.d).toBe(given!.d);
  });

  it('answers an error at once and the other tiles later', async () => {
    const { handler: made, sent, jobs } = workHandler();
    made.accept('central', work());
    jobs[0]!.tile({ t_id: 0, error: { code: 'run-failed', text: 'x' } });
    expect(errors(sent[0])).toEqual([[0, 'run-failed']]);
    jobs[0]!.tile(done(1));
    jobs[0]!.end();
    await settled();
    expect(errors(sent[1])).toEqual([[1]]);
  });

  it('gives the worker one job more than it runs, and the others in order as jobs end', async () => {
    const { handler: made, jobs } = workHandler();
    for (const i_id of ['1-1', '1-2', '1-3']) made.accept('central', work({ i_id }));
    expect(jobs.map(({ job }) => job.i_id)).toEqual(['1-1', '1-2']);
    jobs[0]!.end();
    await settled();
    expect(jobs.map(({ job }) => job.i_id)).toEqual(['1-1', '1-2', '1-3']);
  });

  it('is refused tile by tile where it cannot run', () => {
    const { handler: made, sent } = workHandler();
    made.accept('central', work({ plan: 'p-2' }));
    made.accept('central', work({ budget_ms: 0 }));
    expect(sent.map(errors)).toEqual([
      [
        [0, 'unknown-plan'],
        [1, 'unknown-plan'],
      ],
      [
        [0, 'expired'],
        [1, 'expired'],
      ],
    ]);
  });

  it('is answered although it is invalid, if its tiles can be read, or else they wait for their time-out', () => {
    const { handler: made, sent, jobs } = workHandler();
    const wrong = { ...work(), tiles: [{ t_id: 7, in: 'none', out: [] }, { t_id: 8 }] };
    expect(made.receive('central', arrived(wrong))).toBe(false);
    expect(sent.map(errors)).toEqual([
      [
        [7, 'bad-input'],
        [8, 'bad-input'],
      ],
    ]);
    expect(made.receive('central', arrived(work()))).toBe(true);
    expect(jobs).toHaveLength(1);
  });

  it('that expired in the queue is answered as expired when its turn comes', async () => {
    const { handler: made, sent, jobs, clock } = workHandler();
    for (const i_id of ['1-1', '1-2']) made.accept('central', work({ i_id, budget_ms: 1e6 }));
    made.accept('central', work({ i_id: '1-3', budget_ms: 10 }));
    clock.now = 11;
    jobs[0]!.end();
    await settled();
    expect(sent).toMatchObject([{ i_id: '1-3', queue_ms: 11 }]);
    expect(errors(sent[0])).toEqual([
      [0, 'expired'],
      [1, 'expired'],
    ]);
  });

  it('is answered even when the executor does not return an outcome', async () => {
    const { handler: made, sent, jobs } = workHandler();
    made.accept('central', work());
    jobs[0]!.tile({ t_id: 0, error: { code: 'bad-input', text: '' } });
    jobs[0]!.fail(new Error('bug'));
    await new Promise(setImmediate);
    expect(sent.map(errors)).toEqual([[[0, 'bad-input']], [[1, 'run-failed']]]);
    expect(made.waiting).toBe(0);
  });
});

describe('queued work', () => {
  function waiting() {
    const all = workHandler();
    for (const i_id of ['1-1', '1-2', '1-3', '1-4']) all.handler.accept('central', work({ i_id }));
    return all;
  }

  it('is answered when it is cancelled; running work is cancelled at the executor', async () => {
    const { handler: made, sent, jobs, cancelled } = waiting();
    made.cancel({ i_id: '1-3', stage: 0, t_id: [1] });
    expect(errors(sent[0])).toEqual([[1, 'expired']]);
    expect(cancelled).toEqual([['1-3', 0, [1]]]);
    jobs[0]!.end();
    await settled();
    expect(jobs[2]!.job.tiles.map((tile) => tile.t_id)).toEqual([0]);
  });

  it('is answered when its plan is released or the connection was lost', () => {
    const released = waiting();
    released.handler.planGone('p-1');
    expect(released.sent.map((message) => message.i_id)).toEqual(['1-3', '1-4']);
    expect(errors(released.sent[0])?.[0]).toEqual([0, 'unknown-plan']);
    const lost = waiting();
    lost.handler.connectionLost();
    expect(errors(lost.sent[1])?.[0]).toEqual([0, 'expired']);
    expect(lost.handler.waiting).toBe(4);
  });
});

/** A work message whose tiles read regions that are held here or come from node-b, and where their outputs go. */
function straight(
  tiles: { t_id: number; held?: [number, number]; from?: [number, number]; makes?: [number, number]; to?: string[] }[],
  overrides: Partial<WorkMessage> = {},
): WorkMessage {
  return work({
    ...overrides,
    tiles: tiles.map(({ t_id, held, from, makes = [0, 4], to = ['node-a'] }) => ({
      t_id,
      in: [
        ...(held === undefined ? [] : [{ tensor: 'x', box: [held], held: true as const }]),
        ...(from === undefined ? [] : [{ tensor: 'x', box: [from], from: 'node-b' }]),
      ],
      out: [{ tensor: 'x', box: [makes], codec: raw, to }],
    })),
  });
}

describe('work with regions that stay, go and come', () => {
  it('that stays is kept by the executor, not returned, and answered with a receipt', async () => {
    const { handler: made, sent, jobs } = workHandler();
    made.accept('central', straight([{ t_id: 0 }]));
    expect(jobs[0]!.job.tiles[0]!.out).toMatchObject([{ keep: 'only' }]);
    jobs[0]!.tile({ t_id: 0, out: [], compute_ms: 5 });
    jobs[0]!.end();
    await settled();
    expect(sent).toMatchObject([
      { tiles: [{ t_id: 0, out: [{ tensor: 'x', dtype: 'float32', shape: [4], bytes: 16 }] }] },
    ]);
    expect(made.regions.bytes).toBeGreaterThan(16);
  });

  it('goes to other nodes before central hears of it, and once to each of them', async () => {
    const { handler: made, sent, jobs, tensors, network } = workHandler();
    network.isSlow = true;
    made.accept(
      'central',
      straight([
        { t_id: 0, to: ['node-a', 'node-b', 'node-c'] },
        { t_id: 1, makes: [4, 8], to: ['node-b', 'central'] },
      ]),
    );
    expect(jobs[0]!.job.tiles.map(({ out }) => out[0]!.keep)).toEqual(['also', undefined]);
    for (const t_id of [0, 1]) jobs[0]!.tile(done(t_id));
    jobs[0]!.end();
    await settled();
    expect(tensors.map(([to, { tiles }]) => [to, tiles.map(({ t_id }) => t_id)])).toEqual([
      ['node-b', [0, 1]],
      ['node-c', [0]],
    ]);
    expect(sent).toEqual([]);
    network.finish();
    await settled();
    const [first, second] = sent
      .flatMap(({ tiles }) => tiles)
      .sort((a, b) => a.t_id - b.t_id)
      .map((tile) => ('out' in tile ? tile.out[0]! : undefined));
    expect(first).toMatchObject({ bytes: 4 });
    expect(first).not.toHaveProperty('d');
    expect(second).toHaveProperty('d');
  });

  it('is answered as failed where its output could not be sent', async () => {
    const { handler: made, sent, jobs, network } = workHandler();
    network.isBroken = true;
    made.accept('central', straight([{ t_id: 0, to: ['node-b'] }]));
    jobs[0]!.tile(done(0));
    jobs[0]!.end();
    await settled();
    expect(sent.map(errors)).toEqual([[[0, 'run-failed']]]);
  });

  it('waits for what another node sends, beside a tile of the same message that does not', async () => {
    const { handler: made, jobs, arrive } = workHandler();
    made.accept('central', straight([{ t_id: 0, from: [0, 2] }, { t_id: 1 }]));
    expect(jobs.map(({ job }) => job.tiles.map(({ t_id }) => t_id))).toEqual([[1]]);
    expect(made.waitingForInputs).toBe(1);
    arrive('node-b', [0, 2]);
    expect(jobs.map(({ job }) => job.tiles.map(({ t_id }) => t_id))).toEqual([[1], [0]]);
  });

  it('whose tiles became ready one after another runs as one job, or else each costs messages', async () => {
    const { handler: made, jobs, arrive } = workHandler();
    for (const i_id of ['1-8', '1-9']) made.accept('central', work({ i_id }));
    made.accept(
      'central',
      straight([
        { t_id: 0, from: [0, 2] },
        { t_id: 1, from: [2, 4] },
      ]),
    );
    arrive('node-b', [0, 2]);
    arrive('node-b', [2, 4]);
    jobs[0]!.end();
    await settled();
    expect(jobs[2]!.job.tiles.map(({ t_id }) => t_id)).toEqual([0, 1]);
  });

  it('that waits too long is answered with the regions that did not come', async () => {
    const { handler: made, sent, clock, timers } = workHandler();
    made.accept(
      'central',
      straight(
        [
          { t_id: 0, from: [0, 2] },
          { t_id: 1, from: [2, 4] },
        ],
        { budget_ms: 50 },
      ),
    );
    expect(timers.map(({ ms }) => ms)).toEqual([50]);
    clock.now = 50;
    timers[0]!.call();
    expect(sent.flatMap(({ tiles }) => tiles)).toMatchObject([
      {
        t_id: 0,
        error: {
          code: 'missing-input',
          text: 'x [0:2] of node-b did not come within the budget',
          regions: [{ tensor: 'x', box: [[0, 2]] }],
        },
      },
      { t_id: 1, error: { code: 'missing-input', regions: [{ tensor: 'x', box: [[2, 4]] }] } },
    ]);
    expect([made.waiting, made.regions.reserved]).toEqual([0, 0]);
  });

  it('is refused at once where a held region is not here and nobody here makes it', () => {
    const { handler: made, sent } = workHandler();
    made.accept('central', straight([{ t_id: 0, held: [0, 2] }]));
    expect(sent).toMatchObject([
      { tiles: [{ error: { code: 'missing-input', regions: [{ tensor: 'x', box: [[0, 2]] }] } }] },
    ]);
  });

  it('that reads regions "of" its own node reads held ones', () => {
    const { handler: made, jobs } = workHandler();
    made.regions.open('1-1', 'p-1', { tensor: 'x', box: [[0, 4]], bytes: 16 }, 0);
    const input = { tensor: 'x', box: [[1, 2]] as [number, number][], from: 'node-a' };
    made.accept('central', work({ tiles: [{ t_id: 0, in: [input], out: [] }] }));
    expect(jobs[0]!.job.tiles[0]!.in).toEqual([{ tensor: 'x', box: [[1, 2]], held: true }]);
  });

  it('waits for what this node is about to make, and is refused when that fails', async () => {
    const { handler: made, sent, jobs } = workHandler();
    made.accept('central', straight([{ t_id: 0 }]));
    made.accept('central', straight([{ t_id: 0, held: [1, 3], makes: [8, 9] }], { stage: 0, attempt: 1 }));
    expect(jobs).toHaveLength(1);
    jobs[0]!.tile({ t_id: 0, out: [], compute_ms: 1 });
    jobs[0]!.end();
    await settled();
    expect(jobs).toHaveLength(2);

    made.accept('central', straight([{ t_id: 0 }], { i_id: '1-2' }));
    made.accept('central', straight([{ t_id: 0, held: [1, 3], makes: [8, 9] }], { i_id: '1-2', attempt: 1 }));
    jobs[2]!.tile({ t_id: 0, error: { code: 'run-failed', text: '' } });
    expect(sent.filter(({ i_id }) => i_id === '1-2').map(errors)).toEqual([
      [[0, 'missing-input']],
      [[0, 'run-failed']],
    ]);
  });

  it('that waits ends with its frame, its plan, its epoch, the connection, a cancel, and a lost executor', () => {
    const ends: [string, string, (all: ReturnType<typeof workHandler>) => void][] = [
      ['freed', 'expired', ({ handler: made }) => made.free(['1-1'])],
      ['released', 'unknown-plan', ({ handler: made }) => made.planGone('p-1')],
      ['epoch', 'expired', ({ handler: made }) => void made.enter(2)],
      ['connection', 'expired', ({ handler: made }) => made.connectionLost()],
      ['cancel', 'expired', ({ handler: made }) => made.cancel({ i_id: '1-1', stage: 0, t_id: [0] })],
      ['executor', 'missing-input', ({ lose }) => lose()],
    ];
    for (const [name, code, end] of ends) {
      const all = workHandler();
      all.handler.accept('central', straight([{ t_id: 0, from: [0, 2] }]));
      end(all);
      expect([name, all.sent.map(errors), all.handler.waiting, all.handler.regions.reserved]).toEqual([
        name,
        [[[0, code]]],
        0,
        0,
      ]);
      all.arrive('node-b', [0, 2]);
      expect(all.jobs).toEqual([]);
    }
  });

  it('of a frame that was freed is refused, and so is a tile that is named twice', () => {
    const { handler: made, sent } = workHandler();
    made.accept('central', straight([{ t_id: 3 }, { t_id: 3 }]));
    made.free(['1-1']);
    made.accept('central', straight([{ t_id: 4 }]));
    expect(sent.map((message) => errors(message)![0])).toEqual([
      [3, 'bad-input'],
      [4, 'expired'],
    ]);
  });

  it('that keeps or awaits tensors that its stage does not have is refused', () => {
    const { handler: made, sent } = workHandler();
    const out = [{ tensor: 'q', box: [[0, 4]] as [number, number][], codec: raw, to: ['node-a'] }];
    made.accept('central', work({ tiles: [{ t_id: 0, in: [], out }] }));
    made.accept('central', straight([{ t_id: 1 }], { stage: 5 }));
    expect(sent.map(errors)).toEqual([[[0, 'bad-input']], [[1, 'unknown-plan']]]);
  });

  it('is refused beyond the room for regions', () => {
    const { handler: made, sent, jobs } = workHandler();
    for (const t_id of [0, 1]) made.accept('central', straight([{ t_id, makes: [0, 1500] }], { attempt: t_id }));
    expect(jobs).toHaveLength(1);
    expect(sent.map(errors)).toEqual([[[1, 'out-of-memory']]]);
  });

  it('is answered once, tile by tile, whatever comes in whatever order', async () => {
    const frame = fc.constantFrom('1-1', '1-2', '2-1');
    const reach = fc.tuple(fc.nat(3), fc.integer({ min: 4, max: 6 }));
    const tile = fc.record(
      { held: reach, from: reach, makes: reach, to: fc.subarray(['node-a', 'node-b', 'central'], { minLength: 1 }) },
      { requiredKeys: ['to'] },
    );
    const step = fc.oneof(
      fc.record({
        do: fc.constant('work' as const),
        frame,
        tiles: fc.array(tile, { minLength: 1, maxLength: 3 }),
        budget: fc.integer({ min: 1, max: 40 }),
      }),
      fc.record({ do: fc.constant('arrive' as const), frame, box: reach }),
      fc.record({ do: fc.constant('run' as const), ok: fc.boolean() }),
      fc.record({ do: fc.constant('cancel' as const), frame, t: fc.nat(2) }),
      fc.record({ do: fc.constantFrom('free' as const), frame }),
      fc.record({ do: fc.constantFrom('release' as const, 'connection' as const, 'lose' as const, 'time' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const all = workHandler();
        const { handler: made, sent, jobs, clock, timers } = all;
        let attempt = 0;
        const asked: string[] = [];
        const runJob = (ok: boolean): void => {
          const job = jobs.shift();
          for (const { t_id, out } of job?.job.tiles ?? []) {
            const returned = out.filter(({ keep }) => keep !== 'only').map(() => output);
            job!.tile(ok ? { t_id, out: returned, compute_ms: 1 } : { t_id, error: { code: 'run-failed', text: '' } });
          }
          job?.end();
        };
        const elapse = (): void => {
          for (const { at, call } of timers.splice(0, timers.length)) {
            clock.now = Math.max(clock.now, at);
            call();
          }
        };
        for (const action of steps) {
          if (action.do === 'work') {
            const tiles = action.tiles.map((one, t_id) => ({ ...one, t_id }));
            attempt++;
            asked.push(...tiles.map(({ t_id }) => `${action.frame} ${attempt} ${t_id}`));
            made.accept('central', straight(tiles, { i_id: action.frame, attempt, budget_ms: action.budget }));
          } else if (action.do === 'arrive') all.arrive('node-b', action.box, action.frame);
          else if (action.do === 'run') runJob(action.ok);
          else if (action.do === 'cancel') made.cancel({ i_id: action.frame, stage: 0, t_id: [action.t] });
          else if (action.do === 'free') made.free([action.frame]);
          else if (action.do === 'release') made.planGone('p-1');
          else if (action.do === 'connection') made.connectionLost();
          else if (action.do === 'lose') all.lose();
          else elapse();
          await settled();
          expect(made.regions.bytes + made.regions.reserved).toBeLessThanOrEqual(10_000);
        }
        for (let k = 0; k < 5 + 2 * asked.length; k++) {
          runJob(true);
          await settled();
          elapse();
        }
        const answered = sent.flatMap((message) =>
          message.tiles.map(({ t_id }) => `${message.i_id} ${message.attempt} ${t_id}`),
        );
        expect(answered.sort()).toEqual(asked.sort());
        expect([made.waiting, made.waitingForInputs, made.regions.reserved]).toEqual([0, 0, 0]);
      }),
      { numRuns: 200 },
    );
  });
});
