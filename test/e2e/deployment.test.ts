import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../bench/testbed/mosquitto.ts';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { examplesOf } from '../support/examples.ts';
import { heavyNetwork, tinyNetwork } from '../support/tiny-network.ts';

/** Broker and agents as separate processes: how agents enrol, connect and stop. */

const names = topics('tessera');
let cwd: string;
const running: RunningCli[] = [];

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tessera-deployment-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  await rm(cwd, { recursive: true });
});

function start(args: readonly string[], state: string): RunningCli {
  const cli = new RunningCli(args, { cwd, env: { STATE_DIRECTORY: join(cwd, state) } });
  running.push(cli);
  return cli;
}

async function startBroker(...args: string[]): Promise<{ url: string; broker: RunningCli }> {
  const broker = start(['broker', '--listen', '127.0.0.1:0', ...args], 'broker');
  const [, url] = await broker.printed(/broker: (mqtt:\S+)/);
  return { url: url!, broker };
}

/** Stands in for central's key, which inviting a node requires. */
async function asCentral(url: string): Promise<Bus> {
  const bus = await connectBus({ url, clientId: 'test', log: silentLog });
  const { publicKey } = await openSigningKey(cwd);
  await bus.publish(names.centralKey('central'), publicKey, { qos: 1, retain: true });
  return bus;
}

describe('an agent', () => {
  it('joins by a token under the name of the token, and publishes offline when it is stopped', async () => {
    const { url, broker } = await startBroker('--invite', 'pi-1', '--invite-file', '-');
    const bus = await asCentral(url);
    const [, token] = await broker.printed(/^node dist\/cli\/main.js agent --join (\S+)$/m);
    const said: string[] = [];
    await bus.subscribe(names.nodeStatus('pi-1'), 1, ({ payload }) => said.push(Buffer.from(payload).toString()));
    const agent = start(['agent', '--join', token!], 'agent');
    await agent.printed(/node pi-1 is online/);
    expect(await agent.stop('SIGTERM')).toMatchObject({ code: 0, stdout: '' });
    expect(said).toEqual(['online', 'offline']);
    await bus.stop();
  });

  it('does not use the id of another online agent', async () => {
    const { url } = await startBroker();
    await start(['agent', '--broker', url, '--id', 'pi-1'], 'a').printed(/node pi-1 is online/);
    const second = await start(['agent', '--broker', url, '--id', 'pi-1'], 'b').ended();
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/error TESSERA_NODE_DUPLICATE: .*\nhint: /);
  });

  it('waits for a broker that starts later, as after a power failure', async () => {
    const port = await freePort();
    const agent = start(['agent', '--broker', `127.0.0.1:${port}`, '--id', 'pi-1'], 'agent');
    await agent.printed(/trying again/);
    start(['broker', '--listen', `127.0.0.1:${port}`], 'broker');
    await agent.printed(/node pi-1 is online/);
  });

  it('refuses a token for another name than its own, and one that is damaged', async () => {
    const { url, broker } = await startBroker('--invite', 'pi-1', '--invite-file', '-');
    const bus = await asCentral(url);
    const [, token] = await broker.printed(/^node dist\/cli\/main.js agent --join (\S+)$/m);
    await bus.stop();
    expect(await runCli(['agent', '--join', token!, '--id', 'pi-2'], { cwd })).toMatchObject({ code: 2 });
    const damaged = await runCli(['agent', '--join', `${token!.slice(0, 40)}`], { cwd });
    expect(damaged).toMatchObject({ code: 2 });
    expect(damaged.stderr).not.toContain(token!.slice(9, 40));
  });

  it('that another Tessera process started ignores Ctrl-C, and ends when that process ends', async () => {
    const { url } = await startBroker();
    const bus = await connectBus({ url, clientId: 'test', log: silentLog });
    const online = new Promise<void>((resolve) => {
      void bus.subscribe(names.nodeStatus('pi-1'), 1, ({ payload }) => {
        if (Buffer.from(payload).toString() === 'online') resolve();
      });
    });
    const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const child = fork(main, ['agent', '--broker', url, '--id', 'pi-1'], {
      cwd,
      env: { ...process.env, STATE_DIRECTORY: join(cwd, 'agent') },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    await online;
    await bus.stop();
    child.kill('SIGINT');
    expect((await runCli(['nodes', '--json', '--broker', url], { cwd })).stdout).toContain('"online":true');
    child.disconnect();
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
  });
});

describe('a deployment of single processes', () => {
  it('has a plan for the nodes that were online before central started, in place of --nodes', async () => {
    const { url } = await startBroker();
    await mkdir(join(cwd, 'models'));
    await writeFile(join(cwd, 'models', 'heavy.onnx'), writeModel(heavyNetwork()));
    const bus = await connectBus({ url, clientId: 'test', log: silentLog });
    const info = examplesOf('docs/protocol.md').find(({ schema }) => schema === 'info')!.value as object;
    for (const id of ['pi-1', 'pi-2', 'pi-3', 'pi-4']) {
      await bus.publish(names.nodeInfo(id), JSON.stringify({ ...info, id }), { qos: 1, retain: true });
      await bus.publish(names.nodeStatus(id), 'online', { qos: 1, retain: true });
    }
    const central = start(['central', '--broker', url, '--model', 'heavy', '--nodes', '1'], 'central');
    await central.printed(/model heavy: 2x2 tiles/);
    await bus.stop();
  });

  it('processes a picture from publish to watch, and reports when central is gone', async () => {
    const { url } = await startBroker();
    await mkdir(join(cwd, 'models'));
    await writeFile(join(cwd, 'models', 'tiny.onnx'), writeModel(tinyNetwork()));
    await writeFile(join(cwd, 'grey.jpg'), await encodeJpeg(new Uint8Array(40 * 40 * 3).fill(120), 40, 40, 90));
    const central = start(['central', '--broker', url, '--model', 'tiny', '--nodes', '2', '--grid', '2x2'], 'central');
    for (const id of ['pi-1', 'pi-2']) {
      const agent = start(['agent', '--broker', url, '--id', id], id);
      await agent.printed(/ready for plan/);
    }
    await central.printed(/central is online/);
    const watch = start(['watch', '--broker', url, '--json', '--last', '--frames', '1'], 'watch');
    const sent = await runCli(['publish', 'front', 'grey.jpg', '--wait', '--json', '--broker', url], { cwd });
    expect(sent.code).toBe(0);
    const result = JSON.parse(sent.stdout) as ResultObject;
    expect(result).toMatchObject({ camera: 'front', model: 'tiny', status: 'ok', width: 40, height: 40 });
    const byNodes = Object.entries(result.tiles_per_node).filter(([id]) => id.startsWith('pi-'));
    expect(byNodes.reduce((sum, [, tiles]) => sum + tiles, 0)).toBe(4);
    expect(JSON.parse((await watch.ended()).stdout)).toEqual(result);

    expect((await central.stop()).code).toBe(0);
    const lost = await runCli(['publish', 'front', 'grey.jpg', '--wait', '--timeout', '1', '--broker', url], { cwd });
    expect(lost).toMatchObject({ code: 1, stdout: '' });
    expect(lost.stderr).toMatch(/error TESSERA_DEADLINE: /);
  });
});
