import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BlobPartMessage, blobPartMessage } from '../../shared/protocol/messages/blob.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import {
  type ResultMessage,
  resultMessage,
  type WorkMessage,
  workMessage,
} from '../../shared/protocol/messages/work.ts';
import { decode, encode } from '../../shared/runtime/cbor.ts';
import { examplesOf } from '../support/examples.ts';
import { RunningUp } from '../support/running-up.ts';

/**
 * Forged messages of a program on the broker's machine, on the wire and about nodes, while frames are computed. On
 * loopback it may act in every name: it can cost time, but no frame and no right prediction.
 */

const v = 1;
let cluster: RunningUp;
let log: string | undefined;
/** Recorded work and results. */
const work: { node: string; message: WorkMessage }[] = [];
const results: { node: string; message: ResultMessage }[] = [];
/** Called with each work message before its node can have answered it. */
let onWork: (node: string, message: WorkMessage) => void = () => {};

beforeAll(async () => {
  cluster = await RunningUp.start();
  await cluster.bus.subscribe('tessera-wire/1/+/work/central', 0, ({ topic, payload }) => {
    const message = ownBytes(decode(payload, workMessage, 'work'));
    const node = topic.split('/')[2]!;
    work.push({ node, message });
    onWork(node, message);
  });
  await cluster.bus.subscribe('tessera-wire/1/central/result/+', 0, ({ topic, payload }) => {
    const node = topic.split('/')[4]!;
    results.push({ node, message: ownBytes(decode(payload, resultMessage, 'result')) });
  });
});
afterAll(async () => {
  if (log === undefined) await cluster.stop();
});
beforeEach(() => {
  onWork = () => {};
  work.length = 0;
  results.length = 0;
});

/** A message with its own copy of the bytes. */
function ownBytes<T>(message: T): T {
  return structuredClone(message);
}

const send = (kind: string, from: string, message: unknown, to = 'central') =>
  cluster.bus.publish(
    `tessera-wire/1/${to}/${kind}/${from}`,
    message instanceof Uint8Array ? message : encode(message),
  );

interface Tile {
  readonly t_id: number;
  readonly out: readonly WireRegion[];
  readonly compute_ms: number;
}
type Answer = Omit<ResultMessage, 'tiles'> & { readonly tiles: readonly Tile[] };

/** A well-formed answer to work, full of one number. */
function answerTo({ plan, i_id, stage, attempt, tiles }: WorkMessage, from: string): Answer {
  const made = tiles.map(({ t_id, out }) => ({
    t_id,
    out: out.map(({ tensor, box, codec }) => {
      const shape = box.map(([start, end]) => end - start);
      const d = new Uint8Array(shape.reduce((product, size) => product * size, 4)).fill(0x40);
      return { tensor, box, dtype: 'float32' as const, shape, codec, d };
    }),
    compute_ms: 0.01,
  }));
  return { v, plan, i_id, stage, attempt, n_id: from, queue_ms: 0, tiles: made };
}

/** The same message with every tile's first region changed. */
function changed(message: Answer, change: (region: Tile['out'][number]) => object) {
  const tiles = message.tiles.map((tile) => ({
    ...tile,
    out: tile.out.map((region, k) => (k === 0 ? { ...region, ...change(region) } : region)),
  }));
  return { ...message, tiles };
}

const other = (node: string): string => (node === 'node-1' ? 'node-2' : 'node-1');

