import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../bench/testbed/mosquitto.ts';
import { startBroker } from '../../broker/broker.ts';
import type { RunningBroker } from '../../broker/broker-options.ts';
import { type Credentials, createCredentials } from '../../broker/credentials.ts';
import { EnrolmentService } from '../../broker/enrolment-service.ts';
import type { Role } from '../../broker/policy.ts';
import { inviteNode, newPassword } from '../../cli/invite.ts';
import { enrol, type Membership, readMembership } from '../../node-agent/enrolment.ts';
import { type Invitation, readJoinToken } from '../../shared/config/join.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { nodeInvited, nodeRevoked } from '../../shared/protocol/messages/requests.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { BrokerSearch } from '../../shared/runtime/broker-search.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus, connectBusOver } from '../../shared/runtime/mqtt.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import { hashSecret, newSecret } from '../../shared/runtime/secret.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { inbox } from '../support/inbox.ts';
import { type RecordingLog, recordingLog } from '../support/recording-log.ts';

/**
 * Enrolment and revocation of nodes at the embedded broker. If it fails, a token that was seen once admits clients for
 * ever, or a revoked node continues to work.
 */

const t = topics();
const stops: (() => unknown)[] = [];
let folder: string;
let url: string;
let broker: RunningBroker;
let credentials: Credentials;
let enrolment: EnrolmentService;
let log: RecordingLog;
/** Unix seconds, for credentials and enrolment. */
let now: number;
let clients = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-invitations-'));
  stops.push(() => rm(folder, { recursive: true }));
  now = Date.now() / 1000;
  await open();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Broker and enrolment; only those with a password come in. */
async function open(listen = 'mqtt://127.0.0.1:0'): Promise<void> {
  log = recordingLog();
  credentials = await createCredentials(join(folder, 'broker'), () => now);
  broker = await startBroker({ listen: [listen], anonymous: 'never', credentials, log });
  url = broker.urls[0]!;
  enrolment = new EnrolmentService({ broker, credentials, base: 'tessera', server: url, log, now: () => now });
  await enrolment.start();
  stops.push(
    () => broker.stop(),
    () => enrolment.stop(),
  );
}

async function centralIsHere(): Promise<string> {
  const { publicKey } = await openSigningKey(folder);
  const openStream = () => broker.connect();
  const central = await connectBusOver({ openStream, clientId: 'tessera-central', log: silentLog });
  await central.publish(t.centralKey('central'), publicKey, { qos: 1, retain: true });
  await central.stop();
  await enrolment.untilKey(AbortSignal.timeout(5000));
  return publicKey;
}

async function invitation(name = 'pi-1', expiresS = 60): Promise<Invitation> {
  const { token } = await inviteNode(name, expiresS, (asked) => enrolment.invite(asked));
  return readJoinToken(token);
}

const join1 = (
  invited: Invitation,
  machine: string,
  signal = new AbortController().signal,
  whereabouts?: BrokerSearch,
): Promise<Membership> =>
  enrol(invited, {
    stateDir: join(folder, machine),
    bus: { url: invited.server, whereabouts },
    log: silentLog,
    signal,
    now: () => now,
  });

async function connect(who: Partial<BusOptions>): Promise<Bus> {
  const bus = await connectBus({ url, clientId: `c-${clients++}`, protocolVersion: 4, log: silentLog, ...who });
  stops.push(() => bus.stop());
  return bus;
}

async function as(role: Role, name: string): Promise<Bus> {
  return connect(await credentials.issue(role, name));
}

