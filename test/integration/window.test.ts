import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../broker/broker.ts';
import { apiFrame, apiHealth, apiLog, apiSession, apiSettings, apiState } from '../../central/http/api.ts';
import { Window } from '../../central/http/window.ts';
import { silentLog } from '../../shared/ports.ts';
import { traceAnswer } from '../../shared/protocol/messages/requests.ts';
import { frameTrace } from '../../shared/protocol/messages/trace.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encode } from '../../shared/runtime/cbor.ts';
import { pictureSize } from '../../shared/runtime/image.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import { GUARDED_BROKERS, PASSWORD, type User } from '../support/guarded-broker.ts';
import { inbox } from '../support/inbox.ts';
import { MemoryBroker } from '../support/memory-bus.ts';
import { RunningUp } from '../support/running-up.ts';

/** The window of a running cluster over HTTP, and who may look. */

describe('the window of `tessera up`', () => {
  let up: RunningUp;
  let url: string;
  beforeAll(async () => {
    up = await RunningUp.start();
    [, url] = (await up.up.printed(/window: (http:\S+)/)) as unknown as [string, string];
  });
  afterAll(() => up.stop());
  const read = async (path: string): Promise<unknown> => (await fetch(url + path)).json();
  const set = (change: object, headers = {}): Promise<Response> =>
    fetch(`${url}/api/v1/settings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(change),
    });

  test('has state, frames with pictures, settings and log in the documented form', async () => {
    await up.frame('front', up.scene);
    const state = apiState.parse(await read('/api/v1/state'));
    expect(state).toMatchObject({
      central: { phase: 'active', broker_connected: true },
      cameras: { front: { status: 'online' } },
      models: { scenes: { state: 'served' } },
      nodes: { 'node-1': { presence: 'online' }, 'node-2': { presence: 'online' }, central: { info: null } },
      plans: { scenes: [{ stages: [{ split: 'tiles 4x4 zero' }, { split: 'whole' }] }] },
    });
    const frame = apiFrame.parse(await read('/api/v1/frames/front'));
    expect(frame.trace.filter(({ stage, used }) => stage === 0 && used)).toHaveLength(16);
    const picture = await fetch(`${url}/api/v1/frames/front/${frame.result.id}/picture`);
    expect(picture.headers.get('content-type')).toBe('image/jpeg');
    expect(await pictureSize(new Uint8Array(await picture.arrayBuffer()))).toEqual({ width: 640, height: 480 });
    apiLog.parse(await read('/api/v1/log'));
    expect(apiSession.parse(await read('/api/v1/session'))).toMatchObject({ login: false, role: 'admin' });
    for (const path of ['/api/v1/frames/nobody', '/api/v1/frames/front/9-9/picture', '/api/v2', '/page/../window.ts'])
      expect((await fetch(url + path)).status, path).toBe(404);
    expect((await fetch(`${url}/api/v1/state`, { method: 'DELETE' })).status).toBe(405);
  });

  test('answers health checks, and metrics that promtool accepts', async () => {
    const health = await fetch(`${url}/healthz`);
    expect([health.status, apiHealth.parse(await health.json())]).toEqual([
      200,
      { ok: true, phase: 'active', problems: [] },
    ]);
    const metrics = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
    // A node's load comes with its heartbeat.
    await expect.poll(metrics, { timeout: 10_000 }).toMatch(/\ntessera_node_cpu_usage_ratio\{node="node-1"\} /);
    const text = await metrics();
    expect(text).toMatch(/\ntessera_frames_total\{camera="good",outcome="ok"\} [1-9]/);
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    if (checked.error === undefined) expect(checked.stdout + checked.stderr).toBe('');
    else console.log('promtool is not installed (Debian package prometheus): metrics are not checked by it');
  });

  test('changes settings of cameras and models that exist, for programs and its own page only', async () => {
    await up.frame('side', up.scene);
    const answer = await set({ camera: 'side', setting: 'max_fps', value: '0.001' });
    expect(apiSettings.parse(await answer.json()).cameras.side).toMatchObject({ max_fps: '0.001', detect: 'ON' });
    await up.frame('side', up.scene);
    await up.bus.publish('tessera/input/side', up.scene, { qos: 1 });
    await up.skipped({ side: { 'rate-limit': 1 } });
    expect(apiState.parse(await read('/api/v1/state')).cameras.side?.status).toBe('online');
    for (const [change, status] of [
      [{ camera: 'nobody', setting: 'detect', value: 'OFF' }, 400],
      [{ camera: 'side', setting: 'model', value: 'nothing' }, 400],
      [{ camera: 'side', setting: 'max_fps', value: '-1' }, 400],
      [{ camera: 'side', setting: 'constructor', value: 'ON' }, 400],
      [{ camera: 'side' }, 400],
      [{ camera: 'side', setting: 'model', value: 'x'.repeat(5000) }, 413],
    ] as const)
      expect((await set(change)).status).toBe(status);
    const fine = { camera: 'side', setting: 'max_fps', value: '0' };
    expect((await set(fine, { origin: 'http://evil.example' })).status).toBe(403);
    expect((await set(fine, { 'content-type': 'text/plain' })).status).toBe(415);
  });

  test('where the time of a frame went is published for whoever asks, with its trace context', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const traces = await inbox(up.bus, 'tessera/trace/#');
    const asked = { camera: 'front', frames: 1 };
    const answer = await askRequest(up.bus, topics(), 'trace', asked, traceAnswer);
    expect(answer).toEqual({ topic: 'tessera/trace/front' });
    const frame = encode({ v: 1, format: 'jpeg', d: up.scene, traceparent });
    const { id, traceparent: passed } = await up.frame('front', frame);
    expect(passed).toBe(traceparent);
    const trace = frameTrace.parse(JSON.parse(await traces.text()));
    expect(trace).toMatchObject({ id, camera: 'front', status: 'ok', traceparent });
    expect(new Set(trace.spans.map(({ kind }) => kind))).toEqual(
      new Set(['wait', 'decode', 'travel', 'compute', 'paste', 'tail']),
    );
    expect(trace.spans.some(({ node }) => /^node-\d$/.test(node))).toBe(true);
    const nobody = askRequest(up.bus, topics(), 'trace', { camera: 'nobody' }, traceAnswer);
    await expect(nobody).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
  });

  test('sends events: a node that is killed is seen, and what central says about it', async () => {
    const aborted = new AbortController();
    onTestFinished(() => aborted.abort());
    const stream = await fetch(`${url}/api/v1/events`, { signal: aborted.signal });
    const { nodes } = apiState.parse(await read('/api/v1/state'));
    expect(nodes['node-2']?.presence).toBe('online');
    const seen = new Set<string>();
    await up.killNode('node-2');
    let text = '';
    for await (const chunk of stream.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event)!;
        if (name === 'log' && /node-2/.test(data!)) seen.add('log');
        if (name !== 'state') continue;
        if (apiState.parse(JSON.parse(data!)).nodes['node-2']?.presence === 'offline') seen.add('state');
      }
      if (seen.size === 2) break;
    }
    expect([...seen].sort()).toEqual(['log', 'state']);
  });
});

describe.each(GUARDED_BROKERS)('logins with $name', ({ start }) => {
  test('are those of its viewers and admins', async ({ skip }) => {
    const broker = await start([
      { role: 'central', name: 'central' },
      { role: 'viewer', name: 'anna' },
      { role: 'admin', name: 'bo' },
      { role: 'camera', name: 'front' },
    ]);
    if (broker === undefined) return skip('Mosquitto is not installed');
    onTestFinished(() => void broker.stop());
    // Central has to log in at the broker, and so does whoever looks.
    const bus = { url: broker.url, user: 'central', password: PASSWORD };
    const window = await Window.open({ host: '127.0.0.1', ports: [0] }, bus, 'tessera');
    onTestFinished(() => window.stop());
    const login = (user: string, password = PASSWORD): Promise<Response> =>
      fetch(`${window.url}/api/v1/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ user, password }),
      });
    const session = async (headers: Record<string, string> = {}) =>
      apiSession.parse(await (await fetch(`${window.url}/api/v1/session`, { headers })).json());
    expect(await session()).toEqual({ v: 1, login: true, user: null, role: null });
    for (const path of ['/api/v1/state', '/metrics', '/api/v1/events', '/api/v1/log', '/api/v1/settings'])
      expect((await fetch(window.url + path)).status, path).toBe(401);
    expect((await fetch(window.url)).status).toBe(200);
    expect((await login('viewer-anna', 'wrong')).status).toBe(401);
    expect((await login('camera-front')).status).toBe(401);
    const answer = await login('viewer-anna');
    const { token } = (await answer.json()) as { token: string };
    const cookie = answer.headers.get('set-cookie')!;
    expect(cookie).toMatch(/^tessera-session=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/; Max-Age=43200$/);
    expect(await session({ cookie: cookie.split(';')[0]! })).toMatchObject({ user: 'viewer-anna', role: 'viewer' });
    expect(await session({ authorization: `Bearer ${token}` })).toMatchObject({ role: 'viewer' });
    const basic = `Basic ${Buffer.from(`admin-bo:${PASSWORD}`).toString('base64')}`;
    expect(await session({ authorization: basic })).toMatchObject({ user: 'admin-bo', role: 'admin' });
    const change = { method: 'POST', body: '{"camera":"front","setting":"detect","value":"OFF"}' };
    const json = { 'content-type': 'application/json' };
    const as = async (headers: Record<string, string>) =>
      (await fetch(`${window.url}/api/v1/settings`, { ...change, headers: { ...json, ...headers } })).status;
    expect(await as({ authorization: `Bearer ${token}` })).toBe(403);
    // No central is there whose settings the admin could change.
    expect(await as({ authorization: basic })).toBe(503);
    await fetch(`${window.url}/api/v1/logout`, { method: 'POST', headers: { cookie: cookie.split(';')[0]! } });
    expect(await session({ authorization: `Bearer ${token}` })).toMatchObject({ role: null });
  });
});

