import { expect, test } from 'vitest';
import { topicSource } from '../../../shared/camera/topic-source.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

// Lost if these fail: cameras that share a topic silence each other, or an old picture is taken for a new one.

const picture = (value: number): Uint8Array => Uint8Array.of(0xff, 0xd8, 0xff, value);

test('of two cameras on one topic the other goes on when one stops', async () => {
  const broker = new MemoryBroker();
  const bus = broker.bus();
  const [stays, stops] = await Promise.all([topicSource(bus, 'yard/jpeg'), topicSource(bus, 'yard/jpeg')]);
  await stops.stop();
  await broker.publish('yard/jpeg', picture(1));
  expect((await stays.next())?.bytes).toEqual(picture(1));
});

test('the newest picture wins, and a retained one, whose age nobody knows, is none', async () => {
  const broker = new MemoryBroker();
  await broker.publish('yard/jpeg', picture(0), { retain: true });
  const source = await topicSource(broker.bus(), 'yard/jpeg');
  const first = source.next();
  await broker.publish('yard/jpeg', picture(1));
  expect((await first)?.bytes).toEqual(picture(1));
  await broker.publish('yard/jpeg', picture(2));
  await broker.publish('yard/jpeg', picture(3));
  expect((await source.next())?.bytes).toEqual(picture(3));
  await source.stop();
});