describe('an invitation', () => {
  it('is exchanged once for a secret that the node makes and keeps, and authenticates with', async () => {
    const publicKey = await centralIsHere();
    const invited = await invitation();
    const member = await join1(invited, 'a');
    expect(member).toMatchObject({ server: url, user: 'pi-1', base: 'tessera', keys: [publicKey] });
    expect(await readMembership(join(folder, 'a'))).toEqual(member);
    expect((await stat(join(folder, 'a', 'membership.json'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(folder, 'broker', 'credentials.json'), 'utf8')).not.toContain(member.password);
    const node = await connect({ user: member.user, password: member.password });
    await node.publish(t.nodeStatus('pi-1'), 'online', { qos: 1 });

    await expect(join1(invited, 'b')).rejects.toMatchObject({
      code: 'TESSERA_INVITATION',
      message: expect.stringContaining('used already'),
      hint: expect.stringContaining('tessera node invite pi-1'),
    });
    expect(node.connected).toBe(true);
  });

  it('that this machine has used already may be given again, since a service file keeps its command line', async () => {
    await centralIsHere();
    const invited = await invitation();
    const member = await join1(invited, 'a');
    expect(await join1(invited, 'a')).toEqual(member);
    await broker.stop();
    expect(await join1(invited, 'a')).toEqual(member);
  });

  it('is refused to one that would take the place of a node, where only a new one is wanted', async () => {
    await centralIsHere();
    const invite = () => inviteNode('pi-1', 60, (asked) => enrolment.invite({ ...asked, only_new: true }));
    await invite();
    await join1(readJoinToken((await invite()).token), 'a');
    await expect(invite()).rejects.toMatchObject({
      message: 'the node "pi-1" has joined already',
      hint: expect.stringContaining('--name pi-1'),
    });
    expect(await invitation('pi-1')).toMatchObject({ user: 'pi-1' });
  });

  it('whose answer was lost can be repeated', async () => {
    await centralIsHere();
    const invited = await invitation();
    const member = await join1(invited, 'a');
    await rename(join(folder, 'a', 'membership.json'), join(folder, 'a', 'membership.applying.json'));
    expect(await join1(invited, 'a')).toEqual(member);
  });

  it('is kept, and so is a membership, where another broker has the address by now', async () => {
    const publicKey = await centralIsHere();
    const nobody = await createCredentials(join(folder, 'stranger'));
    const stranger = await startBroker({
      listen: ['mqtt://127.0.0.1:0'],
      anonymous: 'never',
      credentials: nobody,
      log,
    });
    stops.push(() => stranger.stop());
    const given = stranger.urls[0]!;
    const invited = { ...(await invitation()), server: given };
    const kept: string[] = [];
    const search = (announced: readonly string[]) =>
      new BrokerSearch(
        { given, known: given },
        { base: 'tessera', keys: [publicKey], secure: false },
        (found) => kept.push(found),
        silentLog,
        (onFound) => {
          for (const found of announced) onFound({ url: found, base: 'tessera', keys: [publicKey], isOver: false });
          return () => {};
        },
      );
    await expect(join1(invited, 'a', undefined, search([]))).rejects.toMatchObject({ code: 'TESSERA_INVITATION' });
    const { user, password } = await join1(invited, 'a', undefined, search([url]));
    const refusals: unknown[] = [];
    const onRefused = (error: unknown) => refusals.push(error);
    const node = await connect({ url: given, whereabouts: search([url]), patient: true, user, password, onRefused });
    await new Promise<void>((resolve) => node.onConnect(resolve));
    expect([kept, refusals]).toEqual([[url, url], []]);
  });

  it('expires, is withdrawn, or replaced by a newer one, and is never valid for another name', async () => {
    await centralIsHere();
    const late = await invitation('pi-1', 60);
    now += 61;
    await expect(join1(late, 'a')).rejects.toMatchObject({
      code: 'TESSERA_INVITATION',
      message: expect.stringContaining('expired at'),
    });
    const withdrawn = await invitation();
    await enrolment.revoke('node', 'pi-1');
    await expect(join1(withdrawn, 'b')).rejects.toMatchObject({ code: 'TESSERA_INVITATION' });
    const older = await invitation();
    const newer = await invitation();
    await expect(join1(older, 'c')).rejects.toMatchObject({ code: 'TESSERA_INVITATION' });
    await expect(join1({ ...newer, user: 'pi-2' }, 'd')).rejects.toMatchObject({ code: 'TESSERA_INVITATION' });
    await expect(join1({ ...newer, code: newSecret() }, 'e')).rejects.toMatchObject({ code: 'TESSERA_INVITATION' });
    await join1(newer, 'f');
  });

  it('that another broker refuses does not remove the existing membership', async () => {
    await centralIsHere();
    const member = await join1(await invitation(), 'a');
    const expired = await invitation('pi-2', 1);
    now += 2;
    await expect(join1(expired, 'a')).rejects.toMatchObject({ code: 'TESSERA_INVITATION' });
    expect(await readMembership(join(folder, 'a'))).toEqual(member);
    await connect({ user: member.user, password: member.password });
  });

  it('waits for a broker that is offline, until it is stopped', async () => {
    await centralIsHere();
    const invited = { ...(await invitation()), server: `mqtt://127.0.0.1:${await freePort()}` };
    const stop = new AbortController();
    const waiting = join1(invited, 'a', stop.signal);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });

    const joining = join1(invited, 'b');
    // The invitation is on the broker's disk; that broker comes back at the other port.
    await enrolment.stop();
    await broker.stop();
    await open(invited.server);
    expect(await joining).toMatchObject({ user: 'pi-1' });
  });

  it("is made only after central has published its key, or the node would run any client's models", async () => {
    await expect(invitation()).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      hint: expect.stringContaining('central'),
    });
  });
});

