import { startBroker } from '../../broker/broker.ts';
import type { BrokerOptions, RunningBroker } from '../../broker/broker-options.ts';
import { type RecordingLog, recordingLog } from './recording-log.ts';

/** A broker on a free port of this machine, and its log; a function that stops it is added to `stops`. */
export async function localBroker(
  stops: (() => unknown)[],
  options: Partial<BrokerOptions> = {},
): Promise<{ broker: RunningBroker; log: RecordingLog; url: string }> {
  const log = recordingLog();
  const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log, ...options });
  stops.push(() => broker.stop());
  return { broker, log, url: broker.urls[0]! };
}
