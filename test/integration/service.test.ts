import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLI } from '../../bench/testbed/run-cli.ts';
import { startBroker } from '../../broker/broker.ts';
import { silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/** If it fails, systemd kills services that wait for their broker, or that are well. */

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-service-'));
  // What a service says to systemd, a line each.
  await writeFile(join(folder, 'systemd-notify'), '#!/bin/sh\necho "$1" >> "$NOTIFY_SOCKET"\n');
  await chmod(join(folder, 'systemd-notify'), 0o755);
});
afterEach(() => rm(folder, { recursive: true }));

const said = async (): Promise<string[]> =>
  (await readFile(join(folder, 'said'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

function startService(...words: readonly string[]) {
  const env = {
    ...process.env,
    PATH: `${folder}:${process.env.PATH}`,
    NOTIFY_SOCKET: join(folder, 'said'),
    WATCHDOG_USEC: '1500000',
    STATE_DIRECTORY: join(folder, 'state'),
  };
  return spawn(process.execPath, [CLI, ...words], { env, stdio: 'ignore' });
}

describe('a service', () => {
  it('runs as soon as it is started, feeds the watchdog with and without its broker, and says that it stops', async () => {
    const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    const url = broker.urls[0]!;
    await broker.stop();
    const service = startService('agent', '--broker', url, '--id', 'served');
    await expect.poll(said).toContain('WATCHDOG=1');
    expect((await said())[0]).toBe('READY=1');

    const again = await startBroker({ listen: [url], anonymous: 'loopback', log: silentLog });
    const bus = await connectBus({ url, clientId: 'watcher', log: silentLog });
    await new Promise<void>((resolve) => {
      void bus.subscribe('tessera/node/served/status', 1, ({ payload }) => {
        if (Buffer.from(payload).toString() === 'online') resolve();
      });
    });
    const before = (await said()).length;
    await expect.poll(async () => (await said()).length).toBeGreaterThan(before + 1);
    service.kill();
    await once(service, 'exit');
    await bus.stop();
    await again.stop();
    expect((await said()).at(-1)).toBe('STOPPING=1');
  });
});