describe('a revoked node', () => {
  it('is disconnected within a second, with its last will published, and cannot reconnect', async () => {
    await centralIsHere();
    const member = await join1(await invitation(), 'a');
    const watch = await as('viewer', 'anna');
    const status = await inbox(watch, t.nodeStatus('pi-1'));
    const will = { topic: t.nodeStatus('pi-1'), payload: 'offline', qos: 1, retain: true } as const;
    const node = await connect({ user: member.user, password: member.password, will });
    await node.publish(t.nodeStatus('pi-1'), 'online', { qos: 1 });
    expect(await status.text()).toBe('online');

    const admin = await as('admin', 'root');
    const from = performance.now();
    const answer = await askRequest(admin, t, 'node-revoke', { role: 'node', name: 'pi-1' }, nodeRevoked);
    expect(await status.text()).toBe('offline');
    const took = performance.now() - from;
    console.info(`revoked and offline after ${took.toFixed(1)} ms`);
    expect(took).toBeLessThan(1000);
    expect(answer).toEqual({ user: 'pi-1', closed: 1 });
    await expect(connect({ user: member.user, password: member.password })).rejects.toMatchObject({
      message: expect.stringContaining('password is wrong'),
    });
    await expect(connect({ user: member.user, password: '' })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
  });

  it('does not affect the others', async () => {
    await centralIsHere();
    const [one, two] = [await join1(await invitation('pi-1'), 'a'), await join1(await invitation('pi-10'), 'b')];
    const buses = await Promise.all([one, two].map(({ user, password }) => connect({ user, password })));
    expect(await enrolment.revoke('node', 'pi-1')).toEqual({ user: 'pi-1', closed: 1 });
    await buses[1]!.publish(t.nodeStatus('pi-10'), 'online', { qos: 1 });
    expect(buses[1]!.connected).toBe(true);
  });
});

describe('requests', () => {
  it('are accepted from an admin only, and contain no secret', async () => {
    await centralIsHere();
    const viewer = await as('viewer', 'anna');
    const seen = await inbox(viewer, 'tessera/#');
    const admin = await as('admin', 'root');
    const ask = (asked: Record<string, unknown>) => askRequest(admin, t, 'node-invite', asked, nodeInvited);
    const { token } = await inviteNode('pi-1', 60, ask);
    const member = await join1(readJoinToken(token), 'a');
    const camera = await newPassword('camera', 'front', ask);
    await connect(camera);
    await admin.publish('tessera/x', 'the end', { qos: 1 });
    while (!seen.received.some(({ topic }) => topic === 'tessera/x')) await seen.next();
    const said = seen.received.map(({ payload }) => Buffer.from(payload).toString()).join('\n');
    expect(said).toContain('"pi-1"');
    for (const secret of [readJoinToken(token).code, member.password, camera.password, token]) {
      expect(said).not.toContain(secret);
      expect(log.lines.join('\n')).not.toContain(secret);
    }

    const body = { role: 'node', name: 'pi-9', ...hashSecret(newSecret()), expires_s: 60 };
    const central = await credentials.issue('central', 'central');
    for (const who of [
      await as('viewer', 'eve'),
      await connect(member),
      await connect(camera),
      await connect(central),
    ]) {
      await expect(askRequest(who, t, 'node-invite', body, nodeInvited, 1000)).rejects.toMatchObject({
        code: 'TESSERA_BROKER',
        hint: expect.stringMatching(/admin|built-in broker/),
      });
    }
    expect(credentials.users().map(({ user }) => user)).not.toContain('pi-9');
  });

  it('that are invalid are answered with a code, or not at all, without harm', async () => {
    await centralIsHere();
    const admin = await as('admin', 'root');
    const ask = (asked: Record<string, unknown>) => askRequest(admin, t, 'node-invite', asked, nodeInvited);
    const good = { role: 'node', name: 'pi-1', ...hashSecret(newSecret()), expires_s: 60 };
    for (const wrong of [
      { ...good, role: 'root' },
      { ...good, name: 'central' },
      { ...good, name: '../x' },
      { ...good, name: '+' },
      { ...good, hash: 'x' },
      { ...good, expires_s: 1e9 },
      { ...good, expires_s: -1 },
      { ...good, role: 'viewer' },
      {},
    ]) {
      await expect(ask(wrong)).rejects.toMatchObject({
        code: expect.stringMatching(/^TESSERA_(MESSAGE_INVALID|CONFIG|USAGE)$/),
      });
    }
    for (const payload of ['', '{', '[]', '{"transaction": 7}', 'x'.repeat(100_000)]) {
      await admin.publish(t.request('node-invite'), payload, { qos: 1 });
    }
    await admin.publish(t.request('node-invite'), JSON.stringify({ ...good, transaction: 'x' }), {
      qos: 1,
      retain: true,
    });
    expect(await ask(good)).toMatchObject({ user: 'pi-1', server: url });
  });

  it('without an answer end with a hint', async () => {
    const admin = await as('admin', 'root');
    await expect(askRequest(admin, t, 'node-dance', {}, nodeRevoked, 100)).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
      message: expect.stringContaining('no process'),
      hint: expect.stringContaining('tessera broker'),
    });
  });
});
