import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { atFreePort } from '../../cli/listen.ts';
import { TesseraError } from '../../shared/errors.ts';

async function listening(port: number): Promise<Server> {
  const server = createServer();
  onTestFinished(() => void server.close());
  server.listen({ host: '127.0.0.1', port, exclusive: true });
  await once(server, 'listening').catch((cause: Error) => {
    throw new TesseraError('TESSERA_BROKER', 'already in use', { cause });
  });
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

test('who meets a port that another program has just taken chooses again', async () => {
  const taken = portOf(await listening(0));
  const ports = [taken, taken, 0];
  const own = await atFreePort(() => listening(ports.shift()!));
  expect(portOf(own)).not.toBe(taken);
  expect(ports).toEqual([]);
});

test('a port that stays taken, and any other fault, end the attempts', async () => {
  const taken = portOf(await listening(0));
  await expect(atFreePort(() => listening(taken))).rejects.toThrow('already in use');
  let calls = 0;
  const failing = async (): Promise<void> => {
    calls++;
    throw new TesseraError('TESSERA_STORAGE', 'the disk is full');
  };
  await expect(atFreePort(failing)).rejects.toThrow('the disk is full');
  expect(calls).toBe(1);
});
