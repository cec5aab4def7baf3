import { failureOf } from '../errors.ts';
import type { Log } from '../ports.ts';
import type { ResultMessage, WorkMessage } from '../protocol/messages/work.ts';
import { PART_LIMIT_BYTES } from '../protocol/parts.ts';
import type { Executor, PartOutcome } from './executor-types.ts';
import { ResultGroup } from './result-group.ts';
import { type SendTensors, TensorSender } from './tensor-sender.ts';
import { answerOf, deliveries, type WorkPart } from './work-parts.ts';

/** What running needs. `now` is a steady clock, milliseconds. */
export interface RunOptions {
  readonly executor: Pick<Executor, 'run'>;
  readonly sendTensors: SendTensors;
  readonly now: () => number;
  readonly log: Log;
  /** Results are combined up to this size, so that fewer messages are sent. */
  readonly messageBytes: number;
}

/** Parts of one work message to run, and who hears of them. */
export interface PartsToRun<P extends WorkPart> {
  readonly parts: readonly P[];
  /** Called once for each part, as soon as it is known. */
  readonly ended: (part: P, outcome: PartOutcome) => void;
  /** Called with the answers; every part is in one of them. */
  readonly answer: (tiles: ResultMessage['tiles'], queueMs: number) => void;
}

/** The frame and stage of parts. */
type Address = Pick<WorkMessage, 'plan' | 'i_id' | 'stage' | 'attempt'>;

/**
 * Runs parts, sends what they made to other nodes, and answers them. A part is answered after the network has what it
 * made for others: so a slow link slows the node down, and what waits to be sent is at most the outputs of the parts
 * that run. Never throws.
 */
export async function runParts<P extends WorkPart>(
  { executor, sendTensors, now, log, messageBytes }: RunOptions,
  address: Address,
  { arrivedMs }: { readonly arrivedMs: number },
  { parts, ended, answer }: PartsToRun<P>,
): Promise<void> {
  const { plan, i_id, stage } = address;
  const open = new Map(parts.map((part) => [part.tile.t_id, part]));
  const group = new ResultGroup(messageBytes);
  const tensors = new TensorSender(sendTensors, address, PART_LIMIT_BYTES);
  const sending: Promise<void>[] = [];
  let queueMs: number | undefined;
  const add = (tile: ResultMessage['tiles'][number]): void => {
    for (const tiles of group.add(tile)) answer(tiles, queueMs ?? 0);
  };
  const onOutcome = (outcome: PartOutcome): void => {
    const part = open.get(outcome.t_id)!;
    open.delete(outcome.t_id);
    ended(part, outcome);
    if ('error' in outcome) {
      add(outcome);
      return;
    }
    const { t_id, out, compute_ms, waited_ms = 0 } = outcome;
    queueMs ??= Math.max(0, now() - waited_ms - compute_ms - arrivedMs);
    const done = (ms: number): void => add({ t_id, out: answerOf(part, out, ms), compute_ms });
    const away = deliveries(part, out);
    if (away.length === 0) {
      done(0);
      return;
    }
    const started = now();
    sending.push(
      tensors.add(t_id, away).then(
        () => done(now() - started),
        (error) => add(failed(t_id, `an output could not be sent: ${failureOf(error).message}`)),
      ),
    );
  };
  try {
    const tiles = parts.map(({ tile }) => tile);
    await executor.run({ plan, i_id, stage, batchBytes: messageBytes, tiles }, onOutcome);
  } catch (error) {
    const { message } = failureOf(error);
    log.error(`work failed: ${message}`, { plan });
    for (const tId of [...open.keys()]) onOutcome(failed(tId, message));
  }
  tensors.flush();
  await Promise.all(sending);
  const rest = group.rest();
  if (rest !== undefined) answer(rest, queueMs ?? 0);
}

function failed(t_id: number, text: string) {
  return { t_id, error: { code: 'run-failed', text: text.slice(0, 1000) } } as const;
}
