import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { wayIn } from '../../cli/membership.ts';
import { duration } from '../../cli/options.ts';
import { roleName } from '../../cli/role-name.ts';
import type { Membership } from '../../node-agent/enrolment.ts';
import { silentLog } from '../../shared/ports.ts';
import { loadConfig } from '../../shared/runtime/config.ts';

// Lost if these fail: a secret of one cluster is shown to the broker of another, or a node forgets whom it trusts.

const member: Membership = {
  version: 1,
  server: 'mqtt://10.0.0.2:1883',
  base: 'edge',
  ca: 'PEM',
  user: 'pi-1',
  password: 'own',
  keys: ['ed25519:x'],
  invitation: 'hash',
};

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'tessera-membership-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

async function way(env: Record<string, string>, id?: string) {
  const loaded = await loadConfig({ env, cwd: stateDir });
  return wayIn(undefined, { loaded, id, stateDir, log: silentLog, signal: new AbortController().signal });
}
const keep = (text = JSON.stringify(member)) => writeFile(join(stateDir, 'membership.json'), text);

describe('an agent without a token', () => {
  it('comes in as the configuration says where it has joined nobody', async () => {
    expect(await way({})).toMatchObject({
      bus: { url: 'mqtt://127.0.0.1:1883', user: undefined },
      base: 'tessera',
      trustedKeys: [],
    });
  });

  it('comes in as the member that it is, and trusts the keys of that', async () => {
    await keep();
    const bus = { url: member.server, user: 'pi-1', password: 'own', ca: 'PEM' };
    const whole = { bus, base: 'edge', id: 'pi-1', trustedKeys: member.keys };
    expect(await way({})).toMatchObject(whole);
    expect(await way({ TESSERA_MQTT__SERVER: member.server }, 'pi-1')).toMatchObject(whole);
  });

  it.each([
    [{ TESSERA_MQTT__SERVER: 'mqtt://127.0.0.1:1883' }, undefined],
    [{ TESSERA_MQTT__USER: 'pi-2', TESSERA_MQTT__PASSWORD: 'x' }, undefined],
    [{}, 'node-1'],
  ])('tells its secret to nobody where it is told to come in otherwise: %j %s', async (env, id) => {
    await keep();
    const { bus, trustedKeys } = (await way(env, id))!;
    expect(bus.password).not.toBe('own');
    expect(bus.url).not.toBe(member.server);
    expect(trustedKeys).toEqual([]);
  });

  it('does not start as a new node where its membership cannot be read', async () => {
    await keep('{"version": 1}');
    await expect(way({})).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      hint: expect.stringContaining('invitation'),
    });
  });
});

describe('options of invitations', () => {
  it('read times', () => {
    expect(['90s', '30m', '1h', '2d', '30d'].map((text) => duration(text, '--expires'))).toEqual([
      90, 1800, 3600, 172_800, 2_592_000,
    ]);
    for (const wrong of ['', '1', 'h', '0h', '-1h', '1.5h', '31d', '1w']) {
      expect(() => duration(wrong, '--expires <time>'), wrong).toThrow(
        expect.objectContaining({ code: 'TESSERA_USAGE' }),
      );
    }
  });

  it('read roles and names', () => {
    expect(roleName('pi-1', '--user')).toEqual({ role: 'node', name: 'pi-1' });
    expect(roleName('central', '--user')).toEqual({ role: 'central', name: 'central' });
    expect(roleName('viewer:central', '--user')).toEqual({ role: 'viewer', name: 'central' });
    for (const wrong of ['', 'viewer:', 'root:x', ':x']) {
      expect(() => roleName(wrong, '--user <user>'), wrong).toThrow(expect.objectContaining({ code: 'TESSERA_USAGE' }));
    }
  });
});
