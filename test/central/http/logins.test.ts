import { beforeEach, describe, expect, it } from 'vitest';
import { ATTEMPTS, Logins, SESSION_MS, SESSIONS } from '../../../central/http/logins.ts';
import { TesseraError } from '../../../shared/errors.ts';

/** Numbers are those of the invariants in logins.ts. */

let users: Map<string, string>;
let isReachable: boolean;
let now: number;
/** Connections by user, and how the broker ends them. */
let connected: Map<string, () => void>;
let logins: Logins;

beforeEach(() => {
  users = new Map([
    ['viewer-anna', 'right'],
    ['admin-bo', 'right'],
    ['camera-front', 'right'],
    ['pi-1', 'right'],
  ]);
  isReachable = true;
  now = 0;
  connected = new Map();
  logins = new Logins(
    async (user, password, onRefused) => {
      if (!isReachable) throw new TesseraError('TESSERA_BROKER', 'gone', { cause: { code: 'ECONNREFUSED' } });
      if (!users.has('anybody') && users.get(user) !== password)
        throw new TesseraError('TESSERA_BROKER', 'wrong', { cause: { code: 4 } });
      connected.set(user, onRefused);
      return { stop: async () => void connected.delete(user) };
    },
    () => now,
  );
});

describe('logins', () => {
  it('are of viewers and admins whom the broker lets in, and end with a logout', async () => {
    const token = await logins.login('viewer-anna', 'right', 'a');
    expect(logins.session(token)).toMatchObject({ user: 'viewer-anna', role: 'viewer' });
    const other = await logins.login('admin-bo', 'right', 'a');
    expect(logins.session(other)).toMatchObject({ role: 'admin' });
    expect([...connected.keys()]).toEqual(['viewer-anna', 'admin-bo']);
    logins.logout(token);
    expect([logins.session(token), connected.has('viewer-anna')]).toEqual([undefined, false]);
  });

  it('are refused for wrong passwords, other roles and unknown tokens', async () => {
    for (const [k, user, password] of [
      [0, 'viewer-anna', 'wrong'],
      [1, 'camera-front', 'right'],
      [2, 'pi-1', 'right'],
      [3, 'viewer-', 'right'],
    ] as const)
      await expect(logins.login(user, password, `a${k}`)).rejects.toMatchObject({ status: 401 });
    expect(logins.session('')).toBeUndefined();
    expect(connected.size).toBe(0);
  });

  it('1: end as soon as the broker refuses the user, and after their time', async () => {
    const token = await logins.login('viewer-anna', 'right', 'a');
    connected.get('viewer-anna')!();
    expect(logins.session(token)).toBeUndefined();
    const again = await logins.login('viewer-anna', 'right', 'a');
    now = SESSION_MS + 1;
    expect(logins.session(again)).toBeUndefined();
  });

  it('2: are refused where the broker lets in users that nobody made, or does not answer', async () => {
    users.set('anybody', '');
    expect(await logins.admitStrangers()).toBe(true);
    await expect(logins.login('admin-bo', 'right', 'a')).rejects.toMatchObject({ status: 503 });
    users.delete('anybody');
    isReachable = false;
    expect(await logins.admitStrangers()).toBeUndefined();
    await expect(logins.login('admin-bo', 'right', 'a')).rejects.toMatchObject({ status: 503 });
    isReachable = true;
    await logins.login('admin-bo', 'right', 'a');
    isReachable = false;
    await expect(logins.login('viewer-anna', 'right', 'a')).rejects.toMatchObject({ status: 503 });
  });

  it('3: tell those who opened something for a session that it has ended, however it ends', async () => {
    const enter = async (): Promise<[string, AbortSignal]> => {
      const token = await logins.login('viewer-anna', 'right', String(now));
      return [token, logins.session(token)!.ended];
    };
    const [token, loggedOut] = await enter();
    logins.logout(token);
    const [, refused] = await enter();
    connected.get('viewer-anna')!();
    const [, old] = await enter();
    now += SESSION_MS - 1;
    logins.endOld();
    expect([loggedOut.aborted, refused.aborted, old.aborted]).toEqual([true, true, false]);
    now += 1;
    logins.endOld();
    expect([old.aborted, connected.size]).toEqual([true, 0]);
    const [, stopped] = await enter();
    logins.stop();
    expect(stopped.aborted).toBe(true);
  });

  it('of one user in two requests at once are one', async () => {
    const [one, other] = await Promise.all([
      logins.basic('viewer-anna', 'right', 'a'),
      logins.basic('viewer-anna', 'right', 'a'),
    ]);
    expect([other, one.ended.aborted]).toEqual([one, false]);
  });

  it('4: have a bounded number, and so do attempts of one address', async () => {
    for (let k = 0; k < ATTEMPTS.burst; k++)
      await expect(logins.login('viewer-anna', `${k}`, 'a')).rejects.toMatchObject({ status: 401 });
    await expect(logins.login('viewer-anna', 'right', 'a')).rejects.toMatchObject({ status: 429 });
    const tokens: string[] = [];
    for (let k = 0; k <= SESSIONS; k++) tokens.push(await logins.login('admin-bo', 'right', `b${k}`));
    expect(tokens.map((token) => logins.session(token)?.user).filter(Boolean)).toHaveLength(SESSIONS);
    expect(logins.session(tokens[0]!)).toBeUndefined();
  });

  it('with every request ask the broker once', async () => {
    expect(await logins.basic('viewer-anna', 'right', 'a')).toMatchObject({ role: 'viewer' });
    connected.delete('viewer-anna');
    expect(await logins.basic('viewer-anna', 'right', 'a')).toMatchObject({ role: 'viewer' });
    expect(connected.size).toBe(0);
    await expect(logins.basic('viewer-anna', 'wrong', 'a')).rejects.toMatchObject({ status: 401 });
  });
});
