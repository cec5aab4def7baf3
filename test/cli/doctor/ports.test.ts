import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { lookAtPorts, ownerOf, whatSpeaks } from '../../../cli/doctor/look-at-ports.ts';
import { judgePorts, type PortFacts } from '../../../cli/doctor/ports.ts';

const facts: PortFacts = {
  address: 'mqtt://127.0.0.1:1883',
  host: '127.0.0.1',
  port: 1883,
  speaker: 'mqtt-5',
  owner: undefined,
};
const judge = (port: Partial<PortFacts>, serverPort?: number) => judgePorts([{ ...facts, ...port }], serverPort)[0]!;

describe('the port of the broker', () => {
  it('that is free, or has a Tessera broker, is fine', () => {
    expect(judge({ speaker: 'nobody' }).status).toBe('ok');
    const owner = { pid: 7, command: '/usr/bin/node /opt/tessera/dist/cli/main.js broker' };
    expect(judge({ speaker: 'mqtt-3', owner })).toMatchObject({
      status: 'ok',
      text: expect.stringContaining('tessera broker (process 7)'),
    });
  });

  it('that another broker uses is fine if it is the configured one, otherwise a conflict', () => {
    const owner = { pid: 9, command: '/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf' };
    expect(judge({ owner }, 1883)).toMatchObject({
      status: 'ok',
      text: expect.stringContaining('mosquitto (process 9)'),
    });
    expect(judge({ owner })).toMatchObject({ status: 'warn', fix: expect.stringContaining('--broker') });
  });

  it('that another program uses is a conflict', () => {
    expect(judge({ speaker: 'other' })).toMatchObject({ status: 'warn', fix: expect.stringContaining('1884') });
  });
});

describe('the program that listens on a port', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  const serve = async (answer: readonly number[] | 'silence' | 'hang up'): Promise<number> => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      if (answer === 'hang up') socket.destroy();
      else if (answer !== 'silence') socket.once('data', () => socket.end(Buffer.from(answer)));
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as { port: number }).port;
  };

  it('is recognised by its answer to MQTT 5', async () => {
    expect(await whatSpeaks('127.0.0.1', await serve([0x20, 3, 0, 132, 0]))).toBe('mqtt-3');
    expect(await whatSpeaks('127.0.0.1', await serve([0x20, 3, 0, 0, 0]))).toBe('mqtt-5');
    expect(await whatSpeaks('127.0.0.1', await serve([0x48, 0x54, 0x54, 0x50]))).toBe('other');
    expect(await whatSpeaks('127.0.0.1', await serve('hang up'))).toBe('other');
    expect(await whatSpeaks('127.0.0.1', await serve('silence'))).toBe('other');
  });

  it.skipIf(process.platform !== 'linux')('is found by its process on Linux', async () => {
    const port = await serve('silence');
    expect(await ownerOf(port)).toMatchObject({ pid: process.pid });
    expect(await lookAtPorts([`mqtt://127.0.0.1:${port}`, 'mqtt://127.0.0.1:0'])).toMatchObject([
      { port, speaker: 'other' },
    ]);
  });
});
