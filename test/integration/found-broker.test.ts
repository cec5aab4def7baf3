import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Network, removeNamespaces } from '../../bench/testbed/namespaces.ts';
import { RunningCli } from '../../bench/testbed/run-cli.ts';
import { makeJoinToken, readJoinToken } from '../../shared/config/join.ts';

/** If it fails, nodes are lost when their broker's machine gets another address. */

const RUN = `found${process.pid}`;
const missing =
  process.getuid?.() !== 0 || spawnSync('ip', ['-V']).status !== 0
    ? 'no root with ip'
    : spawnSync('ip', ['netns', 'add', `${RUN}-probe`]).status !== 0
      ? 'no network namespaces'
      : undefined;
const folder = mkdtempSync(join(tmpdir(), 'tessera-found-'));
let network: Network;
const running: RunningCli[] = [];

/** A command on a device of the network, with a state of its own. */
function at(device: string, ...words: readonly string[]): RunningCli {
  const cli = new RunningCli(words, {
    under: ['ip', 'netns', 'exec', network.namespace(device)],
    env: { STATE_DIRECTORY: join(folder, device) },
  });
  running.push(cli);
  return cli;
}

/** A cluster on a device, and a token for pi-1. */
async function cluster(device: string): Promise<{ readonly broker: RunningCli; readonly token: string }> {
  const broker = at(device, 'broker', '--listen', '0.0.0.0', '--invite', 'pi-1', '--invite-file', '-');
  await broker.printed(/broker: /);
  await at(device, 'central').printed(/central is online/);
  const [, token] = await broker.printed(/--join (\S+)/);
  await broker.printed(/is announced in the local network/);
  return { broker, token: token! };
}

beforeAll(async () => {
  if (missing !== undefined) return;
  network = await Network.open(RUN);
  for (const device of ['desk', 'stranger', 'pi']) await network.attach(device, undefined);
});
afterAll(async () => {
  await Promise.all(running.map((cli) => cli.stop()));
  if (missing === undefined) await removeNamespaces(RUN);
  rmSync(folder, { recursive: true });
});

describe.skipIf(missing !== undefined)(`a broker${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  it('is found where it is now, beside that of strangers, and at its last good address without multicast DNS', async () => {
    const [{ broker, token }] = await Promise.all([cluster('desk'), cluster('stranger')]);
    // The machine had another address when the token was made.
    const stale = makeJoinToken({ ...readJoinToken(token), server: 'mqtt://10.77.0.99:1883' });
    const agent = at('pi', 'agent', '--join', stale);
    await agent.printed(/node pi-1 is online at mqtt:\/\/10\.77\.0\.1:1883/);
    expect(JSON.parse(readFileSync(join(folder, 'pi/found-broker.json'), 'utf8'))).toMatchObject({
      server: 'mqtt://10.77.0.1:1883',
    });
    await agent.stop();
    await broker.stop();
    const silent = new RunningCli(['broker', '--listen', '0.0.0.0'], {
      under: ['ip', 'netns', 'exec', network.namespace('desk')],
      env: { STATE_DIRECTORY: join(folder, 'desk'), TESSERA_MDNS: 'false' },
    });
    running.push(silent);
    await silent.printed(/broker: /);
    await at('pi', 'agent').printed(/node pi-1 is online at mqtt:\/\/10\.77\.0\.1:1883/);
  });
});