describe('unrequested results change no prediction', () => {
  test.each<[string, (node: string, message: WorkMessage) => [from: string, message: unknown][]]>([
    ['from a node that there is not', (_, m) => [['ghost', answerTo(m, 'ghost')]]],
    ['from another node than was asked', (node, m) => [[other(node), answerTo(m, node)]]],
    ['in the name of central', (_, m) => [['central', answerTo(m, 'central')]]],
    ['of an old epoch', (node, m) => [[node, { ...answerTo(m, node), i_id: `1-${m.i_id.split('-')[1]}` }]]],
    ['of an epoch to come', (node, m) => [[node, { ...answerTo(m, node), i_id: '999999999999-1' }]]],
    ['of another plan', (node, m) => [[node, { ...answerTo(m, node), plan: 'p-ffffff' }]]],
    ['of another attempt', (node, m) => [[node, { ...answerTo(m, node), attempt: 77 }]]],
    ['of another stage', (node, m) => [[node, { ...answerTo(m, node), stage: 40 }]]],
    [
      'for frames that never were',
      (node, m) => [[node, { ...answerTo(m, node), i_id: `${m.i_id.split('-')[0]}-999999` }]],
    ],
    [
      'for tiles that no plan has',
      (node, m) => [
        [
          node,
          { ...answerTo(m, node), tiles: answerTo(m, node).tiles.map((tile) => ({ ...tile, t_id: tile.t_id + 4000 })) },
        ],
      ],
    ],
  ])('%s', async (_what, forge) => {
    onWork = (node, message) => {
      for (const [from, forged] of forge(node, message)) void send('result', from, forged);
    };
    for (let k = 0; k < 3; k++) await cluster.undisturbed();
    expect(work.length).toBeGreaterThan(0);
  });

  test('replays, at once and long after the frame has ended', async () => {
    await cluster.undisturbed();
    const kept = [...results];
    expect(kept.length).toBeGreaterThan(0);
    onWork = () => {
      for (const { node, message } of kept) void send('result', node, message);
    };
    await cluster.undisturbed();
    for (let k = 0; k < 100; k++) for (const { node, message } of kept) await send('result', node, message);
    await cluster.undisturbed();
  });
});

describe('forged results in the name of the requested node cost time only', () => {
  test.each<[string, (message: Answer) => unknown]>([
    ['another box', (m) => changed(m, ({ box }) => ({ box: box.map(([start, end]) => [start + 1, end + 1]) }))],
    ['a box of other axes', (m) => changed(m, () => ({ box: [[0, 1]], shape: [1] }))],
    ['another shape', (m) => changed(m, ({ shape }) => ({ shape: [...shape].reverse() }))],
    ['another dtype', (m) => changed(m, () => ({ dtype: 'int32' }))],
    ['too few bytes', (m) => changed(m, ({ d }) => ({ d: d.subarray(1) }))],
    ['too many bytes', (m) => changed(m, ({ d }) => ({ d: new Uint8Array(d.length + 1) }))],
    ['another tensor', (m) => changed(m, () => ({ tensor: 'toString' }))],
    ['no outputs', (m) => ({ ...m, tiles: m.tiles.map((tile) => ({ ...tile, out: [] })) })],
    ['an unknown codec', (m) => changed(m, () => ({ codec: { name: 'zip' } }))],
    [
      'errors of unknown codes',
      (m) => ({ ...m, tiles: m.tiles.map(({ t_id }) => ({ t_id, error: { code: 'x', text: '' } })) }),
    ],
    ['times that are no numbers', (m) => ({ ...m, queue_ms: Number.NaN })],
    ['negative times', (m) => ({ ...m, tiles: m.tiles.map((tile) => ({ ...tile, compute_ms: -5 })) })],
    ['sizes that are no numbers', (m) => changed(m, ({ shape }) => ({ shape: [...shape.slice(1), Number.NaN] }))],
    ['half a message', (m) => encode(m).subarray(0, 200)],
  ])('%s', async (_what, forge) => {
    onWork = (node, message) => {
      void send('result', node, forge(answerTo(message, node)));
    };
    await cluster.undisturbed();
    onWork = () => {};
    await cluster.undisturbed();
  });

  test('errors in the name of every requested node', async () => {
    onWork = (node, message) => {
      const error = { code: 'out-of-memory' as const, text: 'x'.repeat(1000) };
      const tiles = message.tiles.map(({ t_id }) => ({ t_id, error }));
      void send('result', node, { ...answerTo(message, node), tiles });
    };
    for (let k = 0; k < 5; k++) await cluster.undisturbed();
    onWork = () => {};
    await cluster.undisturbed();
  });
});

