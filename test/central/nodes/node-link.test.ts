import { describe, expect, it } from 'vitest';
import type { UntimedEvent } from '../../../central/coordinator/events.ts';
import { NodeAnswers } from '../../../central/nodes/node-answers.ts';
import { NodeLink } from '../../../central/nodes/node-link.ts';
import type { Job } from '../../../shared/node/executor-types.ts';
import type { ControlMessage } from '../../../shared/protocol/messages/control.ts';
import { inlineRegions } from '../../../shared/protocol/messages/region.ts';
import type { WorkMessage } from '../../../shared/protocol/messages/work.ts';
import { someOutput, someRegion } from '../../support/effect-world.ts';
import { executorDouble } from '../../support/executor-double.ts';
import { noMeasurements } from '../../support/no-measurements.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { tinyPlan } from '../../support/tiny-network.ts';

const PLAN = 'p-00000a';
const skeleton = { sha: 'a'.repeat(64), size: 1 };
const prepare: ControlMessage = {
  v: 1,
  type: 'prepare',
  plan: tinyPlan(skeleton.sha, { kind: 'whole' }, PLAN),
  manifest: { format: 'tessera-model/1', name: 'm', skeleton, blobs: [] },
  stages: [0],
  epoch: 1,
  request: 7,
};
const work = (): WorkMessage => ({
  v: 1,
  plan: PLAN,
  i_id: '1-1',
  stage: 0,
  attempt: 2,
  budget_ms: 100,
  tiles: [0, 1].map((t_id) => ({ t_id, in: [{ ...someRegion, d: Uint8Array.of(t_id) }], out: [someOutput] })),
});

function world() {
  const sent: unknown[] = [];
  const events: UntimedEvent[] = [];
  const jobs: Job[] = [];
  const log = recordingLog();
  let finish = (): void => {};
  const goOn = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const link = new NodeLink({
    wire: {
      send: async (...message) => {
        sent.push(message);
        return 99;
      },
    },
    executor: executorDouble({
      run: async (job, onPart) => {
        jobs.push(job);
        for (const { t_id } of job.tiles) {
          onPart({ t_id, out: [someRegion], compute_ms: 3 });
          await goOn;
        }
      },
    }),
    answers: new NodeAnswers({
      tell: (event) => events.push(event),
      keep: () => 'handle',
      measurements: noMeasurements,
    }),
    log,
  });
  const settle = () => new Promise(setImmediate);
  return { link, sent, events, jobs, log, settle, finish: () => finish() };
}

describe('the way to nodes', () => {
  it('to others is the wire', async () => {
    const { link, sent, events } = world();
    expect(await link.work('n1', work())).toBe(99);
    await link.control('n1', prepare);
    expect(sent).toEqual([
      ['n1', 'work', work()],
      ['n1', 'control', prepare],
    ]);
    expect(events).toEqual([]);
  });

  it("to central's own executor is this process: answers are those of a node, and nothing travels", async () => {
    const { link, sent, events, jobs, log, settle, finish } = world();
    await link.control('central', prepare);
    await settle();
    const message = work();
    expect(await link.work('central', message)).toBe(0);
    await settle();
    const about = { node: 'central', plan: PLAN, i_id: '1-1', stage: 0, attempt: 2 };
    const part = { ...about, type: 'part-result', compute_ms: 3, handle: 'handle' };
    // The second part still runs: each part's outputs leave as they are made.
    expect(events).toMatchObject([
      { type: 'node-ready', node: 'central', plan: PLAN, request: 7 },
      { ...part, t_id: 0 },
    ]);
    finish();
    await settle();
    expect(events.slice(2)).toMatchObject([{ ...part, t_id: 1 }]);
    expect(sent).toEqual([]);
    // The same buffers, not copies.
    for (const [k, tile] of message.tiles.entries())
      expect(inlineRegions(jobs[0]!.tiles[k]!.in)[0]!.d).toBe(inlineRegions(tile.in)[0]!.d);
    expect(log.lines.filter((line) => !line.startsWith('debug'))).toEqual([]);
  });

  it("for what central's own executor makes for other nodes is the wire, in one message to each", async () => {
    const { link, sent, events, settle, finish } = world();
    finish();
    await link.control('central', prepare);
    await settle();
    const { tensor, box, codec } = someRegion;
    const out = [{ tensor, box, codec, to: ['n1', 'n2'] }];
    await link.work('central', { ...work(), tiles: [0, 1].map((t_id) => ({ t_id, in: [], out })) });
    await settle();
    const tiles = [0, 1].map((t_id) => ({ t_id, out: [someRegion] }));
    const message = { v: 1, plan: PLAN, i_id: '1-1', stage: 0, attempt: 2, tiles };
    expect(sent).toEqual([
      ['n1', 'tensor', message],
      ['n2', 'tensor', message],
    ]);
    expect(events.slice(1)).toMatchObject([0, 1].map((t_id) => ({ type: 'part-result', t_id })));
  });

  it('answers after the effects of which the message is one, or else their order is lost', async () => {
    const { link, events, settle } = world();
    void link.work('central', work());
    expect(events).toEqual([]);
    await settle();
    expect(events).toMatchObject([0, 1].map((t_id) => ({ type: 'part-error', t_id, code: 'unknown-plan' })));
  });

  it('says what a node kept, what it lacks, and what it sent to central', async () => {
    const events: UntimedEvent[] = [];
    const answers = new NodeAnswers({
      tell: (event) => events.push(event),
      keep: (_, out) => `h${out.length}`,
      measurements: noMeasurements,
    });
    const { d: _, ...info } = someRegion;
    const about = { v: 1, plan: PLAN, i_id: '1-1', stage: 0, attempt: 2 } as const;
    const place = { tensor: info.tensor, box: info.box };
    answers.result('n1', {
      ...about,
      n_id: 'n1',
      queue_ms: 0,
      tiles: [
        { t_id: 0, out: [{ ...info, bytes: 5, ms: 1 }], compute_ms: 1 },
        { t_id: 1, error: { code: 'missing-input', text: 'it did not come', regions: [place] } },
      ],
    });
    answers.control('n1', { v: 1, type: 'sent', i_id: '1-1', request: 2, bytes: 9, ms: 1 });
    answers.control('n1', { v: 1, type: 'missing', i_id: '1-1', request: 3, regions: [place] });
    answers.tensor('n1', { ...about, tiles: [{ t_id: 4, out: [someRegion] }] });
    expect(events).toMatchObject([
      { type: 'part-result', t_id: 0, regions: [{ tensor: info.tensor, at: 'n1', bytes: 5 }] },
      { type: 'part-error', t_id: 1, code: 'missing-input', missing: [info.tensor] },
      { type: 'regions-sent', node: 'n1', i_id: '1-1', request: 2 },
      { type: 'regions-missing', node: 'n1', i_id: '1-1', request: 3, regions: [place] },
      { type: 'regions-arrived', node: 'n1', plan: PLAN, stage: 0, t_id: 4, attempt: 2, handle: 'h1' },
    ]);
    expect(events[0]).not.toHaveProperty('handle');
  });
});
