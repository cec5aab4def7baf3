import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobFetch } from '../../../node-agent/blob-fetch.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { type BlobSource, Plans, type PrepareMessage } from '../../../shared/node/plans.ts';
import { silentLog } from '../../../shared/ports.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { openSigningKey, requireSignature } from '../../../shared/runtime/signature.ts';
import { executorDouble } from '../../support/executor-double.ts';
import { tinyPlan } from '../../support/tiny-network.ts';

let folder: string;
let skeleton: { sha: string; size: number };
let fetch: BlobFetch;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-plans-'));
  const store = await openBlobStore(folder);
  skeleton = { sha: await store.put(new Uint8Array([1])), size: 1 };
  const nothing = async (): Promise<void> => {};
  fetch = new BlobFetch({ self: 'n', store, send: nothing, join: async () => nothing, log: silentLog });
});
afterEach(() => rm(folder, { recursive: true }));

/** An executor whose `prepare` ends when the test tells it. */
function planning(trustedKeys: readonly string[] = [], blobs: BlobSource | null = fetch) {
  const calls: string[] = [];
  const preparations: { finish: () => void; fail: (error: Error) => void }[] = [];
  const executor = executorDouble({
    prepare: (plan) => {
      calls.push(`prepare ${plan.id}`);
      return new Promise((finish, fail) => preparations.push({ finish, fail }));
    },
    release: async (plan) => void calls.push(`release ${plan}`),
  });
  const plans = new Plans({
    executor,
    ...(blobs === null ? {} : { blobs }),
    bootId: 'boot',
    maxPlans: 32,
    requireTrust: trustedKeys.length === 0 ? undefined : (manifest) => requireSignature(manifest, trustedKeys),
    now: () => performance.now(),
    log: silentLog,
    onReady: () => calls.push('ready'),
    onGone: (plan) => calls.push(`gone ${plan}`),
  });
  const preparation = async (index: number) => {
    while (preparations[index] === undefined) await new Promise(setImmediate);
    return preparations[index];
  };
  return { plans, calls, preparation, executor };
}

function prepare(id: string, stages = [0]): PrepareMessage {
  const manifest = { format: 'tessera-model/1' as const, name: 'm', skeleton, blobs: [] };
  return { v: 1, type: 'prepare', plan: tinyPlan(skeleton.sha, { kind: 'whole' }, id), manifest, stages };
}
const A = 'p-00000a';
const B = 'p-00000b';

