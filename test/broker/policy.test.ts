import { describe, expect, it } from 'vitest';
import { type Identity, isBulk, isRoleName, mayPublish, maySubscribe } from '../../broker/policy.ts';
import { matchesFilter } from '../../shared/protocol/filter.ts';
import { topics } from '../../shared/protocol/topics.ts';

// Lost if these fail: a stolen camera password reads every room, or one node answers in another's name.

const t = topics('tessera');
const WHO: Record<string, Identity> = {
  central: { role: 'central', name: 'central' },
  node: { role: 'node', name: 'pi-1' },
  camera: { role: 'camera', name: 'front' },
  viewer: { role: 'viewer', name: 'anna' },
  admin: { role: 'admin', name: 'root' },
  local: { role: 'local' },
};

/** Every topic, who may publish it, and who may subscribe to it. */
const TABLE: [topic: string, publish: string, subscribe: string][] = [
  [t.status, 'central admin local', 'central node camera viewer admin local'],
  [t.centralStatus('central'), 'central admin local', 'central node viewer admin local'],
  [t.input('front'), 'central camera admin local', 'central viewer admin local'],
  [t.input('front', 'f-1'), 'central camera admin local', 'central viewer admin local'],
  [t.input('back'), 'central admin local', 'central viewer admin local'],
  [`${t.input('front')}/a/b`, 'central admin local', 'central viewer admin local'],
  [t.result('front', 'person'), 'central admin local', 'central camera viewer admin local'],
  [t.result('back', 'person'), 'central admin local', 'central viewer admin local'],
  [t.label('front', 'person'), 'central admin local', 'central camera viewer admin local'],
  [t.tensor('front', 'person'), 'central admin local', 'central camera viewer admin local'],
  [t.cameraStatus('front'), 'central admin local', 'central camera viewer admin local'],
  [t.nodeStatus('pi-1'), 'central node admin local', 'central node viewer admin local'],
  [t.nodeInfo('pi-1'), 'central node admin local', 'central node viewer admin local'],
  [t.heartbeat('pi-1'), 'central node admin local', 'central node viewer admin local'],
  [t.nodeStatus('pi-2'), 'central admin local', 'central node viewer admin local'],
  [t.nodeInfo('pi-2'), 'central admin local', 'central viewer admin local'],
  [t.nodeStatus('pi-10'), 'central admin local', 'central node viewer admin local'],
  [t.stats, 'central admin local', 'central viewer admin local'],
  [t.plan('person'), 'central admin local', 'central viewer admin local'],
  [t.trace('front'), 'central admin local', 'central viewer admin local'],
  [t.request('deploy'), 'central admin local', 'central viewer admin local'],
  [t.response('deploy'), 'central admin local', 'central viewer admin local'],
  [t.wire('pi-1', 'work', 'central'), 'central local', 'node admin local'],
  [t.wire('pi-1', 'work', 'pi-2'), 'local', 'node admin local'],
  [t.wire('central', 'result', 'pi-1'), 'node local', 'central admin local'],
  [t.wire('central', 'result', 'pi-2'), 'local', 'central admin local'],
  [t.wire('pi-2', 'tensor', 'pi-1'), 'node local', 'admin local'],
  ['tessera-wire/1/central/joke/pi-1', 'local', 'central admin local'],
  ['tessera-wire/1/central/result/x/pi-1', 'local', 'central admin local'],
  ['tessera-other/status', 'admin local', 'admin local'],
  ['homeassistant/sensor/x/config', 'admin local', 'admin local'],
  ['$SYS/broker/uptime', '', 'admin local'],
];

describe('policy', () => {
  describe.each(Object.keys(WHO))('%s', (role) => {
    const who = WHO[role]!;
    it.each(TABLE)('%s', (topic, publish, subscribe) => {
      expect(mayPublish(who, topic), 'publish').toBe(publish.split(' ').includes(role));
      expect(maySubscribe(who, topic), 'subscribe').toBe(subscribe.split(' ').includes(role));
    });
  });

  it.each([
    [t.wireInbox('central'), 'central admin local'],
    [t.wireInbox('pi-1'), 'node admin local'],
    [t.wireInbox('pi-2'), 'admin local'],
    ['tessera-wire/#', 'admin local'],
    ['tessera-wire/1/+/work/#', 'admin local'],
    ['tessera/#', 'central viewer admin local'],
    [t.resultAll, 'central viewer admin local'],
    [t.nodeStatusAll, 'central node viewer admin local'],
    [t.nodeInfoAll, 'central viewer admin local'],
    [t.inputAll, 'central viewer admin local'],
    [t.requestAll, 'central viewer admin local'],
    ['tessera/result/front/#', 'central camera viewer admin local'],
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
        for (const [topic] of TABLE) {
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

  it('knows bulk, which slow readers lose first', () => {
    expect(
      [t.wire('a', 'work', 'b'), t.wire('a', 'blob-part', 'b'), t.input('front', '1')].every((topic) =>
        isBulk('tessera', topic),
      ),
    ).toBe(true);
    expect([t.status, t.wire('a', 'control', 'b'), t.heartbeat('a')].some((topic) => isBulk('tessera', topic))).toBe(
      false,
    );
  });

  it('gives nobody else the name of central', () => {
    expect(isRoleName('node', 'central')).toBe(false);
    expect(isRoleName('central', 'central')).toBe(true);
    expect(isRoleName('node', 'Pi_1')).toBe(false);
    expect(isRoleName('camera', 'front_door')).toBe(true);
  });
});
