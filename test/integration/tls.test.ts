import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort, NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { startBroker } from '../../broker/broker.ts';
import { createCredentials } from '../../broker/credentials.ts';
import { EnrolmentService, ownAuthority } from '../../broker/enrolment-service.ts';
import { mosquittoAcl } from '../../broker/mosquitto.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { type Authority, type Certificate, makeAuthority, NO_OPENSSL } from '../support/certificates.ts';
import { repositoryFile } from '../support/examples.ts';
import { recordingLog } from '../support/recording-log.ts';

/**
 * Client certificates on both brokers. If it fails, a client with any certificate, or with none, can take any identity.
 */

const t = topics();
let authority: Authority | undefined;
let other: Authority | undefined;
let server: Certificate;
let pi: Certificate;
const stops: (() => unknown)[] = [];
beforeAll(async () => {
  authority = await makeAuthority();
  other = await makeAuthority('somebody else');
  if (authority === undefined) return;
  server = await authority.issue('broker', true);
  pi = await authority.issue('pi-1');
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
afterAll(async () => {
  await authority?.remove();
  await other?.remove();
});

async function connect(url: string, who: Partial<BusOptions> = {}): Promise<Bus> {
  const bus = await connectBus({ url, clientId: `c-${stops.length}`, ca: authority!.cert, log: silentLog, ...who });
  stops.push(() => bus.stop());
  return bus;
}
const by = ({ cert, key }: Certificate) => ({ cert, key });

/** The embedded broker with client certificates; its mqtts:// and wss:// addresses. */
async function embedded() {
  const { cert } = authority!;
  const tls = { cert: server.cert, key: server.key, ca: cert };
  const log = recordingLog();
  const folder = await mkdtemp(join(tmpdir(), 'tessera-tls-'));
  const credentials = await createCredentials(folder);
  const listen = ['mqtts://127.0.0.1:0', 'wss://127.0.0.1:0'];
  const broker = await startBroker({ listen, anonymous: 'loopback', tls, credentials, log });
  stops.push(async () => {
    await broker.stop();
    await rm(folder, { recursive: true });
  });
  return { broker, log, tls, credentials, urls: broker.urls };
}

/** Mosquitto with the same certificates and the exported rules. */
async function mosquitto(): Promise<{ urls: string[] } | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-tls-acl-'));
  const acl = join(folder, 'acl');
  await writeFile(acl, mosquittoAcl([{ role: 'viewer', name: 'anna' }]).join('\n'));
  const port = await freePort();
  const extra = [
    'allow_anonymous false',
    `acl_file ${acl}`,
    `listener ${port} 127.0.0.1`,
    `cafile ${authority!.certFile}`,
    `certfile ${server.certFile}`,
    `keyfile ${server.keyFile}`,
    'require_certificate true',
    'use_identity_as_username true',
  ];
  const running = await startMosquitto({ extra });
  stops.push(async () => {
    await running?.stop();
    await rm(folder, { recursive: true });
  });
  return running === undefined ? undefined : { urls: [`mqtts://127.0.0.1:${port}`] };
}

describe.each([
  ['the embedded broker', embedded],
  ['Mosquitto', mosquitto],
])('client certificates at %s', (_name, start) => {
  it('determine the identity, whatever the user name', async ({ skip }) => {
    if (authority === undefined) return skip(NO_OPENSSL);
    const site = await start();
    if (site === undefined) return skip(NO_MOSQUITTO);
    const anna = await authority.issue('viewer-anna');
    for (const url of site.urls) {
      const viewer = await connect(url, { ...by(anna), user: 'central', password: 'x' });
      const said: string[] = [];
      let wake = (): void => {};
      await viewer.subscribe('tessera/node/#', 1, ({ topic }) => {
        said.push(topic);
        wake();
      });
      const node = await connect(url, by(pi));
      await node.publish(t.nodeStatus('pi-1'), 'online', { qos: 1 });
      while (!said.includes(t.nodeStatus('pi-1'))) await new Promise<void>((resolve) => (wake = resolve));

      const liar = await connect(url, { ...by(pi), user: 'pi-2', clientId: 'liar', protocolVersion: 4 });
      await Promise.race([liar.publish(t.nodeStatus('pi-2'), 'online', { qos: 1 }).catch(() => {}), gone(liar)]);
      await liar.stop();
      await node.publish(t.nodeInfo('pi-1'), 'after', { qos: 1 });
      while (!said.includes(t.nodeInfo('pi-1'))) await new Promise<void>((resolve) => (wake = resolve));
      expect(said).not.toContain(t.nodeStatus('pi-2'));
    }
  });

  it('are required, and must be signed by the right authority; faults are reported', async ({ skip }) => {
    if (authority === undefined || other === undefined) return skip(NO_OPENSSL);
    const site = await start();
    if (site === undefined) return skip(NO_MOSQUITTO);
    const stranger = await other.issue('pi-1');
    for (const url of site.urls) {
      const attempt = (who: Partial<BusOptions>) => connect(url, who).catch((error: Error) => error);
      expect(await attempt({})).toMatchObject({
        code: 'TESSERA_BROKER',
        message: expect.stringContaining('the broker asks for a client certificate'),
        hint: expect.stringContaining('mqtt.cert'),
      });
      expect(await attempt(by(stranger))).toMatchObject({
        code: 'TESSERA_BROKER',
        hint: expect.stringMatching(/authority/),
      });
      expect(await attempt({ ...by(pi), ca: undefined })).toMatchObject({ hint: expect.stringContaining('mqtt.ca') });
      expect(await attempt({ cert: pi.cert, key: stranger.key })).toMatchObject({
        message: expect.stringContaining('key values mismatch'),
        hint: expect.stringContaining('the key must be that of the certificate'),
      });
    }
  });
});

describe('the embedded broker with client certificates', () => {
  it('logs why a certificate was refused', async ({ skip }) => {
    if (authority === undefined || other === undefined) return skip(NO_OPENSSL);
    const { urls, log, broker } = await embedded();
    await connect(urls[0]!, by(await other.issue('pi-1'))).catch(() => {});
    await log.line(/a TLS connection was refused: its certificate is not trusted: [A-Z_]+/);
    await connect(urls[0]!, {}).catch(() => {});
    await log.line(/a TLS connection was refused: peer did not return a certificate/);
    expect(broker.counters.refused.connections).toBeGreaterThan(1);
  });

  it('refuses names that are no user, and revoked ones', async ({ skip }) => {
    if (authority === undefined) return skip(NO_OPENSSL);
    const { urls, log, broker, credentials, tls } = await embedded();
    const enrolment = new EnrolmentService({ broker, credentials, base: 'tessera', server: urls[0]!, tls, log });
    await enrolment.start();
    stops.push(() => enrolment.stop());
    await expect(connect(urls[0]!, by(await authority.issue('No User!')))).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
      message: expect.stringContaining('does not authorise'),
    });
    const node = await connect(urls[0]!, by(pi));
    expect(await enrolment.revoke('node', 'pi-1')).toEqual({ user: 'pi-1', closed: 1 });
    await gone(node);
    await expect(connect(urls[0]!, { ...by(pi), clientId: 'again' })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await log.line(/the name "pi-1" of a certificate is no user, or its access was revoked/);
  });

  it('may listen on the network without any password', async ({ skip }) => {
    if (authority === undefined) return skip(NO_OPENSSL);
    const tls = { cert: server.cert, key: server.key };
    const listen = ['mqtts://0.0.0.0:0'];
    const attempt = (more: object) => startBroker({ listen, anonymous: 'loopback', log: silentLog, ...more });
    await expect(attempt({ tls })).rejects.toMatchObject({ code: 'TESSERA_CONFIG' });
    await expect(attempt({ tls: { ...tls, ca: authority.cert }, listen: ['mqtt://0.0.0.0:0'] })).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
    });
    const broker = await attempt({ tls: { ...tls, ca: authority.cert } });
    await broker.stop();
  });

  it('works with the certificate of docs/security.md, which invitations then contain', async ({ skip }) => {
    if (authority === undefined) return skip(NO_OPENSSL);
    const [command] = /^openssl req [\s\S]*?[^\\]$/m.exec(repositoryFile('docs/security.md'))!;
    const folder = await mkdtemp(join(tmpdir(), 'tessera-tls-docs-'));
    stops.push(() => rm(folder, { recursive: true }));
    const shell = command.replace('192.168.1.10', '127.0.0.1');
    await promisify(execFile)('sh', ['-c', shell], { cwd: folder });
    const [cert, key] = await Promise.all(
      ['broker.pem', 'broker-key.pem'].map((name) => readFile(join(folder, name), 'utf8')),
    );
    const tls = { cert: cert!, key: key! };
    const broker = await startBroker({ listen: ['mqtts://127.0.0.1:0'], anonymous: 'loopback', tls, log: silentLog });
    stops.push(() => broker.stop());
    const bus = await connect(broker.urls[0]!, { ca: ownAuthority(tls) });
    expect(bus.connected).toBe(true);
  });

  it('names the faulty file', async ({ skip }) => {
    if (authority === undefined) return skip(NO_OPENSSL);
    const attempt = (tls: { cert: string; key: string; ca?: string }) =>
      startBroker({ listen: ['mqtts://127.0.0.1:0'], anonymous: 'loopback', tls, log: silentLog });
    await expect(attempt({ cert: server.cert, key: pi.key })).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      message: expect.stringContaining('key values mismatch'),
    });
    await expect(attempt({ cert: 'no certificate', key: server.key })).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      message: expect.stringContaining('broker.cert'),
    });
  });

  it('puts the authority of its certificate into invitations, where that is no public one', async ({ skip }) => {
    if (authority === undefined || other === undefined) return skip(NO_OPENSSL);
    const { cert, key } = server;
    expect(ownAuthority({ cert: authority.cert, key: authority.key })).toBe(authority.cert);
    expect(ownAuthority({ cert, key, ca: authority.cert })).toBe(authority.cert);
    expect(ownAuthority({ cert: cert + authority.cert, key })).toBe(authority.cert);
    expect(ownAuthority({ cert, key, ca: other.cert })).toBeUndefined();
    expect(ownAuthority({ cert, key })).toBeUndefined();
  });
});

/** Resolves when a bus has lost its connection. */
async function gone(bus: Bus): Promise<void> {
  while (bus.connected) await new Promise((resolve) => setTimeout(resolve, 2));
}
