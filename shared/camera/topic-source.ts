import type { Bus } from '../ports.ts';
import type { Source } from './source.ts';

/**
 * The JPEG or PNG files that another client publishes on `topic`; one that was not taken before the next arrives is
 * replaced.
 */
export async function topicSource(bus: Bus, topic: string): Promise<Source> {
  let newest: Uint8Array | undefined;
  let wake: () => void = () => {};
  let count = 0;
  const unsubscribe = await bus.subscribe(topic, 0, ({ payload, retained }) => {
    if (retained) return;
    newest = new Uint8Array(payload);
    wake();
  });
  return {
    flows: true,
    async next() {
      if (newest === undefined)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const bytes = newest;
      newest = undefined;
      return bytes === undefined ? undefined : { id: `topic-${count++}`, bytes };
    },
    async stop() {
      await unsubscribe();
      wake();
    },
  };
}
