import { readdir, readFile, readlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { parseListen } from '../../broker/listen.ts';
import type { PortFacts, Speaker } from './ports.ts';

const ANSWER_MS = 1500;

/** CONNECT of MQTT 5 (section 3.1): clean start, keep-alive 10 s, no properties, a client id of the broker's choice. */
const CONNECT = Buffer.from([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 10, 0, 0, 0]);
/** CONNACK reason "unsupported protocol version" (section 3.2.2.2), and the return code of MQTT 3.1.1 that means it. */
const UNSUPPORTED = [0x84, 0x01];

/** Finds the owners of the addresses that `tessera broker` would listen on; free ports (0) are skipped. */
export async function lookAtPorts(listen: readonly string[]): Promise<PortFacts[]> {
  const addresses = listen.map((address) => ({ address, ...parseListen(address) })).filter(({ port }) => port !== 0);
  return Promise.all(
    addresses.map(async ({ address, host, port }) => {
      const speaker = await whatSpeaks(host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port);
      return { address, host, port, speaker, owner: speaker === 'nobody' ? undefined : await ownerOf(port) };
    }),
  );
}

/** Sends a CONNECT of MQTT 5 to a port, and closes the connection at the first answer. */
export function whatSpeaks(host: string, port: number): Promise<Speaker> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    let connected = false;
    const done = (speaker: Speaker): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(speaker);
    };
    const timer = setTimeout(() => done(connected ? 'other' : 'nobody'), ANSWER_MS);
    socket.once('connect', () => {
      connected = true;
      socket.write(CONNECT);
    });
    socket.once('data', ([type, , , reason]) => {
      if (type !== 0x20) done('other');
      else done(UNSUPPORTED.includes(reason ?? 0) ? 'mqtt-3' : 'mqtt-5');
    });
    // A broker may also close on a version that it does not know; so does what waits for TLS.
    socket.once('error', () => done(connected ? 'other' : 'nobody'));
    socket.once('close', () => done(connected ? 'other' : 'nobody'));
  });
}

/** The process that listens on a TCP port, on Linux and where this user may see it. */
export async function ownerOf(port: number): Promise<{ pid: number; command: string } | undefined> {
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const lines = (await readFile(table, 'utf8').catch(() => '')).split('\n').slice(1);
    for (const line of lines) {
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode; 0A is LISTEN (proc(5)).
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '0A' && Number.parseInt(local?.split(':')[1] ?? '', 16) === port) inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if (!inodes.has(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))) continue;
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim();
      return { pid: Number(pid), command };
    }
  }
  return undefined;
}
