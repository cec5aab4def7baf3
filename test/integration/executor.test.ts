import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '../../shared/node/executor.ts';
import type { Executor, Job, PartOutcome } from '../../shared/node/executor-types.ts';
import { silentLog } from '../../shared/ports.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { packModel } from '../../shared/runtime/package.ts';
import { wholeBox } from '../../shared/tensor/tensor.ts';
import { killBetweenRuns } from '../support/kill-worker.ts';
import { heavyInput, heavyNetwork, tinyInput, tinyNetwork, tinyPlan, wireRegion } from '../support/tiny-network.ts';

const PLAN = 'p-00000001';
let folder: string;
let skeleton: string;
let executor: Executor;
let worker: Worker;

async function start(): Promise<void> {
  // Node reports every thread that is started; the executor's own cannot be found in another way.
  const started = new Promise<Worker>((resolve) => process.once('worker', resolve));
  executor = await createExecutor({ node: 'n1', folder, threads: 1, sessionMemoryMb: 100, log: silentLog });
  worker = await started;
  await executor.prepare(tinyPlan(skeleton, { kind: 'whole' }), [0], skeleton);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-executor-'));
  const store = await openBlobStore(folder);
  skeleton = (await packModel({ name: 'tiny', model: tinyNetwork(), store })).skeleton.sha;
  await start();
});
afterAll(async () => {
  await executor.stop();
  await rm(folder, { recursive: true });
});

function job(tiles = 1, iId = '1-1'): Job {
  const out = [{ tensor: 'y', box: wholeBox([1, 8, 8, 8]), codec: { name: 'raw' as const } }];
  return {
    plan: PLAN,
    i_id: iId,
    stage: 0,
    batchBytes: 0,
    tiles: Array.from({ length: tiles }, () => ({ t_id: 0, in: [wireRegion('x', tinyInput())], out })),
  };
}

async function run(what: Job): Promise<PartOutcome[]> {
  const outcomes: PartOutcome[] = [];
  await executor.run(what, (outcome) => outcomes.push(outcome));
  return outcomes;
}

const codes = (outcomes: PartOutcome[]) => outcomes.map((outcome) => ('error' in outcome ? outcome.error.code : 'ok'));

