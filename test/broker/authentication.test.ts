import { describe, expect, it } from 'vitest';
import { Authentication } from '../../broker/authentication.ts';
import type { Identity } from '../../broker/policy.ts';

// Lost if these fail: unknown clients in the cluster, or one node disconnected by another client with its client id.

const USERS: Record<string, Identity> = {
  'pi-1': { role: 'node', name: 'pi-1' },
  'pi-2': { role: 'node', name: 'pi-2' },
  central: { role: 'central', name: 'central' },
};
const credentials = { verify: (user: string, password: string) => (password === 'right' ? USERS[user] : undefined) };
const authentication = (
  anonymous: 'loopback' | 'never' = 'loopback',
  store: typeof credentials | undefined = credentials,
) => new Authentication({ base: 'tessera', anonymous, credentials: store });
const from = (user?: string, password = 'right', clientId = 'x', trusted = false) => ({
  clientId,
  trusted,
  user,
  password,
});

describe('Authentication', () => {
  it('admits users that the credentials contain', () => {
    expect(authentication().admit(from('pi-1'))).toEqual({ identity: USERS['pi-1'] });
  });

  it('refuses a wrong password, also from this machine', () => {
    expect(authentication().admit(from('pi-1', 'wrong'))).toMatchObject({ returnCode: 4 });
    expect(authentication().admit(from('nobody', 'right', 'x', true))).toMatchObject({ returnCode: 4 });
  });

  it('admits clients of this machine without a password, and no others', () => {
    expect(authentication().admit(from(undefined, '', 'x', true))).toEqual({ identity: { role: 'local' } });
    expect(authentication().admit(from(undefined, '', 'x', false))).toMatchObject({ returnCode: 5 });
    expect(authentication('never').admit(from(undefined, '', 'x', true))).toMatchObject({ returnCode: 5 });
  });

  it('does not check a user name of this machine when there are no credentials', () => {
    const open = new Authentication({ base: 'tessera', anonymous: 'loopback' });
    expect(open.admit(from('mosquitto', 'any', 'x', true))).toEqual({ identity: { role: 'local' } });
    expect(open.admit(from('mosquitto', 'any', 'x', false))).toMatchObject({ returnCode: 5 });
  });

  it('takes the identity from a certificate, before any user name, unless it was revoked', () => {
    const isRevoked = (user: string) => user === 'pi-2';
    const door = new Authentication({
      base: 'tessera',
      anonymous: 'loopback',
      credentials: { ...credentials, isRevoked },
    });
    const by = (certificate: string) => door.admit({ ...from('central'), certificate, trusted: true });
    expect(by('pi-1')).toEqual({ identity: USERS['pi-1'] });
    expect(by('viewer-anna')).toEqual({ identity: { role: 'viewer', name: 'anna' } });
    for (const certificate of ['pi-2', '', 'No User!', 'camera-a/b']) {
      expect(by(certificate), certificate).toMatchObject({ returnCode: 5 });
    }
  });

  it('admits this process, even if all others need a password', () => {
    const inside = { ...from(undefined, '', 'enrolment', true), inside: true };
    expect(authentication('never').admit(inside)).toEqual({ identity: { role: 'local' } });
  });

  it("reserves central's client id, whose session queues frames, also while central is offline", () => {
    const by = (user?: string) => authentication().admit(from(user, 'right', 'tessera-central', user === undefined));
    expect(by('central')).toEqual({ identity: USERS.central });
    expect(by()).toEqual({ identity: { role: 'local' } });
    expect(by('pi-1')).toMatchObject({ returnCode: 2 });
  });

  it('lets no client take over a client id that another identity uses', () => {
    const door = authentication();
    door.connected('x', USERS['pi-1']!);
    expect(door.admit(from('pi-2'))).toMatchObject({ returnCode: 2 });
    expect(door.admit(from('pi-1'))).toHaveProperty('identity');
    expect(door.admit(from(undefined, '', 'x', true))).toHaveProperty('identity');
    door.gone('x');
    expect(door.admit(from('pi-2'))).toHaveProperty('identity');
  });

  it('gives the client id of a node or central back to its owner, whichever client used it', () => {
    const door = authentication();
    door.connected('tessera-node-pi-1', USERS['pi-2']!);
    door.connected('tessera-central', USERS['pi-2']!);
    expect(door.admit(from('pi-1', 'right', 'tessera-node-pi-1'))).toHaveProperty('identity');
    expect(door.admit(from('central', 'right', 'tessera-central'))).toHaveProperty('identity');
    expect(door.admit(from('pi-1', 'right', 'tessera-central'))).toMatchObject({ returnCode: 2 });
  });
});
