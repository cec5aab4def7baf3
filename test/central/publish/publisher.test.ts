import { beforeEach, expect, test } from 'vitest';
import { Publisher } from '../../../central/publish/publisher.ts';
import { LogThrottle } from '../../../shared/log-throttle.ts';
import type { ResultObject } from '../../../shared/protocol/messages/result.ts';
import { topics as topicsOf } from '../../../shared/protocol/topics.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';
import { type RecordingLog, recordingLog } from '../../support/recording-log.ts';

/** Lost if these fail: a restarted broker shows nothing, or old states of cameras and models for ever. */

const topics = topicsOf();
let broker: MemoryBroker;
let log: RecordingLog;
let publisher: Publisher;
beforeEach(() => {
  broker = new MemoryBroker();
  log = recordingLog();
  publisher = new Publisher(broker.bus(), topics, new LogThrottle(log, () => 0));
});

/** What was published since the last call, as `topic payload`, with `!` where it is retained. */
function said(): string[] {
  const messages = broker.published.splice(0);
  return messages.map(
    ({ topic, payload, retain }) => `${topic} ${new TextDecoder().decode(payload)}${retain ? '!' : ''}`,
  );
}

const result = (camera: string, status: 'ok' | 'error') =>
  publisher.result({ camera, model: 'm', id: '1-1', frame: 'f', status } as ResultObject, status, []);

test('publishes the newest states again on every connection, but neither news, nor figures, nor results', async () => {
  publisher.retain('a', 'old');
  publisher.retain('a', 'new');
  publisher.retain('b', 'state');
  publisher.event('c', 'news');
  publisher.sample('d', 'figures');
  await result('front', 'ok');
  expect(said()).toEqual(['a old!', 'a new!', 'b state!', 'c news', 'd figures', 'tessera/result/front/m ok!']);
  publisher.announce();
  expect(said()).toEqual(['a new!', 'b state!']);
});

test('clears states and results of a camera that is forgotten, and nothing else', async () => {
  publisher.retain('front-status', 'online', 'front');
  publisher.retain('back-status', 'online', 'back');
  await result('front', 'ok');
  said();
  publisher.forget('front');
  expect(said()).toEqual(['front-status !', 'tessera/result/front/m !']);
  publisher.announce();
  expect(said()).toEqual(['back-status online!']);
});

test('does not retain an error, which is news about one frame', async () => {
  await result('front', 'error');
  expect(said()).toEqual(['tessera/result/front/m error']);
});

test('says whether the broker has a result; failures are logged once a minute and topic, those of figures never', async () => {
  const bus = { ...broker.bus(), publish: () => Promise.reject(new Error('offline')) };
  publisher = new Publisher(bus, topics, new LogThrottle(log, () => 0));
  publisher.sample('d', 'figures');
  expect([await result('front', 'ok'), await result('front', 'ok')]).toEqual([false, false]);
  expect(log.lines).toEqual([expect.stringContaining('publishing on tessera/result/front/m failed: offline')]);
});