describe('the executor', () => {
  it('transfers buffers in both directions without copies', async () => {
    const work = job();
    const sent = inlineRegions(work.tiles[0]!.in)[0]!.d;
    const [outcome] = await run(work);
    expect(sent.byteLength).toBe(0);
    if (outcome === undefined || 'error' in outcome) throw new Error('failed');
    const { d } = outcome.out[0]!;
    expect([d.byteLength, d.buffer.byteLength]).toEqual([2048, 2048]);
    expect(outcome.compute_ms).toBeGreaterThan(0);
  });

  it('hands over outcomes together, as waking a thread costs more than a small part; errors and kept regions at once', async () => {
    let messages = 0;
    const count = (): void => void messages++;
    worker.on('message', count);
    const five = (batchBytes: number): Job => ({ ...job(5), batchBytes });
    const together = await run(five(1e6));
    expect(codes(together)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    expect(messages).toBe(1);
    // A part waits for those after it.
    const waits = together.map((outcome) => ('out' in outcome ? outcome.waited_ms! : Number.NaN));
    expect(waits).toEqual([...waits].sort((a, b) => b - a));
    expect([waits[0]! > 0, waits[4]]).toEqual([true, 0]);
    const tiles = five(1e6).tiles.map((tile, k) => {
      if (k === 1) return { ...tile, t_id: 9 };
      return k === 3 ? { ...tile, out: [{ ...tile.out[0]!, keep: 'also' as const }] } : tile;
    });
    expect(codes(await run({ ...five(1e6), tiles }))).toEqual(['ok', 'bad-input', 'ok', 'ok', 'ok']);
    expect(messages).toBe(4);
    expect(codes(await run(five(2 * 2048)))).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    expect(messages).toBe(7);
    worker.off('message', count);
    executor.free(['1-1']);
  });

  it('measures a stage, and counts the parts of frames that it ran meanwhile', async () => {
    const alone = await executor.measure(PLAN, 0, { warmup: 1, repeats: 5, budgetMs: 60_000 });
    expect(alone.others).toBe(0);
    expect(alone.ms.length).toBeGreaterThanOrEqual(5);
    expect(Math.min(...alone.ms)).toBeGreaterThan(0);
    const late = await executor.measure(PLAN, 0, { warmup: 0, repeats: 50, budgetMs: 0 });
    expect(late.ms).toHaveLength(3);
    const measured = executor.measure(PLAN, 0, { warmup: 0, repeats: 5, budgetMs: 60_000 });
    expect(codes(await run(job(2)))).toEqual(['ok', 'ok']);
    expect(await measured).toMatchObject({ others: 2 });
    const unknown = executor.measure('p-00000002', 0, { warmup: 0, repeats: 1, budgetMs: 0 });
    await expect(unknown).rejects.toMatchObject({ code: 'TESSERA_RUN_FAILED' });
  });

  it('finds settings with which the model runs as before, whichever they are', async () => {
    const tuned = await executor.tune(PLAN, 0, skeleton, { warmup: 1, repeats: 3, budgetMs: 0 });
    expect(tuned).toMatchObject({ settings: { threads: 1, parallel: false } });
    expect(tuned!.ms).toBeLessThanOrEqual(tuned!.usual_ms);
    expect(codes(await run(job(2)))).toEqual(['ok', 'ok']);
  });

  it('copies buffers that tiles share, or else the second tile has no bytes', async () => {
    const one = job();
    const tile = one.tiles[0]!;
    expect(codes(await run({ ...one, tiles: [tile, tile, tile] }))).toEqual(['ok', 'ok', 'ok']);
  });

  it('accepts regions that are views of a larger buffer and leaves the other views intact', async () => {
    const one = job();
    const [region] = inlineRegions(one.tiles[0]!.in) as [WireRegion];
    const large = Buffer.alloc(5000, 7);
    large.set(region.d, 3);
    const window = { ...region, d: large.subarray(3, 3 + region.d.byteLength) };
    expect(codes(await run({ ...one, tiles: [{ ...one.tiles[0]!, in: [window] }] }))).toEqual(['ok']);
    expect(large.byteLength).toBe(5000);
  });

  it('drops waiting tiles of the frame that is cancelled, and of no other', async () => {
    const store = await openBlobStore(folder);
    const heavy = await packModel({ name: 'heavy', model: heavyNetwork(), store });
    await executor.prepare(tinyPlan(heavy.skeleton.sha, { kind: 'whole' }, 'p-00000003'), [0], heavy.skeleton.sha);
    const out = [{ tensor: 'y', box: wholeBox([1, 64, 96, 96]), codec: { name: 'raw' as const } }];
    const frames = ['1-1', '1-2', '1-3'].map((i_id) => {
      const tile = { t_id: 0, in: [wireRegion('x', heavyInput())], out };
      return { ...job(), plan: 'p-00000003', i_id, tiles: [tile] };
    });
    const outcomes = frames.map(run);
    executor.cancel('1-2', 0, [0]);
    expect((await Promise.all(outcomes)).flatMap(codes)).toEqual(['ok', 'expired', 'ok']);
    await executor.release('p-00000003');
  });

  it('answers every tile when its thread ends, and runs the same plan again after a while', async () => {
    const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
    const first = run(job(200));
    killBetweenRuns(worker);
    // Sent after the message that ends the thread, so these find it dead, however slow this thread was.
    const jobs = [first, run(job(200, '1-2'))];
    const outcomes = (await Promise.all(jobs)).flat();
    expect(outcomes).toHaveLength(400);
    expect(codes(outcomes)).toContain('run-failed');
    worker = await restarted;
    let code = 'run-failed';
    while (code === 'run-failed') [code = ''] = codes(await run(job()));
    expect(code).toBe('ok');
  });

  it('keeps what stays for later parts, sends it, frees it, and says when it is lost with the thread', async () => {
    const one = job();
    const [tile] = one.tiles;
    const stays = { ...tile!.out[0]!, keep: 'only' as const };
    expect(await run({ ...one, tiles: [{ ...tile!, out: [stays] }] })).toMatchObject([{ out: [] }]);
    const [whole] = inlineRegions((await run(job())).flatMap((outcome) => ('out' in outcome ? outcome.out : [])));
    const place = { tensor: 'y', box: stays.box.map(([start, end]): [number, number] => [start, end]) };
    const asked = [{ ...place, codec: stays.codec }];
    expect(await executor.take('1-1', asked)).toEqual([whole]);
    executor.free(['1-1']);
    expect(await executor.take('1-1', asked)).toEqual({ missing: [place] });

    const sent = wireRegion('x', tinyInput());
    const input = { tensor: 'x', box: sent.box, from: 'pi-2' };
    const reader = { ...one, i_id: '1-2', tiles: [{ ...tile!, in: [input] }] };
    expect(codes(await run(reader))).toEqual(['missing-input']);
    expect(executor.keep('1-2', 'pi-2', [sent])).toBe(true);
    // A region stays for the next part that reads it.
    for (let k = 0; k < 2; k++) expect(await run(reader)).toMatchObject([{ out: [{ d: whole!.d }] }]);
    expect(sent.d.byteLength).toBe(0);

    const lost = new Promise<void>((resolve) => executor.onLoss(resolve));
    const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
    await worker.terminate();
    await lost;
    expect(executor.keep('1-2', 'pi-2', [wireRegion('x', tinyInput())])).toBe(false);
    worker = await restarted;
    await executor.prepare(tinyPlan(skeleton, { kind: 'whole' }), [0], skeleton);
    expect(codes(await run(reader))).toEqual(['missing-input']);
  });

  it('fails at once while its thread restarts, so that another node gets the tile', async () => {
    const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
    await worker.terminate();
    expect(codes(await run(job()))).toEqual(['run-failed']);
    worker = await restarted;
    await executor.prepare(tinyPlan(skeleton, { kind: 'whole' }), [0], skeleton);
  });

  it('prepares while its thread restarts, or else a plan is refused for good in that moment', async () => {
    const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
    await worker.terminate();
    await executor.prepare(tinyPlan(skeleton, { kind: 'whole' }, 'p-00000004'), [0], skeleton);
    worker = await restarted;
    expect(codes(await run({ ...job(), plan: 'p-00000004' }))).toEqual(['ok']);
    await executor.release('p-00000004');
  });

  it('processes requests of one plan in order: a release cancels the prepare before it, and a later prepare stays', async () => {
    const store = await openBlobStore(folder);
    const { sha } = (await packModel({ name: 'heavy', model: heavyNetwork(), store })).skeleton;
    const plan = tinyPlan(sha, { kind: 'whole' }, 'p-00000005');
    const first = executor.prepare(plan, [0], sha);
    first.catch(() => {});
    const release = executor.release(plan.id);
    const second = executor.prepare(plan, [0], sha);
    await expect(first).rejects.toMatchObject({ message: expect.stringMatching(/released/) });
    await Promise.all([release, second]);
    const out = [{ tensor: 'y', box: wholeBox([1, 64, 96, 96]), codec: { name: 'raw' as const } }];
    const tiles = [{ t_id: 0, in: [wireRegion('x', heavyInput())], out }];
    expect(codes(await run({ ...job(), plan: plan.id, tiles }))).toEqual(['ok']);
    await executor.release(plan.id);
  });

  it('no longer counts plans as prepared that its new thread cannot prepare, and keeps the others', async () => {
    const store = await openBlobStore(folder);
    const { sha } = (await packModel({ name: 'heavy', model: heavyNetwork(), store })).skeleton;
    const plan = tinyPlan(sha, { kind: 'whole' }, 'p-00000006');
    await executor.prepare(plan, [0], sha);
    await rm(join(folder, sha));
    const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
    await worker.terminate();
    worker = await restarted;
    while (codes(await run(job()))[0] !== 'ok');
    expect([...executor.plans()]).not.toContain(plan.id);
    expect(codes(await run({ ...job(), plan: plan.id }))).toEqual(['unknown-plan']);
  });

  it('forgets a plan that is released', async () => {
    await executor.release(PLAN);
    expect(codes(await run(job()))).toEqual(['unknown-plan']);
    await executor.prepare(tinyPlan(skeleton, { kind: 'whole' }), [0], skeleton);
    expect(codes(await run(job()))).toEqual(['ok']);
  });

  it('reports why a plan cannot be prepared with a coded error', async () => {
    await expect(
      executor.prepare(tinyPlan('f'.repeat(64), { kind: 'whole' }, 'p-00000002'), [0], 'f'.repeat(64)),
    ).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
  });

  it('stops twice without harm and then runs nothing', async () => {
    await executor.stop();
    await executor.stop();
    expect(codes(await run(job()))).toEqual(['run-failed']);
    await start();
  });

  it('begins nothing once it is told to stop: its thread would be ended during a run, which aborts the process', async () => {
    const whole = tinyPlan(skeleton, { kind: 'whole' }, 'p-00000003');
    const twice = { ...whole, stages: [whole.stages[0]!, { ...whole.stages[0]!, id: 1 }] };
    for (let round = 0; round < 5; round++) {
      const preparing = executor.prepare(twice, [0, 1], skeleton).then(
        () => 'prepared',
        (error: Error) => error.message,
      );
      const running = run(job(4));
      await executor.stop();
      expect(['prepared', 'the executor is stopping', 'the executor is stopped']).toContain(await preparing);
      for (const outcome of await running) if ('error' in outcome) expect(outcome.error.text).toMatch(/stopp/);
      await start();
    }
  });
});
