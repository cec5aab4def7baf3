import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { AcceptedFrame } from '../journal/format.ts';
import { resultOf } from './result.ts';

/** A frame in the journal that has no result; without an `i_id` where the coordinator had not accepted it. */
export interface UnfinishedFrame extends AcceptedFrame {
  /** The frame's number in the journal. */
  readonly n: number;
  readonly i_id?: string | undefined;
}

/**
 * The error result of a frame that central stopped working on. `now`: Unix seconds. A frame without an `i_id` gets one
 * that no frame of any other central has.
 */
export function restartResult(
  { n, i_id, acceptedAt, time, sha, task, ...frame }: UnfinishedFrame,
  now: number,
): ResultObject {
  const failure = {
    code: 'TESSERA_CENTRAL_RESTARTED',
    message: 'central ended while the frame was under way',
    hint: 'send it again',
  } as const;
  const end = {
    ...frame,
    i_id: i_id ?? `0-${Math.round(acceptedAt * 1000)}-${n}`,
    outcome: 'error',
    latency_ms: Math.max(0, Math.round((now - acceptedAt) * 1000)),
    missing: [],
    exit: null,
    plan: null,
    nodes: [],
    bytes_up: 0,
    bytes_down: 0,
    bytes_between: 0,
    tiles_per_node: {},
    failure,
  } as const;
  const facts = { modelSha: sha, task, time, width: null, height: null, exits: [], approximate: false };
  return resultOf(end, { ...facts, answer: undefined });
}
