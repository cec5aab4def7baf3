import type { ResultObject } from '../../shared/protocol/messages/result.ts';

/** A result of a frame without findings; `more` sets what a test is about. */
export function emptyResult(more: Partial<ResultObject> = {}): ResultObject {
  return {
    v: 1,
    id: 'i',
    frame: 'f',
    camera: 'front',
    model: 'm',
    model_version: 'sha256:00',
    frame_time: 0,
    latency_ms: 1,
    width: 1,
    height: 1,
    task: 'raw',
    status: 'ok',
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
    ...more,
  };
}
