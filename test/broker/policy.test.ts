import { describe, expect, it } from 'vitest';
import {
  type Identity,
  identityOfUser,
  isBulk,
  isRoleName,
  mayPublish,
  maySubscribe,
  ROLES,
  userName,
} from '../../broker/policy.ts';
import { matchesFilter } from '../../shared/protocol/filter.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { ACCESS_TABLE } from '../support/access-table.ts';

// Lost if these fail: a stolen camera password reads every camera's frames, or one node answers in another's name.

const t = topics('tessera');
const WHO: Record<string, Identity> = {
  central: { role: 'central', name: 'central' },
  node: { role: 'node', name: 'pi-1' },
  camera: { role: 'camera', name: 'front' },
  viewer: { role: 'viewer', name: 'anna' },
  home: { role: 'home', name: 'assistant' },
  admin: { role: 'admin', name: 'root' },
  local: { role: 'local' },
};

describe('policy', () => {
  describe.each(Object.keys(WHO))('%s', (role) => {
    const who = WHO[role]!;
    it.each(ACCESS_TABLE)('%s', (topic, publish, subscribe) => {
      expect(mayPublish(who, topic), 'publish').toBe(publish.split(' ').includes(role));
      expect(maySubscribe(who, topic), 'subscribe').toBe(subscribe.split(' ').includes(role));
    });
  });

  it('has a row in the table for every topic', () => {
    const made = Object.entries(t)
      .filter(([name]) => !/^base$|All$|^wire/.test(name))
      .map(([, topic]) => (typeof topic === 'string' ? topic : (topic as (...ids: string[]) => string)('x', 'y', 'x')));
    const forms = ACCESS_TABLE.map(([topic]) => topic.split('/'));
    const rowed = (levels: string[]) =>
      forms.some((form) => form.length === levels.length && levels.every((l, k) => l === form[k] || /^[xy]$/.test(l)));
    for (const topic of made) expect(rowed(topic.split('/')), topic).toBe(true);
  });

  it.each([
    [t.wireInbox('central'), 'central admin local'],
    [t.wireInbox('pi-1'), 'node admin local'],
    [t.wireInbox('pi-2'), 'admin local'],
    ['tessera-wire/#', 'admin local'],
    ['tessera-wire/1/+/work/#', 'admin local'],
    ['tessera/#', 'central viewer home admin local'],
    [t.resultAll, 'central viewer home admin local'],
    [t.nodeStatusAll, 'central node viewer home admin local'],
    [t.nodeInfoAll, 'central viewer home admin local'],
    [t.inputAll, 'central viewer home admin local'],
    [t.requestAll, 'central viewer home admin local'],
    ['tessera/result/front/#', 'central camera viewer home admin local'],
    ['+/result/front/#', 'admin local'],
    ['#', 'admin local'],
    ['+/#', 'admin local'],
  ])('lets read %s: %s', (filter, readers) => {
    const may = Object.keys(WHO).filter((role) => maySubscribe(WHO[role]!, filter));
    expect(may).toEqual(readers.split(' '));
  });

  it('never lets a filter read a topic that its role may not read', () => {
    const filters = ['#', '+/#', '+/+/+', 'tessera/+/+/+', 'tessera/#', 'tessera-wire/+/+/+/+', 'tessera/node/#'];
    for (const who of Object.values(WHO)) {
      for (const filter of filters.filter((one) => maySubscribe(who, one))) {
        for (const [topic] of ACCESS_TABLE) {
          if (matchesFilter(filter, topic))
            expect(maySubscribe(who, topic), `${who.role} ${filter} ${topic}`).toBe(true);
        }
      }
    }
  });

  it('works under another base', () => {
    const node = WHO.node!;
    expect(mayPublish(node, 'home/edge/node/pi-1/status', 'home/edge')).toBe(true);
    expect(mayPublish(node, 'tessera/node/pi-1/status', 'home/edge')).toBe(false);
  });

  it('knows which topics are bulk, which slow readers lose first', () => {
    expect(
      [t.wire('a', 'work', 'b'), t.wire('a', 'blob-part', 'b'), t.input('front', '1')].every((topic) =>
        isBulk('tessera', topic),
      ),
    ).toBe(true);
    expect([t.status, t.wire('a', 'control', 'b'), t.heartbeat('a')].some((topic) => isBulk('tessera', topic))).toBe(
      false,
    );
    expect(isBulk('tessera', t.wire('central', 'frame', 'a'))).toBe(true);
    expect(isBulk('tessera', t.wire('a', 'frame', 'central'))).toBe(false);
  });

  it('derives the identity from a user name, as certificates need it', () => {
    for (const role of ROLES) {
      const name = role === 'central' ? 'central' : 'front-1';
      expect(identityOfUser(userName(role, name))).toEqual({ role, name });
    }
    for (const user of ['', 'Pi_1', 'camera-*', 'camera-a/b', 'viewer-+', '#']) {
      expect(identityOfUser(user), user).toBeUndefined();
    }
  });

  it('gives no other identity the name of central', () => {
    expect(isRoleName('node', 'central')).toBe(false);
    expect(isRoleName('central', 'central')).toBe(true);
    expect(isRoleName('node', 'Pi_1')).toBe(false);
    expect(isRoleName('camera', 'front_door')).toBe(true);
  });
});
