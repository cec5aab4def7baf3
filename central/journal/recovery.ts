import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { RESULT_CONNECTIONS } from '../publish/publisher.ts';
import { restartResult } from '../publish/restart-result.ts';
import type { JournalEntry } from './format.ts';
import type { Journal } from './journal.ts';

/** What recovery needs. */
export interface RecoveryOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly journal: Journal;
  readonly log: Log;
}

/** Retained messages follow the acknowledgement of a subscription at once; slow brokers get this long. */
const RETAINED_MS = 500;

/**
 * Ends the frames that an earlier run left open, once there is a connection. Resolves when all of their results have been
 * handed to the bus, before any result of this run.
 *
 *   1. A frame without a published result ends with TESSERA_CENTRAL_RESTARTED: no other end of it can have been seen.
 *   2. A published result may have arrived or not. Where a retained result shows that it has, recovery publishes nothing;
 *      otherwise it publishes the same result, byte for byte. So a frame never has two different ends, after any number of
 *      crashes. The repetition is not retained: results of another central are newer.
 *   3. Recovery publishes all results at once, in the order of their first publication: a slow broker delays nothing, and
 *      what it retains later still shows which results it has.
 *   4. Results that cannot be published are published on the next connection, or by the next run.
 */
export function recoverFrames({ bus, topics, journal, log }: RecoveryOptions): Promise<void> {
  const open = new Set(journal.before.filter(({ ended }) => !ended));
  if (open.size === 0) return Promise.resolve();

  /** Ends the frames whose results the broker has. Retained results tell nothing once this run has published some. */
  const leaveOutDelivered = async (): Promise<void> => {
    const retained = await retainedResults(bus, topics, [...open]);
    // Ended frames count too: they show how far the broker had come.
    const arrived = delivered(journal.before, retained);
    const count = open.size;
    for (const entry of open) {
      if (!arrived.has(entry.n)) continue;
      journal.ended(entry.n);
      open.delete(entry);
    }
    const again = [...open].filter(({ result }) => result !== undefined).length;
    log.warn(
      `frames under way when central ended: ${count}; ending with an error: ${open.size - again}; results published again: ${again}`,
    );
  };

  /** Hands all results to the bus; each promise resolves when the broker has acknowledged that one. */
  const publishAll = async (): Promise<Promise<void>[]> => {
    const inOrder = [...open].sort((a, b) => (a.publishOrder ?? Infinity) - (b.publishOrder ?? Infinity));
    const results = inOrder.map((entry) => {
      if (entry.result === undefined || idOf(entry.result) === undefined) {
        entry.result = JSON.stringify(restartResult(entry, Date.now() / 1000));
        journal.publishing(entry.n, entry.result);
      }
      return entry.result;
    });
    await journal.whenWritten();
    return inOrder.map(async (entry, i) => {
      try {
        const options = { qos: 1, connections: RESULT_CONNECTIONS } as const;
        await bus.publish(topics.result(entry.camera, entry.model), results[i]!, options);
        open.delete(entry);
        journal.ended(entry.n);
      } catch (error) {
        // Its next publication is behind other results: a result that the broker retains then does not tell of this one.
        journal.publishing(entry.n, results[i]!);
        throw error;
      }
    });
  };

  let ending = false;
  /** A connection was made while results of the one before were not settled. */
  let again = false;
  let isFirst = true;
  return new Promise((resolve) => {
    const end = async (): Promise<void> => {
      if (open.size === 0) return;
      if (ending) {
        again = true;
        return;
      }
      ending = true;
      try {
        const mayAsk = isFirst;
        isFirst = false;
        if (mayAsk) await leaveOutDelivered();
        const published = await publishAll();
        resolve();
        await Promise.all(published);
      } catch (error) {
        log.error(`frames of the last run could not be ended: ${error}`);
        resolve();
      } finally {
        ending = false;
      }
      if (!again) return;
      again = false;
      await end();
    };
    bus.onConnect(() => void end());
  });
}

/** The i_id of the result that the broker retains, by `<camera>/<model>`, where a result of the earlier run may have arrived. */
async function retainedResults(
  bus: Bus,
  topics: Topics,
  open: readonly JournalEntry[],
): Promise<ReadonlyMap<string, string>> {
  const published = open.filter((entry) => entry.publishOrder !== undefined);
  const wanted = new Map(published.map(({ camera, model }) => [topics.result(camera, model), `${camera}/${model}`]));
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  let allFound: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    allFound = resolve;
  });
  const onResult = ({ topic, payload, retained }: Message): void => {
    const key = wanted.get(topic);
    const id = retained ? idOf(Buffer.from(payload).toString('utf8')) : undefined;
    if (key === undefined || id === undefined) return;
    found.set(key, id);
    if (found.size === wanted.size) allFound();
  };
  const subscribed = await Promise.all([...wanted.keys()].map((topic) => bus.subscribe(topic, 1, onResult)));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, RETAINED_MS);
  });
  await Promise.race([all, late]);
  clearTimeout(timer);
  for (const unsubscribe of subscribed) await unsubscribe();
  return found;
}

function idOf(result: string): string | undefined {
  try {
    const { id } = JSON.parse(result) as { id?: unknown };
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Numbers of the frames whose results the broker has for sure: those that were published before, or are, a result that the
 * broker retains, because one connection carried them in order. `retained`: i_id of the retained result by
 * `<camera>/<model>`.
 */
export function delivered(entries: readonly JournalEntry[], retained: ReadonlyMap<string, string>): Set<number> {
  let newest = -1;
  for (const { camera, model, i_id, publishOrder } of entries)
    if (publishOrder !== undefined && i_id !== undefined && retained.get(`${camera}/${model}`) === i_id)
      newest = Math.max(newest, publishOrder);
  return new Set(
    entries.flatMap(({ n, publishOrder }) => (publishOrder !== undefined && publishOrder <= newest ? [n] : [])),
  );
}
