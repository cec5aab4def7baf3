import { describe, expect, it } from 'vitest';
import { Epochs } from '../../../shared/node/epochs.ts';
import { type NodeMessage, NodeService } from '../../../shared/node/node-service.ts';
import type { ControlMessage } from '../../../shared/protocol/messages/control.ts';
import { executorDouble } from '../../support/executor-double.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { tinyPlan } from '../../support/tiny-network.ts';

const PLAN = 'p-00000a';
const skeleton = { sha: 'a'.repeat(64), size: 1 };
const manifest = { format: 'tessera-model/1' as const, name: 'm', skeleton, blobs: [] };

/** A node whose executor is done with every part at once. */
function node() {
  const answers: NodeMessage[] = [];
  const log = recordingLog();
  const service = new NodeService({
    id: 'node-a',
    bootId: 'boot',
    executor: executorDouble({
      run: async ({ tiles }, onPart) => {
        for (const { t_id } of tiles) onPart({ t_id, out: [], compute_ms: 1 });
      },
    }),
    blobs: { fetch: async () => {} },
    send: async (to, answer) => {
      expect(to).toBe('central');
      answers.push(answer);
    },
    epochs: new Epochs(),
    limits: { plans: 1, tiles: 10, bytes: 10, running: 1, regionBytes: 0 },
    messageBytes: 1000,
    now: () => 0,
    cpuMs: () => 0,
    after: () => {},
    log,
  });
  const prepare = (epoch: number, from = 'central') =>
    service.receiveControl(from, {
      v: 1,
      type: 'prepare',
      plan: tinyPlan(skeleton.sha, { kind: 'whole' }, PLAN),
      manifest,
      stages: [0],
      epoch,
    });
  const work = (epoch: number, from = 'central') =>
    service.receiveWork(from, {
      message: {
        v: 1,
        plan: PLAN,
        i_id: `${epoch}-1`,
        stage: 0,
        attempt: 0,
        budget_ms: 100,
        tiles: [{ t_id: 0, in: [], out: [] }],
      },
    });
  const answered = async (count: number) => {
    while (answers.length < count) await new Promise(setImmediate);
    return answers.map(({ message }) => ('tiles' in message ? message.tiles[0] : message));
  };
  return { service, log, prepare, work, answered };
}

describe('a node', () => {
  it('prepares a plan, runs its work and answers both', async () => {
    const { prepare, work, answered } = node();
    expect(prepare(1)).toBe(true);
    await answered(1);
    expect(work(1)).toBe(true);
    expect(await answered(2)).toMatchObject([
      { type: 'ready', plan: PLAN },
      { t_id: 0, compute_ms: 1 },
    ]);
  });

  it('obeys central only, or else any node could keep another one busy', async () => {
    const { service, log, prepare, work, answered } = node();
    prepare(1);
    await answered(1);
    expect([prepare(1, 'node-b'), work(1, 'node-b')]).toEqual([false, false]);
    const cancel: ControlMessage = { v: 1, type: 'cancel', i_id: '1-1', stage: 0, t_id: [0] };
    expect(service.receiveControl('node-b', cancel)).toBe(false);
    expect(service.receiveControl('node-b', { v: 1, type: 'release', plan: PLAN })).toBe(false);
    expect(work(1)).toBe(true);
    expect(await answered(2)).toHaveLength(2);
    expect(log.lines.filter((line) => line.startsWith('warn'))).toHaveLength(1);
  });

  it('does nothing for a relieved central, or else it could release plans that the new leader uses', async () => {
    const { service, prepare, work, answered } = node();
    prepare(2);
    await answered(1);
    expect(service.receiveControl('central', { v: 1, type: 'release', plan: PLAN, epoch: 1 })).toBe(false);
    work(2);
    expect(await answered(2)).toMatchObject([{ type: 'ready' }, { compute_ms: 1 }]);
  });
});
