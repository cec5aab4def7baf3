import { describe, expect, it } from 'vitest';
import type { Executor, PreparedPlan, StageRegions } from '../../../shared/node/executor-types.ts';
import { RegionExchange, type SendOrder } from '../../../shared/node/region-exchange.ts';
import { RegionIndex } from '../../../shared/node/region-index.ts';
import { type Log, silentLog } from '../../../shared/ports.ts';
import type { ControlMessage } from '../../../shared/protocol/messages/control.ts';
import type { TensorMessage } from '../../../shared/protocol/messages/work.ts';
import { executorDouble } from '../../support/executor-double.ts';

const region = {
  tensor: 'x',
  box: [[0, 4]] as [number, number][],
  dtype: 'uint8' as const,
  shape: [4],
  codec: { name: 'raw' as const },
  d: new Uint8Array([1, 2, 3, 4]),
};
const STAGE: StageRegions = {
  parts: new Map([[0, { in: [{ tensor: 'x', box: [[0, 8]] }], out: [] }]]),
  tensors: new Map([['x', { dtype: 'uint8', areCodes: false }]]),
};
const PLAN = {
  plan: {
    id: 'p-1',
    source: 'central',
    stages: [{ inputs: [], outputs: ['x'], on: { mode: 'share', nodes: ['n-1'] }, fallback: 'none' }],
  },
  stages: new Map([[1, STAGE]]),
} as unknown as PreparedPlan;

function tensors(overrides: Partial<TensorMessage> = {}): TensorMessage {
  return { v: 1, plan: 'p-1', i_id: '7-1', stage: 0, attempt: 0, tiles: [{ t_id: 0, out: [region] }], ...overrides };
}

function order(overrides: Partial<SendOrder> = {}): SendOrder {
  const { tensor, box, codec } = region;
  const about = { v: 1, type: 'send', plan: 'p-1', i_id: '7-1', stage: 0, t_id: 2, attempt: 1 } as const;
  return { ...about, regions: [{ tensor, box, codec }], to: ['n-2', 'n-3'], request: 5, ...overrides };
}

function exchange(overrides: Partial<Executor> = {}, limit = 10_000, log: Log = silentLog) {
  const kept: unknown[] = [];
  const arrived: string[] = [];
  const sent: [string, TensorMessage][] = [];
  const answers: ControlMessage[] = [];
  const executor = executorDouble({
    preparedPlan: (plan) => (plan === 'p-1' ? PLAN : undefined),
    keep: (iId, from, regions) => kept.push([iId, from, ...regions.map(({ d }) => d)]) > 0,
    take: async () => [region],
    ...overrides,
  });
  const made = new RegionExchange({
    id: 'n-0',
    executor,
    regions: new RegionIndex(limit, () => {}),
    epochs: { followed: 7 },
    sendTensors: async (to, message) => void sent.push([to, message]),
    answer: async (_to, message) => void answers.push(message),
    onArrived: (iId) => arrived.push(iId),
    now: () => 0,
    log,
  });
  return { exchange: made, kept, arrived, sent, answers };
}

const settled = () => new Promise(setImmediate);

describe('a tensor message', () => {
  it('is kept with bytes of its own, and its frame is told', () => {
    const { exchange: made, kept, arrived } = exchange();
    const d = new Uint8Array([1, 2, 3, 4]);
    expect(made.receive('n-1', tensors({ tiles: [{ t_id: 0, out: [{ ...region, d }] }] }))).toBe(true);
    d.fill(9);
    expect(kept).toEqual([['7-1', 'n-1', new Uint8Array([1, 2, 3, 4])]]);
    expect(arrived).toEqual(['7-1']);
    expect(made.dropped).toBe(0);
  });

  it.each([
    ['of a plan that is not prepared here', 'n-1', { plan: 'p-2' }],
    ['of an epoch that is not followed', 'n-1', { i_id: '6-1' }],
    ['of a node that the plan does not name', 'n-4', {}],
    [
      'of a region that no part here reads',
      'n-1',
      { tiles: [{ t_id: 0, out: [{ ...region, box: [[6, 10]] as [number, number][] }] }] },
    ],
  ])('%s is dropped', (_, from, change) => {
    const { exchange: made, kept, arrived } = exchange();
    expect(made.receive(from, tensors(change))).toBe(false);
    expect([kept, arrived]).toEqual([[], []]);
  });

  it('beyond the room for regions is dropped and counted', () => {
    const { exchange: made, kept } = exchange({}, 100);
    expect(made.receive('n-1', tensors())).toBe(false);
    expect([kept, made.dropped]).toEqual([[], 1]);
  });

  it('is judged by its first fields, so that a flood of useless ones costs little', () => {
    const { exchange: made } = exchange();
    const judged = [{ plan: 'p-1', i_id: '7-9' }, { plan: 'p-2', i_id: '7-9' }, { plan: 'p-1', i_id: '6-9' }, {}];
    expect(judged.map((head) => made.judge('n-1', head as Record<string, string>))).toEqual([
      'unknown',
      'unasked',
      'unasked',
      'unknown',
    ]);
    expect(['n-4', 'central'].map((from) => made.judge(from, { plan: 'p-1', i_id: '7-9' }))).toEqual([
      'unasked',
      'unknown',
    ]);
  });
});

describe('an order to send', () => {
  it('is carried out for each node but this one, and answered with the bytes of all copies', async () => {
    const { exchange: made, sent, answers } = exchange();
    made.send('central', order({ to: ['n-2', 'n-0', 'n-3', 'n-2'] }));
    await settled();
    const message = { v: 1, plan: 'p-1', i_id: '7-1', stage: 0, attempt: 1, tiles: [{ t_id: 2, out: [region] }] };
    expect(sent).toEqual([
      ['n-2', message],
      ['n-3', message],
    ]);
    expect(answers).toEqual([{ v: 1, type: 'sent', i_id: '7-1', request: 5, bytes: 8, ms: 0 }]);
  });

  it('for regions that are not here sends nothing and names them', async () => {
    const places = [{ tensor: 'x', box: [[0, 4]] as [number, number][] }];
    const { exchange: made, sent, answers } = exchange({ take: async () => ({ missing: places }) });
    made.send('central', order());
    await settled();
    expect(sent).toEqual([]);
    expect(answers).toEqual([{ v: 1, type: 'missing', i_id: '7-1', request: 5, regions: places }]);
  });

  it('that fails is answered all the same, and the next one is carried out', async () => {
    let tries = 0;
    const take = async () => {
      if (tries++ === 0) throw new Error('no executor');
      return [region];
    };
    const { exchange: made, answers } = exchange({ take });
    made.send('central', order({ request: 1 }));
    made.send('central', order({ request: 2 }));
    await settled();
    expect(answers.map((answer) => [answer.type, 'request' in answer && answer.request])).toEqual([
      ['missing', 1],
      ['sent', 2],
    ]);
  });

  it('waits for those before it; beyond 1024 of them it is refused', async () => {
    let go = (): void => {};
    const first = new Promise<void>((resolve) => {
      go = resolve;
    });
    let encoded = 0;
    const take = async () => {
      encoded++;
      await first;
      return [region];
    };
    const { exchange: made, answers } = exchange({ take });
    for (let request = 0; request < 1026; request++) made.send('central', order({ request }));
    await settled();
    expect([encoded, answers.length]).toEqual([1, 2]);
    go();
    await settled();
    expect(answers.filter(({ type }) => type === 'sent')).toHaveLength(1024);
  });
});