test('what a user listens to ends with a logout, and when the broker no longer knows them', async () => {
  const users = new Map<string, User>([
    ['viewer-anna', { role: 'viewer', name: 'anna' }],
    ['admin-bo', { role: 'admin', name: 'bo' }],
  ]);
  const verify = (user: string, password: string) => (password === PASSWORD ? users.get(user) : undefined);
  const listen = ['mqtt://127.0.0.1:0'];
  const broker = await startBroker({ listen, anonymous: 'loopback', credentials: { verify }, log: silentLog });
  onTestFinished(() => broker.stop());
  const bus = { url: broker.urls[0]!, user: 'admin-bo', password: PASSWORD };
  const window = await Window.open({ host: '127.0.0.1', ports: [0] }, bus, 'tessera');
  onTestFinished(() => window.stop());
  window.watch({
    id: 'attic',
    phase: () => 'standby',
    nodes: { nodes: new Map() },
    bus: new MemoryBroker().bus(),
    wire: {
      counters: { sent: 0, sent_bytes: 0, received: 0, received_bytes: 0, invalid: 0, unhandled: 0, dropped: 0 },
    },
    journal: { whenWritten: () => undefined },
    models: new Map(),
    refused: new Map(),
  });
  const enter = async () => {
    const answer = await fetch(`${window.url}/api/v1/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'viewer-anna', password: PASSWORD }),
    });
    const { token } = (await answer.json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    const { body } = await fetch(`${window.url}/api/v1/events`, { headers });
    const ended = (async () => {
      for await (const _ of body!);
    })().catch(() => {});
    return { headers, ended };
  };
  const status = async (headers: Record<string, string>) =>
    (await fetch(`${window.url}/api/v1/events`, { headers })).status;
  const { headers, ended } = await enter();
  const other = await enter();
  await fetch(`${window.url}/api/v1/logout`, { method: 'POST', headers });
  await ended;
  expect(await status(headers)).toBe(401);
  expect((await fetch(`${window.url}/api/v1/state`, { headers: other.headers })).status).toBe(200);
  users.delete('viewer-anna');
  broker.expel('viewer-anna');
  await other.ended;
  expect(await status(other.headers)).toBe(401);
});

test('a broker that lets anybody in: no window beyond this machine', async () => {
  const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  onTestFinished(() => broker.stop());
  await expect(Window.open({ host: '0.0.0.0', ports: [0] }, { url: broker.urls[0]! }, 'tessera')).rejects.toMatchObject(
    {
      code: 'TESSERA_CONFIG',
      message: expect.stringContaining('lets anybody in'),
    },
  );
});