/** Announced nodes that do not exist. */
const GHOSTS = 300;

describe('forged messages about nodes', () => {
  const say = (node: string, leaf: string, payload: string | Uint8Array) =>
    cluster.bus.publish(`tessera/node/${node}/${leaf}`, payload, { qos: 1 });

  test('invalid infos, heartbeats and statuses do not stop the nodes', async () => {
    for (const payload of [
      '',
      '{}',
      'null',
      '[',
      '{"v":2}',
      '['.repeat(50_000),
      'x'.repeat(200_000),
      Uint8Array.of(0xff, 0xfe),
    ])
      for (const node of ['node-1', 'node-2', 'ghost']) {
        await say(node, 'heartbeat', payload);
        if (payload !== '') for (const leaf of ['info', 'status', 'else']) await say(node, leaf, payload);
      }
    const { nodes } = await cluster.undisturbed();
    expect(nodes).toEqual(expect.arrayContaining(['node-1', 'node-2']));
  });

  test('nodes that do not exist block no frame', async () => {
    const info = examplesOf('docs/protocol.md').find(({ schema }) => schema === 'info')!.value as object;
    for (let k = 0; k < GHOSTS; k++) {
      await say(`ghost-${k}`, 'info', JSON.stringify({ ...info, id: `ghost-${k}`, boot_id: `b${k}` }));
      await say(`ghost-${k}`, 'status', 'online');
      await send('control', `ghost-${k}`, { v, type: 'ready', plan: 'p-ffffff', boot_id: `b${k}` });
    }
    for (let k = 0; k < 3; k++) await cluster.undisturbed();
    for (let k = 0; k < GHOSTS; k++) await say(`ghost-${k}`, 'status', 'offline');
  });

  test('a non-existent node that claims to be ready gets work, never answers, and costs time only', async () => {
    const info = examplesOf('docs/protocol.md').find(({ schema }) => schema === 'info')!.value as object;
    const { plan } = await cluster.undisturbed();
    await say('ghost', 'info', JSON.stringify({ ...info, id: 'ghost', boot_id: 'b' }));
    await say('ghost', 'status', 'online');
    await send('control', 'ghost', { v, type: 'ready', plan, boot_id: 'b' });
    await cluster.undisturbed();
    await say('ghost', 'status', 'offline');
    await cluster.undisturbed();
  });

  test('control of unknown plans, and of kinds that only central sends', async () => {
    for (const message of [
      { v, type: 'ready', plan: 'p-ffffff', boot_id: 'x' },
      { v, type: 'ready', plan: 'x'.repeat(1024), boot_id: 'x' },
      { v, type: 'refused', plan: 'p-ffffff', code: 'x', text: 'y\n\u001b[2J'.repeat(50) },
      { v, type: 'release', plan: 'p-ffffff' },
      { v, type: 'cancel', i_id: '1-1', stage: 0, t_id: [0] },
      { v, type: 'measured', request: 0, ms: [1], others: 0 },
      { v, type: 'probed', request: 0, echoes: [{ bytes: 0, ms: [1] }], message_ms: 1 },
      { v, type: 'unmeasured', request: 0, code: 'x', text: 'y' },
      { v, type: 'probe', to: 'node-1', repeats: 1, request: 0 },
      { v, type: 'dance' },
      { v: 2, type: 'ready' },
    ])
      for (const from of ['node-1', 'ghost', 'central']) await send('control', from, message);
    await cluster.undisturbed();
  });

  test('messages on reserved topics, and in other forms on the wire', async () => {
    for (const topic of [
      'tessera/request/deploy',
      'tessera/response/x',
      'tessera/trace/x',
      'tessera/status/x',
      'tessera/plan/x',
    ])
      for (const payload of ['{', '{"transaction":1}', 'x'.repeat(100_000)]) await cluster.bus.publish(topic, payload);
    for (const topic of [
      'tessera-wire/1/central/dance/node-1',
      'tessera-wire/2/central/result/node-1',
      'tessera-wire/1/central/result',
      'tessera-wire/1/central/result/Ü',
    ])
      await cluster.bus.publish(topic, encode({ v }));
    await cluster.bus.publish('tessera-wire/1/central/result/node-1', encode({ v }), { retain: true }).catch(() => {});
    await cluster.undisturbed();
  });
});