describe('prepare', () => {
  it('is answered when parts can run, and from then on at once, or else a reconnect loads everything again', async () => {
    const { plans, calls, preparation } = planning();
    const answer = plans.prepare('central', prepare(A));
    (await preparation(0)).finish();
    expect(await answer).toEqual({ v: 1, type: 'ready', plan: A, boot_id: 'boot' });
    expect(await plans.prepare('central', prepare(A))).toMatchObject({ type: 'ready' });
    expect(calls).toEqual([`prepare ${A}`, 'ready']);
  });

  it('answers for a ready plan while another one loads, or else central considers the node dead', async () => {
    const { plans, preparation } = planning();
    const first = plans.prepare('central', prepare(A));
    (await preparation(0)).finish();
    await first;
    const slow = plans.prepare('central', prepare(B));
    await preparation(1);
    expect(await plans.prepare('central', prepare(A))).toMatchObject({ type: 'ready', plan: A });
    (await preparation(1)).finish();
    expect(await slow).toMatchObject({ type: 'ready', plan: B });
  });

  it('runs one at a time, and a repeated one once', async () => {
    const { plans, calls, preparation } = planning();
    const answers = [A, A, B].map((id) => plans.prepare('central', prepare(id)));
    const first = await preparation(0);
    expect(calls).toEqual([`prepare ${A}`]);
    first.finish();
    (await preparation(1)).finish();
    expect((await Promise.all(answers)).map((answer) => answer.type)).toEqual(['ready', 'ready', 'ready']);
    expect(calls.filter((call) => call.startsWith('prepare'))).toEqual([`prepare ${A}`, `prepare ${B}`]);
  });

  it('prepares further stages of a ready plan', async () => {
    const { plans, preparation } = planning();
    const first = plans.prepare('central', prepare(A, [0]));
    (await preparation(0)).finish();
    await first;
    const second = plans.prepare('central', prepare(A, [0, 1]));
    (await preparation(1)).finish();
    expect(await second).toMatchObject({ type: 'ready' });
  });

  it('where every blob is here already does not look for the weights first, or else stages are compiled for nothing', async () => {
    const { plans, preparation, executor } = planning([], null);
    executor.weights = () => Promise.reject(new Error('not needed'));
    const answer = plans.prepare('central', prepare(A));
    (await preparation(0)).finish();
    expect(await answer).toMatchObject({ type: 'ready' });
  });

  it('refuses with the code and the hint of the failure, and can succeed later', async () => {
    const { plans, preparation } = planning();
    const first = plans.prepare('central', prepare(A));
    (await preparation(0)).fail(new TesseraError('TESSERA_RUN_FAILED', 'too large', { hint: 'Buy memory.' }));
    expect(await first).toEqual({
      v: 1,
      type: 'refused',
      plan: A,
      code: 'TESSERA_RUN_FAILED',
      text: 'too large. Buy memory.',
    });
    const second = plans.prepare('central', prepare(A));
    (await preparation(1)).finish();
    expect(await second).toMatchObject({ type: 'ready' });
  });

  it('refuses an invalid plan, or a plan of another model than the offered one', async () => {
    const { plans, calls } = planning();
    expect(await plans.prepare('central', { ...prepare(A), plan: { id: 'x' } })).toMatchObject({
      type: 'refused',
      plan: 'x',
      code: 'TESSERA_PLAN_INVALID',
    });
    expect(await plans.prepare('central', { ...prepare(A), plan: 7 })).toMatchObject({ type: 'refused', plan: '' });
    const other = { ...prepare(A), plan: tinyPlan('f'.repeat(64), { kind: 'whole' }, A) };
    expect(await plans.prepare('central', other)).toMatchObject({ code: 'TESSERA_PLAN_INVALID' });
    expect(calls).toEqual([]);
  });

  it('loads with a trusted key only models that it signed, ready or not', async () => {
    const key = await openSigningKey(folder);
    const { plans, calls, preparation } = planning([key.publicKey]);
    const unsigned = prepare(A);
    const { manifest } = unsigned;
    expect(await plans.prepare('central', unsigned)).toMatchObject({ type: 'refused', code: 'TESSERA_SIGNATURE' });
    const signed = { ...unsigned, manifest: { ...manifest, signature: key.sign(manifest) } };
    const renamed = { ...signed, manifest: { ...signed.manifest, name: 'other' } };
    expect(await plans.prepare('central', renamed)).toMatchObject({ type: 'refused', code: 'TESSERA_SIGNATURE' });
    expect(calls).toEqual([]);
    const answer = plans.prepare('central', signed);
    (await preparation(0)).finish();
    expect(await answer).toMatchObject({ type: 'ready' });
    expect(await plans.prepare('central', unsigned)).toMatchObject({ type: 'refused', plan: A });
  });

  it('queues a bounded number of plans, or else a flood of them fills the memory', async () => {
    const { plans, preparation } = planning();
    const id = (k: number) => `p-${k.toString(16).padStart(6, '0')}`;
    const answers = Array.from({ length: 40 }, (_, k) => plans.prepare('central', prepare(id(k))));
    expect(await answers[39]).toMatchObject({ type: 'refused', plan: id(39), text: expect.stringMatching(/wait/) });
    for (let k = 0; k < 32; k++) (await preparation(k)).finish();
    const types = (await Promise.all(answers)).map(({ type }) => type);
    expect(types).toEqual([...Array(32).fill('ready'), ...Array(8).fill('refused')]);
  });

  it('keeps a bounded number of plans and releases the oldest', async () => {
    const { plans, calls, preparation } = planning();
    for (let number = 0; number < 33; number++) {
      const answer = plans.prepare('central', prepare(`p-${String(number).padStart(6, '0')}`));
      (await preparation(number)).finish();
      await answer;
    }
    expect(calls.filter((call) => call.startsWith('gone'))).toEqual(['gone p-000000']);
  });
});

