import type { Failure } from '../../shared/errors.ts';
import type { FallbackReason, Outcome } from '../../shared/protocol/messages/result.ts';

/** What happened to one part at one node, for traces. Times are ms since the frame was offered. */
export interface PartTrace {
  readonly stage: number;
  readonly t_id: number;
  readonly node: string;
  readonly attempt: number;
  /** Null while the request waited for credit. */
  readonly sent_ms: number | null;
  /** Null where no answer came in time. */
  readonly received_ms: number | null;
  /** When its outputs were in central's tensors; null where they were not used, or stayed at the node. */
  readonly pasted_ms: number | null;
  readonly compute_ms: number | null;
  /** How long the message waited at the node; null where no answer came in time. */
  readonly queue_ms: number | null;
  /** Encoded bytes of the outputs. */
  readonly bytes: number;
  /** Whether this was a second request for a part that was slow elsewhere. */
  readonly hedged: boolean;
  /** Whether the frame used the outputs of this request. */
  readonly used: boolean;
}

/** When a frame's own steps were over, ms since it was offered; null where it ended before. */
export interface FrameSteps {
  /** It had waited for its turn. */
  readonly accepted_ms: number;
  /** It was decoded. */
  readonly opened_ms: number | null;
  /** Every part was there; what follows is the prediction from the network's outputs. */
  readonly finishing_ms: number | null;
}

/** Why other nodes, such as central, computed what the plan gives to some. */
export interface Fallback {
  readonly reason: FallbackReason;
  /** For people. */
  readonly text: string;
}

/** How an accepted frame ended. */
export interface FrameEnd {
  readonly i_id: string;
  readonly camera: string;
  readonly model: string;
  readonly frame: string;
  readonly plan: string;
  readonly outcome: Outcome;
  /** Parts whose outputs are zeros (`degraded`) or did not come (`error`). */
  readonly missing: readonly { readonly stage: number; readonly t_id: number }[];
  /** The tensor of the exit that the frame ended at; null where it ran through all stages or failed. */
  readonly exit: string | null;
  /** Nodes whose parts were used, sorted; `central` where it computed some itself. */
  readonly nodes: readonly string[];
  /** Parts used, by node, over all stages. */
  readonly tiles_per_node: Readonly<Record<string, number>>;
  readonly bytes_up: number;
  readonly bytes_down: number;
  /** Encoded bytes that nodes sent to other nodes. */
  readonly bytes_between: number;
  /** From offered to ended. */
  readonly latency_ms: number;
  /** Present where other nodes computed parts than the plan gives them to. */
  readonly fallback?: Fallback;
  /** Present exactly where the outcome is `error`. */
  readonly failure?: Failure;
  /** Absent where several sections of a picture were frames of their own. */
  readonly steps?: FrameSteps;
  readonly trace: readonly PartTrace[];
  /** Number of sections that its picture was seen in; absent: it was seen whole. */
  readonly sections?: number;
}
