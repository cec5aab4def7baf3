import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { TakenFrame } from '../journal/format.ts';

/** A frame that was taken in; without an `i_id` where it waited its turn still. */
export interface LeftFrame extends TakenFrame {
  /** Its number in the journal. */
  readonly n: number;
  readonly i_id?: string | undefined;
}

/**
 * The result of a frame that nobody computes any more. `now`: Unix seconds. One that waited was given no id; the one that
 * it gets here is no other frame's, whichever central it waited at.
 */
export function restartResult(frame: LeftFrame, now: number): ResultObject {
  return {
    v: 1,
    id: frame.i_id ?? `0-${Math.round(frame.taken * 1000)}-${frame.n}`,
    frame: frame.frame,
    camera: frame.camera,
    model: frame.model,
    model_version: `sha256:${frame.sha}`,
    frame_time: frame.time,
    latency_ms: Math.max(0, Math.round((now - frame.taken) * 1000)),
    width: null,
    height: null,
    task: frame.task,
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
