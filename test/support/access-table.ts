import { topics } from '../../shared/protocol/topics.ts';

/**
 * Every topic, which roles may publish it, and which may subscribe to it: the access rules in readable form. The policy
 * is tested against this table, and live tests check both brokers against it.
 */

const t = topics('tessera');

/** Topic, roles that may publish it, roles that may subscribe to it. */
export const ACCESS_TABLE: readonly (readonly [topic: string, publish: string, subscribe: string])[] = [
  [t.status, 'central admin local', 'central node camera viewer home admin local'],
  [t.centralStatus('central'), 'central admin local', 'central node viewer home admin local'],
  ['tessera/central/central/heartbeat', 'central admin local', 'central viewer home admin local'],
  [t.centralKey('central'), 'central admin local', 'central viewer home admin local'],
  [t.centralLeftOut('central'), 'central admin local', 'central viewer home admin local'],
  [t.centralModels('central'), 'central admin local', 'central viewer home admin local'],
  [t.input('front'), 'central camera admin local', 'central viewer home admin local'],
  [t.input('front', 'f-1'), 'central camera admin local', 'central viewer home admin local'],
  [t.input('back'), 'central admin local', 'central viewer home admin local'],
  [`${t.input('front')}/a/b`, 'central admin local', 'central viewer home admin local'],
  [t.result('front', 'person'), 'central admin local', 'central camera viewer home admin local'],
  [t.result('back', 'person'), 'central admin local', 'central viewer home admin local'],
  [t.label('front', 'person'), 'central admin local', 'central camera viewer home admin local'],
  [t.tensor('front', 'person'), 'central admin local', 'central camera viewer home admin local'],
  [t.snapshot('front', 'person'), 'central admin local', 'central camera viewer home admin local'],
  [t.crop('back', 'person'), 'central admin local', 'central viewer home admin local'],
  [t.count('front', 'person', 'cat'), 'central admin local', 'central camera viewer home admin local'],
  [t.objectEvent('front'), 'central admin local', 'central viewer home admin local'],
  [t.setting('front', 'detect'), 'central admin local', 'central camera viewer home admin local'],
  [t.settingSet('front', 'detect'), 'central home admin local', 'central camera viewer home admin local'],
  [t.cameraStatus('front'), 'central admin local', 'central camera viewer home admin local'],
  [t.nodeStatus('pi-1'), 'central node admin local', 'central node viewer home admin local'],
  [t.nodeInfo('pi-1'), 'central node admin local', 'central node viewer home admin local'],
  [t.heartbeat('pi-1'), 'central node admin local', 'central node viewer home admin local'],
  [t.nodeStatus('pi-2'), 'central admin local', 'central node viewer home admin local'],
  [t.nodeInfo('pi-2'), 'central admin local', 'central viewer home admin local'],
  [t.nodeStatus('pi-10'), 'central admin local', 'central node viewer home admin local'],
  [t.stats, 'central admin local', 'central viewer home admin local'],
  [t.brokerStats, 'admin local', 'central viewer home admin local'],
  [t.plan('person'), 'central admin local', 'central viewer home admin local'],
  [t.planProgress('person'), 'central admin local', 'central viewer home admin local'],
  [t.nodeEvent('pi-1'), 'central admin local', 'central viewer home admin local'],
  [t.trace('front'), 'central admin local', 'central viewer home admin local'],
  [t.request('deploy'), 'admin local', 'central viewer home admin local'],
  [t.response('deploy'), 'central admin local', 'central viewer home admin local'],
  [t.wire('pi-1', 'work', 'central'), 'central local', 'node admin local'],
  [t.wire('pi-1', 'work', 'pi-2'), 'local', 'node admin local'],
  [t.wire('central', 'result', 'pi-1'), 'node local', 'central admin local'],
  [t.wire('central', 'result', 'pi-2'), 'local', 'central admin local'],
  [t.wire('pi-2', 'tensor', 'pi-1'), 'node local', 'admin local'],
  [t.wire('pi-2', 'echo', 'pi-1'), 'node local', 'admin local'],
  [t.wireShared, 'central local', 'central node admin local'],
  [t.wire('all', 'blob-part', 'pi-1'), 'node local', 'admin local'],
  [t.wire('all', 'blob-part', 'pi-2'), 'local', 'admin local'],
  ['tessera-wire/1/central/joke/pi-1', 'local', 'central admin local'],
  ['tessera-wire/1/central/result/x/pi-1', 'local', 'central admin local'],
  ['tessera-other/status', 'local', 'admin local'],
  [t.nodeHealth('pi-1'), 'central node admin local', 'central node viewer home admin local'],
  ['homeassistant/sensor/x/config', 'local', 'home admin local'],
  ['homeassistant/device/tessera_central/config', 'central local', 'home admin local'],
  ['homeassistant/status', 'home local', 'central home admin local'],
  ['$SYS/broker/uptime', '', 'admin local'],
];
