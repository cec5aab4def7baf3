import type { Epochs } from '../shared/node/epochs.ts';
import type { Bus, Log } from '../shared/ports.ts';
import { readCentralStatus } from '../shared/protocol/central-status.ts';
import type { Topics } from '../shared/protocol/topics.ts';

/**
 * Tells the node which epochs centrals claim. Resolves once the broker has granted the subscription; where it does not,
 * the node follows the highest epoch in messages.
 */
export async function watchCentrals(bus: Bus, topics: Topics, epochs: Epochs, log: Log): Promise<void> {
  try {
    await bus.subscribe(topics.centralStatusAll, 1, ({ topic, payload }) => {
      const status = readCentralStatus(payload);
      // By topic, as the broker's access rules are about topics.
      const central = topic.split('/').at(-2)!;
      epochs.claimed(central, status ?? { state: 'lost', epoch: 0 });
    });
  } catch (error) {
    log.debug(`the status of a central cannot be read: ${error}`);
  }
}
