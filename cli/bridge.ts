import type { Bridge } from '../broker/bridge.ts';
import type { RunningBroker } from '../broker/broker-options.ts';
import type { Config } from '../shared/config/schema.ts';
import type { Log } from '../shared/ports.ts';

/** Starts the bridge of a configuration; undefined where there is none. Throws TESSERA_BROKER, TESSERA_CONFIG. */
export async function bridgeOf(config: Config, broker: RunningBroker, log: Log): Promise<Bridge | undefined> {
  const url = config.broker.bridge;
  if (url === undefined) return undefined;
  const { Bridge } = await import('../broker/bridge.ts');
  const bridge = new Bridge({
    broker,
    remote: { url },
    base: config.mqtt.base_topic,
    prefix: config.homeassistant.prefix,
    log,
  });
  await bridge.start();
  return bridge;
}
