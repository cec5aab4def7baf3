import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Journal } from './journal.ts';
import { delivered } from './ledger.ts';
import type { JournalEntry } from './lines.ts';
import { restarted } from './restarted.ts';

/** What ending the frames of an earlier run needs. */
export interface AftermathOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly journal: Journal;
  readonly log: Log;
}

/** Retained messages follow the acknowledgement of a subscription at once; this is for slow brokers. */
const RETAINED_MS = 500;

/**
 * Ends what an earlier run left open, once there is a connection; resolves when all of it has been tried.
 *
 *   1. A frame of which no result had left ends with TESSERA_CENTRAL_RESTARTED. Nobody has seen another end of it.
 *   2. A result that had left may have arrived or not. Where the broker shows that it has it, nothing is said; else the
 *      same is said again, to the byte: a frame never has two ends that differ, as often as somebody crashes. It is not
 *      retained this time: what another central has said since is newer.
 *   3. What cannot be said is left to the next connection, and to the next run.
 */
export function endLeftFrames({ bus, topics, journal, log }: AftermathOptions): Promise<void> {
  const left = journal.before.filter(({ ended }) => !ended);
  if (left.length === 0) return Promise.resolve();

  const endAll = async (): Promise<void> => {
    const known = await retainedResults(bus, topics, left);
    // All that left count, also those acknowledged before the crash: they tell how far the broker came.
    const there = delivered(journal.before, known);
    for (const { n } of left.filter(({ n }) => there.has(n))) journal.ended(n);
    const rest = left.filter(({ n }) => !there.has(n));
    const again = rest.filter(({ result }) => result !== undefined);
    log.warn(
      `${left.length} frames were under way when central ended: ${rest.length - again.length} end with an error, ` +
        `the results of ${again.length} are said again`,
    );
    left.splice(0, left.length, ...rest);
    for (const entry of rest) {
      let { result } = entry;
      if (result === undefined || idOf(result) === undefined) {
        result = JSON.stringify(restarted(entry, Date.now() / 1000));
        journal.leaving(entry.n, result);
        entry.result = result;
        await journal.whenWritten();
      }
      await bus.publish(topics.result(entry.camera, entry.model), result, { qos: 1 });
      journal.ended(entry.n);
      left.shift();
    }
  };

  let ending: Promise<void> | undefined;
  return new Promise((resolve) => {
    bus.onConnect(() => {
      if (ending !== undefined || left.length === 0) return;
      ending = endAll()
        .catch((error: unknown) => log.error(`frames of the last run could not be ended: ${error}`))
        .finally(() => {
          ending = undefined;
          resolve();
        });
    });
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
