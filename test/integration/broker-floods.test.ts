import { expect, test } from 'vitest';
import { startBroker } from '../../broker/broker.ts';
import { silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { recordingLog } from '../support/recording-log.ts';

test("a node's flood is limited to its rate and logged, and costs other clients no message", async () => {
  const log = recordingLog();
  const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log });
  const url = broker.urls[0]!;
  const connect = (clientId: string) => connectBus({ url, clientId, log: silentLog });
  const [central, flooder, sound] = await Promise.all([connect('central'), connect('flooder'), connect('sound')]);
  let poured = 0;
  const heard: string[] = [];
  let onLast: () => void = () => {};
  const last = new Promise<void>((resolve) => {
    onLast = resolve;
  });
  await central.subscribe('tessera-wire/1/central/#', 1, ({ topic, payload }) => {
    if (topic.endsWith('/flooder')) poured++;
    else heard.push(Buffer.from(payload).toString());
    if (heard.length === 100) onLast();
  });
  await central.subscribe('tessera/node/flooder/heartbeat', 0, () => poured++);
  for (let k = 0; k < 100; k++) {
    for (let n = 0; n < 30; n++) {
      void flooder.publish('tessera-wire/1/central/result/flooder', 'x');
      // 50 a second are the limit, which even a very busy machine exceeds.
      void flooder.publish('tessera/node/flooder/heartbeat', 'x');
    }
    await sound.publish('tessera-wire/1/central/control/sound', String(k), { qos: 1 });
  }
  await last;
  expect(heard).toEqual(Array.from({ length: 100 }, (_, k) => String(k)));
  expect(broker.counters.dropped.rate_limit).toBeGreaterThan(0);
  expect(poured + broker.counters.dropped.rate_limit).toBeLessThanOrEqual(6000);
  expect(log.lines.filter((line) => line.includes('above the rate'))).toHaveLength(1);
  await Promise.all([central, flooder, sound].map((bus) => bus.stop()));
  await broker.stop();
});