test('only offered blobs are sent to requesters', async () => {
  const answers: BlobPartMessage[] = [];
  await cluster.bus.subscribe('tessera-wire/1/ghost/#', 1, ({ payload }) => {
    answers.push(decode(payload, blobPartMessage, 'part'));
  });
  const sha = 'a'.repeat(64);
  const request = 1;
  await send('blob-get', 'ghost', { v, request, ranges: [{ sha, offset: 0, length: 100 }] });
  for (const wrong of [
    { sha: '../../../etc/passwd', offset: 0, length: 100 },
    { sha, offset: -1, length: 100 },
    { sha, offset: 0, length: 0 },
    { sha, offset: 0.5, length: 1 },
    { sha: sha.toUpperCase(), offset: 0, length: 1 },
  ])
    await send('blob-get', 'ghost', { v, request, ranges: [wrong] });
  await send('blob-get', 'ghost', { v, request, got: -1 });
  await send('blob-get', 'ghost', { v, request, ranges: [{ sha, offset: 2 ** 53 - 1, length: 1 }] });
  await send('blob-get', 'ghost', { v, request, ranges: [{ sha, offset: 2 ** 53 - 1, length: 2 ** 53 - 1 }] });
  await expect.poll(() => answers.length).toBe(3);
  expect(answers).toEqual(Array(3).fill({ v, sha, error: 'no such piece' }));
  await cluster.undisturbed();
});

test('nodes do no work for other clients', async () => {
  const before = results.length;
  const one = {
    v,
    plan: 'p-ffffff',
    i_id: '1-1',
    stage: 0,
    attempt: 0,
    budget_ms: 5,
    tiles: [{ t_id: 0, in: [], out: [] }],
  };
  for (const node of ['node-1', 'node-2']) {
    await send('work', 'ghost', one, node);
    await send('control', 'ghost', { v, type: 'release', plan: (await cluster.undisturbed()).plan }, node);
    await send('work', 'ghost', Uint8Array.of(0xff), node);
    await send('blob-part', 'ghost', { v, sha: 'a'.repeat(64), size: 1, offset: 0, d: new Uint8Array(1) }, node);
    await send('echo', 'ghost', { v, type: 'pong', n: 0 }, node);
    await send('echo', 'ghost', { v, type: 'ping', n: -1, d: new Uint8Array(1) }, node);
  }
  // The scheduler chooses the nodes of a frame; before long both have taken part.
  const both = expect.arrayContaining(['node-1', 'node-2']);
  await expect.poll(async () => (await cluster.undisturbed()).nodes, { timeout: 30_000 }).toEqual(both);
  expect(results.slice(before).every(({ node }) => node === 'node-1' || node === 'node-2')).toBe(true);
});

test('it stops as usual, and has logged the faults in a few lines', async () => {
  const bytes = await cluster.residentBytes();
  log = await cluster.stop();
  expect(bytes).toBeLessThan(1e9);
  expect(log).not.toMatch(/TESSERA_INTERNAL|handler failed|\n {4}at /);
  expect(log).not.toContain('\u001b');
  // The forged messages came before the real ones, and were counted.
  expect(log).toMatch(/is not what was requested/);
  const faults = log.split('\n').filter((line) => / (warn|error) /.test(line));
  // The log has two lines of a node at most: on a slow machine it becomes silent before it goes offline.
  const ofGhosts = faults.filter((line) => /\bghost-\d+\b/.test(line));
  expect(ofGhosts.length).toBeLessThanOrEqual(2 * GHOSTS);
  expect(faults.length - ofGhosts.length).toBeLessThan(100);
});
