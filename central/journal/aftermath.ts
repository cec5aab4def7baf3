import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { ResultObject } from '../../shared/protocol/messages.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Journal } from './journal.ts';
import { delivered } from './ledger.ts';
import type { JournalEntry } from './lines.ts';

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
 * Ends what an earlier run left open, once there is a connection: with the result TESSERA_CENTRAL_RESTARTED, unless
 * the broker has the frame's own. A crash in the middle of this leaves the rest to the next run.
 */
export function endLeftFrames({ bus, topics, journal, log }: AftermathOptions): void {
  const left = journal.before.filter(({ ended }) => !ended);
  if (left.length === 0) return;
  let begun = false;
  bus.onConnect(() => {
    if (begun) return;
    begun = true;
    endAll(left)
      .then((ended) => log.warn(`${left.length} frames were under way when central ended; ${ended} end with an error`))
      .catch((error: unknown) => log.error(`frames of the last run could not be ended: ${error}`));
  });

  const endAll = async (entries: readonly JournalEntry[]): Promise<number> => {
    const known = await retainedResults(bus, topics, journal.before);
    // All that left count, also those acknowledged before the crash: they tell how far the broker came.
    const there = delivered(journal.before, known);
    for (const { n } of entries) if (there.has(n)) journal.ended(n);
    const lost = entries.filter(({ n }) => !there.has(n));
    for (const entry of lost) {
      const result = JSON.stringify(restarted(entry, Date.now() / 1000));
      await bus.publish(topics.result(entry.camera, entry.model), result, { qos: 1 });
      journal.ended(entry.n);
    }
    return lost.length;
  };
}

/** The i_ids of the results that the broker retains, for the topics where a result may or may not have arrived. */
async function retainedResults(
  bus: Bus,
  topics: Topics,
  entries: readonly JournalEntry[],
): Promise<ReadonlyMap<string, string>> {
  const open = entries.filter(({ ended, left }) => !ended && left !== undefined);
  const wanted = new Map(open.map(({ camera, model }) => [topics.result(camera, model), `${camera}/${model}`]));
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, RETAINED_MS);
    const onResult = ({ topic, payload, retained }: Message): void => {
      const key = wanted.get(topic);
      const id = retained ? idOf(payload) : undefined;
      if (key === undefined || id === undefined) return;
      found.set(key, id);
      if (found.size < wanted.size) return;
      clearTimeout(timer);
      resolve();
    };
    for (const topic of wanted.keys()) bus.subscribe(topic, 1, onResult).catch(() => {});
  });
  for (const topic of wanted.keys()) await bus.unsubscribe(topic);
  return found;
}

function idOf(payload: Uint8Array): string | undefined {
  try {
    const { id } = JSON.parse(Buffer.from(payload).toString('utf8')) as { id?: unknown };
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
}

/** The result of a frame that nobody can compute any more. */
function restarted(entry: JournalEntry, now: number): ResultObject {
  return {
    v: 1,
    // One that waited was not given an id yet.
    id: entry.i_id ?? `0-${entry.n}`,
    frame: entry.frame,
    camera: entry.camera,
    model: entry.model,
    model_version: `sha256:${entry.sha}`,
    frame_time: entry.time,
    latency_ms: Math.max(0, Math.round((now - entry.taken) * 1000)),
    width: null,
    height: null,
    task: entry.task,
    status: 'error',
    top: null,
    predictions: [],
    approximate: false,
    missing: [],
    exit: null,
    plan: null,
    nodes: [],
    bytes_up: 0,
    bytes_down: 0,
    tiles_per_node: {},
    error: {
      code: 'TESSERA_CENTRAL_RESTARTED',
      message: 'central ended while the frame was under way',
      hint: 'send it again',
    },
  };
}
