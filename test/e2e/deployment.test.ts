import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { RunningCli, runCli } from '../support/run-cli.ts';

/** Broker and agents as processes of their own: how they come in, and how they go. */

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

describe('an agent', () => {
  it('comes in with a join token under the name that the token was made for, and says goodbye when it is stopped', async () => {
    const { url, broker } = await startBroker('--invite', 'pi-1');
    const [, token] = await broker.printed(/^tessera agent --join (\S+)$/m);
    const bus = await connectBus({ url, clientId: 'test', log: silentLog });
    const said: string[] = [];
    await bus.subscribe(names.nodeStatus('pi-1'), 1, ({ payload }) => said.push(Buffer.from(payload).toString()));
    const agent = start(['agent', '--join', token!], 'agent');
    await agent.printed(/node pi-1 is online/);
    expect(await agent.stop('SIGTERM')).toMatchObject({ code: 0, stdout: '' });
    expect(said).toEqual(['online', 'offline']);
    await bus.stop();
  });

  it('does not take an id that another one has', async () => {
    const { url } = await startBroker();
    await start(['agent', '--broker', url, '--id', 'pi-1'], 'a').printed(/node pi-1 is online/);
    const second = await start(['agent', '--broker', url, '--id', 'pi-1'], 'b').ended();
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/error TESSERA_NODE_DUPLICATE: .*\nhint: /);
  });

  it('waits for a broker that starts later, as at power-on', async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as { port: number };
    probe.close();
    const agent = start(['agent', '--broker', `127.0.0.1:${port}`, '--id', 'pi-1'], 'agent');
    await agent.printed(/trying again/);
    start(['broker', '--listen', `127.0.0.1:${port}`], 'broker');
    await agent.printed(/node pi-1 is online/);
  });

  it('refuses a token for another name than its own, and one that is damaged', async () => {
    const { broker } = await startBroker('--invite', 'pi-1');
    const [, token] = await broker.printed(/^tessera agent --join (\S+)$/m);
    expect(await runCli(['agent', '--join', token!, '--id', 'pi-2'], { cwd })).toMatchObject({ code: 2 });
    const damaged = await runCli(['agent', '--join', `${token!.slice(0, 40)}`], { cwd });
    expect(damaged).toMatchObject({ code: 2 });
    expect(damaged.stderr).not.toContain(token!.slice(9, 40));
  });

  it('that another process of ours started leaves Ctrl-C to it, and ends when that process is gone', async () => {
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
