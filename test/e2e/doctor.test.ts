import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { startBroker } from '../../broker/broker.ts';
import type { BrokerOptions } from '../../broker/broker-options.ts';
import type { Identity } from '../../broker/policy.ts';
import type { Check } from '../../cli/doctor/check.ts';
import { silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';

/** `tessera doctor` against healthy and faulty deployments: users act on its findings. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-doctor-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the doctor; checks by their names, and the exit code. */
async function doctor(args: readonly string[], env: Record<string, string> = {}) {
  const ran = await runCli(['doctor', '--json', ...args], {
    cwd: folder,
    env: { STATE_DIRECTORY: join(folder, 'state'), ...env },
  });
  expect(ran.stderr).toBe('');
  const checks = ran.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Check);
  return { code: ran.code, checks, named: (name: string) => checks.find((check) => check.name === name) };
}

async function broker(options: Partial<BrokerOptions> = {}): Promise<string> {
  const running = await startBroker({
    listen: ['mqtt://127.0.0.1:0'],
    anonymous: 'loopback',
    log: silentLog,
    ...options,
  });
  onTestFinished(() => running.stop());
  return running.urls[0]!;
}

describe('tessera doctor', () => {
  it('finds nothing in a healthy deployment, and a frozen node at once', async () => {
    const env = { STATE_DIRECTORY: join(folder, 'up') };
    const up = new RunningCli(['up', '--nodes', '1', '--camera', 'none'], { env });
    onTestFinished(() => void up.child.kill('SIGKILL'));
    const [, url] = await up.printed(/broker: (mqtt:\S+)/);
    await up.printed(/waiting for frames/);
    const agent = new RunningCli(['agent', '--broker', url!, '--id', 'pi-1'], {
      env: { STATE_DIRECTORY: join(folder, 'agent') },
    });
    onTestFinished(() => void agent.child.kill('SIGKILL'));
    await agent.printed(/node pi-1 is online/);

    const well = await doctor(['--broker', url!]);
    expect(well.checks.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(well.code).toBe(0);
    for (const name of ['onnx runtime', 'pictures', 'broker', 'rights', 'round trip', 'packet size', 'retained'])
      expect(well.named(name), name).toMatchObject({ status: 'ok' });
    expect(well.named('central')).toMatchObject({ status: 'ok', text: expect.stringContaining('scenes') });
    for (const node of ['node-1', 'pi-1']) expect(well.named(`node ${node}`)?.text).toMatch(/MB free/);

    agent.child.kill('SIGSTOP');
    const hung = await doctor(['--broker', url!]);
    agent.child.kill('SIGCONT');
    expect(hung.code).toBe(1);
    expect(hung.named('node pi-1')).toMatchObject({ status: 'fail', text: expect.stringContaining('no heartbeat') });
    expect(hung.named('node node-1')?.status).not.toBe('fail');
    expect((await up.stop()).code).toBe(0);
  });

  it('reports that the given broker does not answer, and the checks that pass nevertheless', async () => {
    const { code, named } = await doctor(['--broker', 'mqtt://127.0.0.1:9']);
    expect(code).toBe(1);
    expect(named('broker')).toMatchObject({ status: 'fail', fix: expect.stringContaining('start the broker') });
    expect(named('onnx runtime')?.status).toBe('ok');
    expect((await doctor(['--local'])).code).toBe(0);
  });

  it('names every wrong value and continues', async () => {
    const { code, checks, named } = await doctor(['--local'], {
      TESSERA_LOG__LEVEL: 'loud',
      TESSERA_NODE__THREADS: '0',
    });
    expect(code).toBe(1);
    const wrong = checks.filter(({ area, status }) => area === 'configuration' && status === 'fail');
    expect(wrong.map(({ text }) => text).sort()).toEqual([
      expect.stringContaining('environment TESSERA_LOG__LEVEL: log.level'),
      expect.stringContaining('environment TESSERA_NODE__THREADS: node.threads'),
    ]);
    expect(named('onnx runtime')?.status).toBe('ok');
  });

  it('finds the packet limit of a broker to within a tenth, and warns when it is too small', async () => {
    const tight = await doctor(['--broker', await broker({ maximumPacketSize: 100_000 })]);
    expect(tight.code).toBe(1);
    expect(tight.named('packet size')).toMatchObject({ status: 'fail' });
    const passed = Number(/payloads of (\d+) bytes pass/.exec(tight.named('packet size')!.text)![1]);
    expect(passed).toBeGreaterThan(88_000);
    expect(passed).toBeLessThan(100_000);
    const enough = await doctor(['--broker', await broker({ maximumPacketSize: 400_000 })]);
    expect(enough.named('packet size')).toMatchObject({ status: 'warn' });
  });

  it('works with the rights of a node, of central and of a viewer, and names what it cannot check with them', async () => {
    const identities: Record<string, Identity> = {
      'pi-1': { role: 'node', name: 'pi-1' },
      central: { role: 'central', name: 'central' },
      'viewer-anna': { role: 'viewer', name: 'anna' },
    };
    const credentials = { verify: (user: string) => identities[user] };
    const url = await broker({ credentials });
    const as = (user: string) => doctor(['--broker', url, '--user', user], { TESSERA_MQTT__PASSWORD: 'x' });
    const node = await as('pi-1');
    expect(node.named('rights')).toMatchObject({ status: 'ok', text: expect.stringContaining('node pi-1') });
    expect(node.named('round trip')?.status).toBe('ok');
    expect(node.named('nodes')).toMatchObject({ status: 'skip' });
    expect(node.named('central')).toMatchObject({ status: 'fail' });
    const central = await as('central');
    expect(central.named('rights')?.status).toBe('ok');
    expect(central.named('retained')?.status).toBe('ok');
    const viewer = await as('viewer-anna');
    expect(viewer.named('rights')?.status).toBe('ok');
    expect(viewer.named('packet size')?.status).toBe('skip');
    expect(viewer.named('central')?.status).toBe('fail');
    const stranger = await as('nobody-known');
    expect(stranger.named('broker')).toMatchObject({ status: 'fail', text: expect.stringContaining('password') });
  });

  it('checks the deployment that this machine joined, with its identity as a node', async () => {
    const env = { STATE_DIRECTORY: join(folder, 'broker') };
    const inviting = new RunningCli(['broker', '--listen', '127.0.0.1:0', '--invite', 'pi-7', '--invite-file', '-'], {
      env,
    });
    onTestFinished(() => void inviting.child.kill('SIGKILL'));
    const [, url] = await inviting.printed(/broker: (mqtt:\S+)/);
    // Stands in for central's key, which inviting a node requires.
    const bus = await connectBus({ url: url!, clientId: 'test', log: silentLog });
    const { publicKey } = await openSigningKey(folder);
    await bus.publish(topics('tessera').centralKey('central'), publicKey, { qos: 1, retain: true });
    await bus.stop();
    const [, token] = await inviting.printed(/agent --join (\S+)/);
    const member = { STATE_DIRECTORY: join(folder, 'member') };
    const agent = new RunningCli(['agent', '--join', token!], { env: member });
    onTestFinished(() => void agent.child.kill('SIGKILL'));
    await agent.printed(/node pi-7 is online/);
    const { checks, named } = await doctor([], member);
    expect(named('rights')).toMatchObject({ status: 'ok', text: expect.stringContaining('node pi-7') });
    expect(named('secrets')?.status).toBe('ok');
    expect(checks.filter(({ status }) => status === 'fail').map(({ name }) => name)).toEqual(['central']);
    await agent.stop();
    await inviting.stop();
  });

  it('leaves no retained message behind', async () => {
    const mosquitto = await startMosquitto();
    const url = mosquitto?.url ?? (await broker());
    onTestFinished(() => mosquitto?.stop());
    await doctor(['--broker', url]);
    const bus = await connectBus({ url, clientId: 'test', log: silentLog });
    const kept: string[] = [];
    await bus.subscribe('#', 1, ({ topic, retained }) => void (retained && kept.push(topic)));
    // Retained messages come before the acknowledgement of a message that was sent after the subscription.
    await bus.publish('marker', '', { qos: 1 });
    await bus.stop();
    expect(kept.filter((topic) => !topic.startsWith('$SYS'))).toEqual([]);
  });
});

describe('tessera doctor at Mosquitto', () => {
  it('names set_tcp_nodelay where it is off', async ({ skip }) => {
    const mosquitto = await startMosquitto({ extra: ['set_tcp_nodelay false'] });
    if (mosquitto === undefined) return skip(NO_MOSQUITTO);
    onTestFinished(() => mosquitto.stop());
    const check = (await doctor(['--broker', mosquitto.url])).named('round trip')!;
    // Systems without delayed acknowledgements hide it.
    if (check.status === 'ok') return skip(`this system does not hold packets back: ${check.text}`);
    expect(check).toMatchObject({ status: 'warn', fix: expect.stringContaining('set_tcp_nodelay true') });
  });

  it('finds its packet limit and that it keeps nothing', async ({ skip }) => {
    const mosquitto = await startMosquitto({ extra: ['max_packet_size 100000', 'retain_available false'] });
    if (mosquitto === undefined) return skip(NO_MOSQUITTO);
    onTestFinished(() => mosquitto.stop());
    const { code, named } = await doctor(['--broker', mosquitto.url]);
    expect(code).toBe(1);
    expect(named('packet size')).toMatchObject({ status: 'fail' });
    expect(named('retained')).toMatchObject({ status: 'fail' });
    expect(named('broker')?.text).toContain('MQTT 5');
  });
});
