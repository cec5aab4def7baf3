import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { RESULT_CONNECTIONS } from '../publish/publisher.ts';
import { restartResult } from '../publish/restart-result.ts';
import type { JournalEntry } from './format.ts';
import { delivered } from './frame-tracker.ts';
import type { Journal } from './journal.ts';

/** What ending the frames of an earlier run needs. */
export interface RecoveryOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly journal: Journal;
  readonly log: Log;
}

/** Retained messages follow the acknowledgement of a subscription at once; this is for slow brokers. */
const RETAINED_MS = 500;

/**
 * Ends what an earlier run left open, once there is a connection; resolves when all of it has been handed to the broker,
 * before anything of this run is.
 *
 *   1. A frame of which no result had left ends with TESSERA_CENTRAL_RESTARTED. Nobody has seen another end of it.
 *   2. A result that had left may have arrived or not. Where the broker shows that it has it, nothing is said; else the
 *      same is said again, to the byte: a frame never has two ends that differ, as often as somebody crashes. It is not
 *      retained this time: what another central has said since is newer.
 *   3. All are said at once, in the order in which the journal says that they left: a broker that takes its time for each
 *      keeps nobody waiting, and what it retains later still tells what it has.
 *   4. What cannot be said is left to the next connection, and to the next run.
 */
export function recoverFrames({ bus, topics, journal, log }: RecoveryOptions): Promise<void> {
  const left = new Set(journal.before.filter(({ ended }) => !ended));
  if (left.size === 0) return Promise.resolve();

  /** What the broker shows that it has has ended; nothing is known once this run has said something. */
  const leaveOutDelivered = async (): Promise<void> => {
    const known = await retainedResults(bus, topics, [...left]);
    // All that left count, also those acknowledged before the crash: they tell how far the broker came.
    const there = delivered(journal.before, known);
    const count = left.size;
    for (const entry of left) {
      if (!there.has(entry.n)) continue;
      journal.ended(entry.n);
      left.delete(entry);
    }
    const again = [...left].filter(({ result }) => result !== undefined).length;
    log.warn(
      `frames under way when central ended: ${count}; ending with an error: ${left.size - again}; results said again: ${again}`,
    );
  };

  /** Hands all of them to the broker; each promise resolves when it has that one. */
  const sayAll = async (): Promise<Promise<void>[]> => {
    const inOrder = [...left].sort((a, b) => (a.left ?? Infinity) - (b.left ?? Infinity));
    const results = inOrder.map((entry) => {
      if (entry.result === undefined || idOf(entry.result) === undefined) {
        entry.result = JSON.stringify(restartResult(entry, Date.now() / 1000));
        journal.leaving(entry.n, entry.result);
      }
      return entry.result;
    });
    await journal.whenWritten();
    return inOrder.map(async (entry, i) => {
      try {
        const options = { qos: 1, connections: RESULT_CONNECTIONS } as const;
        await bus.publish(topics.result(entry.camera, entry.model), results[i]!, options);
        left.delete(entry);
        journal.ended(entry.n);
      } catch (error) {
        // It leaves once more, behind what was said since: what the broker retains of that does not tell of this one.
        journal.leaving(entry.n, results[i]!);
        throw error;
      }
    });
  };

  let ending = false;
  /** A connection came while what the one before had been handed was not settled. */
  let again = false;
  let isFirst = true;
  return new Promise((resolve) => {
    const end = async (): Promise<void> => {
      if (left.size === 0) return;
      if (ending) {
        again = true;
        return;
      }
      ending = true;
      try {
        const mayAsk = isFirst;
        isFirst = false;
        if (mayAsk) await leaveOutDelivered();
        const said = await sayAll();
        resolve();
        await Promise.all(said);
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

/** The i_ids of the results that the broker retains, for the topics where a result may or may not have arrived. */
async function retainedResults(
  bus: Bus,
  topics: Topics,
  left: readonly JournalEntry[],
): Promise<ReadonlyMap<string, string>> {
  const open = left.filter((entry) => entry.left !== undefined);
  const wanted = new Map(open.map(({ camera, model }) => [topics.result(camera, model), `${camera}/${model}`]));
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
  await Promise.all([...wanted.keys()].map((topic) => bus.subscribe(topic, 1, onResult)));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, RETAINED_MS);
  });
  await Promise.race([all, late]);
  clearTimeout(timer);
  for (const topic of wanted.keys()) await bus.unsubscribe(topic);
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
