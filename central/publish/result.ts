import type { Prediction, ResultObject, Task } from '../../shared/protocol/messages/result.ts';
import type { FrameEnd } from '../coordinator/frame-end.ts';

/** How a frame ended; `plan` is null where it was not accepted. */
type End = Omit<FrameEnd, 'plan' | 'trace'> & { readonly plan: string | null };

/** What is known of a frame beside how it ended. */
export interface FrameFacts {
  /** SHA-256 of the model's file. */
  readonly modelSha: string;
  readonly task: Task;
  /** Unix seconds. */
  readonly time: number;
  readonly width: number | null;
  readonly height: number | null;
  /** The exits of model.yaml. */
  readonly exits: readonly { readonly tensor: string }[];
  /** Whether the plan's result may differ from the whole network's. */
  readonly approximate: boolean;
  /** The trace context that came with it. */
  readonly traceparent?: string | undefined;
  readonly answer:
    | { readonly top: { label: string; score: number } | null; readonly predictions: Prediction[] }
    | undefined;
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

/** The object on `<base>/result/<camera>/<model>`. A frame that ended with an error has no predictions. */
export function resultOf(end: End, facts: FrameFacts): ResultObject {
  const answer = end.outcome === 'error' ? undefined : facts.answer;
  return {
    v: 1,
    id: end.i_id,
    frame: end.frame,
    camera: end.camera,
    model: end.model,
    model_version: `sha256:${facts.modelSha}`,
    frame_time: facts.time,
    latency_ms: round(end.latency_ms),
    width: facts.width,
    height: facts.height,
    task: facts.task,
    status: end.outcome,
    top: answer?.top ?? null,
    predictions: answer?.predictions ?? [],
    approximate: facts.approximate || end.outcome === 'degraded' || end.exit !== null,
    missing: end.missing.map(({ stage, t_id }) => ({ stage, t_id })),
    exit: end.exit === null ? null : facts.exits.findIndex(({ tensor }) => tensor === end.exit),
    plan: end.plan,
    nodes: [...end.nodes],
    bytes_up: end.bytes_up,
    bytes_down: end.bytes_down,
    ...(end.bytes_between === 0 ? {} : { bytes_between: end.bytes_between }),
    tiles_per_node: { ...end.tiles_per_node },
    ...(facts.traceparent === undefined ? {} : { traceparent: facts.traceparent }),
    ...(end.sections === undefined ? {} : { sections: end.sections }),
    ...(end.fallback === undefined ? {} : { fallback: { ...end.fallback } }),
    ...(end.failure === undefined ? {} : { error: { ...end.failure } }),
  };
}