describe('a plan of several stages', () => {
  const [W0, W1] = ['b'.repeat(64), 'c'.repeat(64)];
  const PICTURE = { tensor: 'x', width: 8, height: 4, color: 'rgb', resize: 'stretch', crop: 1 } as const;
  const message = (): PrepareMessage => {
    const about = prepare(A, [0, 1]);
    const blobs = [W1, W0].map((sha) => ({ sha, size: 1 }));
    return { ...about, manifest: { ...about.manifest, blobs, picture: PICTURE } };
  };
  /** A source whose blobs arrive when the test says so. */
  const arriving = () => {
    const asked: string[][] = [];
    let stored: (sha: string) => void = () => {};
    let finish: (error?: Error) => void = () => {};
    const source: BlobSource = {
      fetch: async (_from, blobs, signal, on) => {
        asked.push(blobs.map(({ sha }) => sha));
        if (on?.stored === undefined) return;
        stored = on.stored;
        await new Promise<void>((resolve, reject) => {
          finish = (error) => (error === undefined ? resolve() : reject(error));
          signal.addEventListener('abort', () => reject(new Error('aborted')));
        });
      },
    };
    return { source, asked, stored: (sha: string) => stored(sha), finish: (error?: Error) => finish(error) };
  };
  const reading = (blobs: BlobSource) => {
    const made = planning([], blobs);
    made.executor.weights = async (_plan, [stage]) => (stage === 0 ? [W0] : [W0, W1]);
    const early: unknown[] = [];
    return { ...made, early, answer: made.plans.prepare('central', message(), (ready) => early.push(ready)) };
  };

  it('fetches the slices of weights that its own parts read, and no others', async () => {
    const { source, asked, stored, finish } = arriving();
    const { plans, executor, preparation } = planning([], source);
    const slices = [W0, W1].map((sha, k): { tensor: string; box: [number, number][]; sha: string; size: number } => {
      return { tensor: 'w', box: [[k, k + 1]], sha, size: 4 };
    });
    const given: unknown[] = [];
    executor.weights = async (_plan, _stages, _skeleton, named) => {
      given.push(named);
      return [W1];
    };
    const { manifest, ...rest } = prepare(A);
    const answer = plans.prepare('central', { ...rest, manifest: { ...manifest, slices } });
    while (asked.length < 2) await new Promise(setImmediate);
    stored(W1);
    finish();
    (await preparation(0)).finish();
    expect(await answer).toMatchObject({ type: 'ready' });
    expect([given, asked]).toEqual([[slices], [[skeleton.sha], [W1]]]);
  });

  it('runs its first stage while the weights of the second still arrive, which are fetched after those of the first', async () => {
    const { source, asked, stored, finish } = arriving();
    const { plans, early, answer, preparation, calls } = reading(source);
    while (asked.length < 2) await new Promise(setImmediate);
    expect(asked[1]).toEqual([W0, W1]);
    stored(W0);
    (await preparation(0)).finish();
    while (early.length === 0) await new Promise(setImmediate);
    expect(early).toEqual([{ v: 1, type: 'ready', plan: A, boot_id: 'boot', stages: [0] }]);
    expect([plans.sizeOf(W1), plans.sizeOf('d'.repeat(64))]).toEqual([1, undefined]);
    stored(W1);
    finish();
    (await preparation(1)).finish();
    expect(await answer).toEqual({ v: 1, type: 'ready', plan: A, boot_id: 'boot' });
    expect(calls).toEqual([`prepare ${A}`, `prepare ${A}`, 'ready']);
    plans.release(A);
    expect(plans.sizeOf(W1)).toBe(undefined);
  });

  it('is refused where a stage cannot be loaded, and then fetches no more', async () => {
    const { source, asked, stored } = arriving();
    const { answer, preparation } = reading(source);
    while (asked.length < 2) await new Promise(setImmediate);
    stored(W0);
    (await preparation(0)).fail(new TesseraError('TESSERA_RUN_FAILED', 'too large'));
    expect(await answer).toMatchObject({ type: 'refused', code: 'TESSERA_RUN_FAILED' });
  });

  it('is refused where later weights do not come, after the first stage was announced, which still opens frames', async () => {
    const { source, asked, stored, finish } = arriving();
    const { plans, answer, early, preparation } = reading(source);
    while (asked.length < 2) await new Promise(setImmediate);
    stored(W0);
    expect(plans.pictureOf(A)).toBeUndefined();
    (await preparation(0)).finish();
    while (early.length === 0) await new Promise(setImmediate);
    expect(plans.pictureOf(A)).toEqual(PICTURE);
    finish(new TesseraError('TESSERA_BLOB', 'central does not answer'));
    expect(await answer).toMatchObject({ type: 'refused', code: 'TESSERA_BLOB' });
    expect(plans.pictureOf(A)).toEqual(PICTURE);
  });
});

