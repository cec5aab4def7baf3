import { describe, expect, it } from 'vitest';
import { Epochs } from '../../../shared/node/epochs.ts';
import type { Job, PartOutcome } from '../../../shared/node/executor-types.ts';
import { WorkHandler } from '../../../shared/node/work-handler.ts';
import { silentLog } from '../../../shared/ports.ts';
import { inlineRegions } from '../../../shared/protocol/messages/region.ts';
import {
  type ResultMessage,
  resultMessage,
  type WorkMessage,
  workAddress,
} from '../../../shared/protocol/messages/work.ts';
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

/** A handler whose executor the test completes tile by tile, and the messages that it sent. */
function workHandler() {
  const sent: ResultMessage[] = [];
  const jobs: { job: Job; tile: (outcome: PartOutcome) => void; end: () => void; fail: (error: Error) => void }[] = [];
  const cancelled: unknown[] = [];
  const executor = executorDouble({
    run: (job, tile) => new Promise((end, fail) => jobs.push({ job, tile, end, fail })),
    cancel: (...args) => void cancelled.push(args),
    prepared: (plan) => new Set(plan === 'p-1' ? [0] : []),
  });
  const clock = { now: 0 };
  const made = new WorkHandler({
    id: 'node-a',
    executor,
    send: async (to, message) => {
      expect(to).toBe('central');
      sent.push(resultMessage.parse(message));
    },
    now: () => clock.now,
    log: silentLog,
    epochs: new Epochs(),
    limits: { tiles: 4096, bytes: 1000, running: 2 },
    messageBytes: 256 * 1024,
  });
  return { handler: made, sent, jobs, clock, cancelled };
}

function done(t_id: number, compute_ms = 5): PartOutcome {
  return { t_id, out: [{ ...region, tensor: 'y', codec: raw, d: new Uint8Array(4) }], compute_ms };
}

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
    return Promise.resolve().then(() => {
      expect(sent).toMatchObject([{ plan: 'p-1', i_id: '1-1', stage: 0, attempt: 3, n_id: 'node-a', queue_ms: 15 }]);
      expect(sent[0]?.tiles.map((tile) => tile.t_id)).toEqual([0, 1]);
      expect(made.rate.perSecond).toBe(200);
      expect(made.waiting).toBe(0);
    });
  });

  it('has its bytes copied on arrival, as the MQTT client reuses its buffer', () => {
    const { handler: made, jobs } = workHandler();
    const message = work();
    made.receive('central', workAddress.parse(message));
    const given = message.tiles[0]!.in[0] as { d: Uint8Array };
    given.d.fill(99);
    expect([...jobs[0]!.job.tiles[0]!.in[0]!.d]).toEqual([0, 1, 2, 3]);
  });

  it('of this process has its buffers transferred to the executor, as copies cost time', () => {
    const { handler: made, jobs } = workHandler();
    const message = work();
    made.accept('central', message);
    const [given] = inlineRegions(message.tiles[0]!.in);
    expect(jobs[0]!.job.tiles[0]!.in[0]!.d).toBe(given!.d);
  });

  it('answers an error at once and the other tiles later', async () => {
    const { handler: made, sent, jobs } = workHandler();
    made.accept('central', work());
    jobs[0]!.tile({ t_id: 0, error: { code: 'run-failed', text: 'x' } });
    expect(errors(sent[0])).toEqual([[0, 'run-failed']]);
    jobs[0]!.tile(done(1));
    jobs[0]!.end();
    await Promise.resolve();
    expect(errors(sent[1])).toEqual([[1]]);
  });

  it('gives the worker one job more than it runs, and the others in order as jobs end', async () => {
    const { handler: made, jobs } = workHandler();
    for (const i_id of ['1-1', '1-2', '1-3']) made.accept('central', work({ i_id }));
    expect(jobs.map(({ job }) => job.i_id)).toEqual(['1-1', '1-2']);
    jobs[0]!.end();
    await Promise.resolve();
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

  it('is refused where it uses reserved fields of the protocol, or else a tile waits for ever', () => {
    const { handler: made, sent } = workHandler();
    const input = { ...region, codec: raw };
    made.accept('central', work({ tiles: [{ t_id: 3, in: [{ ...input, held: true }], out: [] }] }));
    made.accept('central', work({ tiles: [{ t_id: 4, in: [{ ...input, from: 'node-b' }], out: [] }] }));
    const output = { tensor: 'y', box: region.box, codec: raw };
    made.accept('central', work({ tiles: [{ t_id: 5, in: [], out: [{ ...output, to: ['node-b'] }] }] }));
    made.accept('central', work({ tiles: [{ t_id: 6, in: [], out: [{ ...output, to: ['central', 'node-b'] }] }] }));
    expect(sent.map(errors)).toEqual([3, 4, 5, 6].map((t_id) => [[t_id, 'bad-input']]));
  });

  it('is answered although it is invalid, if its tiles can be read, or else they wait for their time-out', () => {
    const { handler: made, sent, jobs } = workHandler();
    const wrong = { ...work(), tiles: [{ t_id: 7, in: 'none', out: [] }, { t_id: 8 }] };
    expect(made.receive('central', workAddress.parse(wrong))).toBe(false);
    expect(sent.map(errors)).toEqual([
      [
        [7, 'bad-input'],
        [8, 'bad-input'],
      ],
    ]);
    expect(made.receive('central', workAddress.parse(work()))).toBe(true);
    expect(jobs).toHaveLength(1);
  });

  it('that expired in the queue is answered as expired when its turn comes', async () => {
    const { handler: made, sent, jobs, clock } = workHandler();
    for (const i_id of ['1-1', '1-2']) made.accept('central', work({ i_id, budget_ms: 1e6 }));
    made.accept('central', work({ i_id: '1-3', budget_ms: 10 }));
    clock.now = 11;
    jobs[0]!.end();
    await Promise.resolve();
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
    await Promise.resolve();
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