describe('release', () => {
  it('ends a plan at once, and a later prepare starts anew', async () => {
    const { plans, calls, preparation } = planning();
    const first = plans.prepare('central', prepare(A));
    (await preparation(0)).finish();
    await first;
    plans.release(A);
    plans.release(A);
    const again = plans.prepare('central', prepare(A));
    (await preparation(1)).finish();
    expect(await again).toMatchObject({ type: 'ready' });
    expect(calls).toEqual([`prepare ${A}`, 'ready', `release ${A}`, `gone ${A}`, `prepare ${A}`, 'ready']);
  });

  it('while a plan is prepared refuses it in the end, or else an unwanted plan keeps its memory', async () => {
    const { plans, calls, preparation } = planning();
    const answer = plans.prepare('central', prepare(A));
    const load = await preparation(0);
    plans.release(A);
    load.finish();
    expect(await answer).toMatchObject({ type: 'refused', plan: A });
    expect(calls).toEqual([`prepare ${A}`, `release ${A}`]);
  });

  it('aborts queued preparations too, or else the node loads and keeps unwanted plans', async () => {
    const { plans, calls, preparation } = planning();
    const first = plans.prepare('central', prepare(A));
    const load = await preparation(0);
    const waiting = plans.prepare('central', { ...prepare(B), request: 1 });
    plans.release(B);
    const again = plans.prepare('central', { ...prepare(B), request: 2 });
    load.finish();
    expect(await first).toMatchObject({ type: 'ready' });
    expect(await waiting).toMatchObject({ type: 'refused', plan: B, request: 1 });
    (await preparation(1)).finish();
    expect(await again).toMatchObject({ type: 'ready', plan: B, request: 2 });
    expect(calls).toEqual([`prepare ${A}`, `release ${B}`, 'ready', `prepare ${B}`, 'ready']);
  });
});

describe('a plan that the executor has lost', () => {
  it('is prepared again on request, or else the node answers `ready` for ever and computes nothing', async () => {
    const { plans, calls, preparation, executor } = planning();
    const first = plans.prepare('central', prepare(A));
    (await preparation(0)).finish();
    await first;
    expect(plans.progress).toMatchObject([{ id: A, state: 'ready' }]);
    executor.lose(A);
    expect(plans.progress).toEqual([]);
    const again = plans.prepare('central', prepare(A));
    (await preparation(1)).fail(new TesseraError('TESSERA_BLOB', 'a piece is away'));
    expect(await again).toMatchObject({ type: 'refused', text: 'a piece is away' });
    expect(calls).toEqual([`prepare ${A}`, 'ready', `prepare ${A}`]);
  });
});
