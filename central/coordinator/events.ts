import type { Failure } from '../../shared/errors.ts';
import type { Plan, Tier } from '../../shared/plan/plan.ts';
import type { NodeEventName } from '../../shared/protocol/messages/node.ts';
import type { FallbackReason, Outcome, SkipReason } from '../../shared/protocol/messages/result.ts';
import type { WorkError } from '../../shared/protocol/messages/work.ts';

/**
 * What the coordinator is told and what it asks for: plain data, never bytes.
 *
 * The shell owns payloads (`ref`), tensors of a frame (`i_id`) and undecoded part results (`handle`), and names them by
 * strings that the coordinator only passes back. One frame's way, events marked `>`, effects `<`:
 *
 *   > frame-offered    < skip-frame                                     not accepted, with a reason: the end of it
 *                      < open-frame (accepted: has an i_id from here)   decode it, allocate its tensors
 *   > frame-opened     < work ...                                       parts of the stages whose inputs are there
 *   > part-result      < paste | discard
 *   > pasted           < work of the next stage | finish                all outputs are there, or an exit is confident
 *   > finished         < publish, release-frame                         the end of it, exactly once
 *   > frame-failed     < publish, release-frame                         decoding failed, or the shell lost the tensors
 *
 * Work for central's own executor is the same `work` effect with node `central`; its answers are the same events.
 * `at` is the time of the event in ms of one monotonic clock. It never goes back.
 */

/** What is known of one part of a stage before it runs. */
export interface PartFacts {
  readonly t_id: number;
  /** Multiply-adds, halo included (`TileForm.macs`); at least 1 is assumed. */
  readonly cost: number;
  /** Bytes of its inputs and outputs as they travel. */
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** A plan with what the coordinator has to know of its stages; made by whoever has the stage forms. */
export interface PlanFacts {
  readonly plan: Plan;
  /** In the order of `plan.stages`; parts of each stage, at least one, in the order of
   * t_id from 0. A `whole` stage is one part, t_id 0. */
  readonly stages: readonly { readonly parts: readonly PartFacts[] }[];
  /** Bytes of all tensors that the shell holds for one open frame. */
  readonly frame_bytes: number;
}

/** How a camera's frames are treated. */
export interface CameraPolicy {
  /** `newest`: one waiting frame, a newer one takes its place; `every`: all of them, up to `queue_max`. */
  readonly keep: 'newest' | 'every';
  /** Waiting frames of this camera for one model, for `every`. */
  readonly queue_max: number;
  /** At most so many frames per second are considered; 0 is no limit. */
  readonly max_fps: number;
  /** `wait`: up to the hard limit; `fill`: parts missing `deadline_ms` after their stage began are zeros (ADCNN's T_L). */
  readonly deadline: 'wait' | 'fill';
  readonly deadline_ms: number;
}

/** What the coordinator can be told. */
export type Event = { readonly at: number } & (
  | /** The plan for new frames of a model. It takes over when it can start; frames keep the plan they began with. */
  { readonly type: 'plan'; readonly model: string; readonly facts: PlanFacts }
  | {
      /** A frame has arrived and is held as `ref`. One i_id is made per model that accepts it. */
      readonly type: 'frame-offered';
      readonly ref: string;
      readonly camera: string;
      /** The publisher's id, else one made from the content. */
      readonly frame: string;
      readonly models: readonly string[];
      /** Bytes of the payload. */
      readonly bytes: number;
      /** True where the publisher gave the id, so that it names one frame: a second one is skipped. */
      readonly dedupe: boolean;
      /** Delivered again by the broker (MQTT's DUP flag): skipped where it is known, whoever made the id. */
      readonly redelivered?: boolean;
    } /** An earlier run of central ended this frame: a redelivery of it is skipped, but it may be sent again. */
  | {
      readonly type: 'frame-known';
      readonly camera: string;
      readonly frame: string;
    } /** The answer to `open-frame`: its tensors are there. */
  | {
      readonly type: 'frame-opened';
      readonly i_id: string;
    } /** It cannot be decoded; or, at any time later, its tensors were lost. */
  | { readonly type: 'frame-failed'; readonly i_id: string; readonly failure: Failure }
  | {
      /** A node is online and has said what it is; again with another `boot_id` means that it was restarted. */
      readonly type: 'node-online';
      readonly node: string;
      readonly boot_id: string;
      readonly tier: Tier;
      /** Bytes of unanswered parts (inputs and outputs) that fit into its memory; absent: not known to be a limit. */
      readonly memory_bytes?: number;
    }
  | { readonly type: 'node-offline'; readonly node: string }
  | {
      readonly type: 'heartbeat';
      readonly node: string;
    } /** The answers to `prepare`. From `central` they come from its own executor. */
  | {
      readonly type: 'node-ready';
      readonly node: string;
      readonly plan: string;
      /** Of the `prepare` that it answers; one of an earlier question changes nothing. Absent: of the latest. */
      readonly ask?: number | undefined;
    }
  | {
      readonly type: 'node-refused';
      readonly node: string;
      readonly plan: string;
      readonly code: string;
      readonly text: string;
      readonly ask?: number | undefined;
    }
  | {
      /** Optional: bytes that a `work` effect became on the wire; only these count as bytes_up. Not for `central`. */
      readonly type: 'work-sent';
      readonly node: string;
      readonly i_id: string;
      readonly stage: number;
      readonly attempt: number;
      readonly bytes: number;
    }
  | {
      /** One part came back; `handle` names its undecoded outputs. Answered by exactly one `paste`, `discard` or `compare`. */
      readonly type: 'part-result';
      readonly node: string;
      readonly plan: string;
      readonly i_id: string;
      readonly stage: number;
      readonly t_id: number;
      readonly attempt: number;
      /** Encoded bytes of this part's outputs; 0 from `central`. */
      readonly bytes: number;
      readonly compute_ms: number;
      readonly queue_ms: number;
      readonly handle: string;
    }
  | {
      readonly type: 'part-error';
      readonly node: string;
      readonly plan: string;
      readonly i_id: string;
      readonly stage: number;
      readonly t_id: number;
      readonly attempt: number;
      readonly code: WorkError;
      readonly text: string;
    }
  | {
      /** The answer to `paste`; without `ok` the outputs were not what was asked for and the part is asked for again. */
      readonly type: 'pasted';
      readonly i_id: string;
      readonly stage: number;
      readonly t_id: number;
      readonly ok: boolean;
      /** The exit of this stage is confident enough: the frame ends with what it says. */
      readonly exit?: boolean;
    }
  | {
      /** The answer to `compare`: whether both results agree; null where the second was not what was asked for. */
      readonly type: 'compared';
      readonly audit: string;
      readonly agree: boolean | null;
    }
  | {
      /** The answer to `judge`: whose result agrees with what central computed; null where that failed. */
      readonly type: 'judged';
      readonly audit: string;
      readonly said: { readonly suspect: boolean; readonly auditor: boolean } | null;
    } /** The answer to `finish`; with a failure where the decoder could not make a prediction. */
  | {
      readonly type: 'finished';
      readonly i_id: string;
      readonly failure?: Failure;
    } /** The time of the last `set-timer` has come. An extra one does no harm. */
  | { readonly type: 'timer' }
  | {
      readonly type: 'camera-config';
      readonly camera: string;
      readonly policy: Partial<CameraPolicy>;
    } /** Accept nothing more; open frames are brought to their end, then `drained`. */
  | {
      readonly type: 'drain';
    } /** End every open frame now with TESSERA_CENTRAL_RESTARTED, release the plans, then `drained`. */
  | { readonly type: 'stop' }
);

/** Kind of an event. */
export type EventType = Event['type'];

/** Why a part result or error was not taken; counted, and given to `discard`. */
export const DISCARD_REASONS = ['duplicate', 'stray', 'late', 'stale-epoch'] as const;
/**
 * `duplicate`: this node answered it before; `late`: somebody else had, or the frame has ended; `stray`: the node was
 * not asked for it; `stale-epoch`: of another run of central.
 */
export type DiscardReason = (typeof DISCARD_REASONS)[number];

/** What happened to one part at one node, for traces. Times are ms since the frame was offered. */
export interface PartTrace {
  readonly stage: number;
  readonly t_id: number;
  readonly node: string;
  readonly attempt: number;
  /** Null while it was held back for credit. */
  readonly sent_ms: number | null;
  /** Null where no answer came in time. */
  readonly received_ms: number | null;
  readonly compute_ms: number | null;
  /** How long its message waited at the node; null where no answer came in time. */
  readonly queue_ms: number | null;
  /** Encoded bytes of the outputs. */
  readonly bytes: number;
  /** Whether this was a second request for a part that was slow elsewhere. */
  readonly hedged: boolean;
  /** Whether it is this one's outputs that the frame used. */
  readonly used: boolean;
}

/** Why central computed what the plan gives to nodes. */
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
  /** The tensor of the exit that it ended at; null where it ran through all stages or failed. */
  readonly exit: string | null;
  /** Nodes whose parts were used, sorted; `central` where it computed some itself. */
  readonly nodes: readonly string[];
  /** Parts used, by node, over all stages. */
  readonly tiles_per_node: Readonly<Record<string, number>>;
  readonly bytes_up: number;
  readonly bytes_down: number;
  /** From offered to ended. */
  readonly latency_ms: number;
  /** Present where central computed parts that the plan gives to nodes. */
  readonly fallback?: Fallback;
  /** Present exactly where the outcome is `error`. */
  readonly failure?: Failure;
  readonly trace: readonly PartTrace[];
}

/** What the coordinator asks of the shell, in the order given. */
export type Effect =
  | {
      /** Have a node (or `central`) load these stages of a plan; ends in `node-ready` or `node-refused`. May be repeated. */
      readonly type: 'prepare';
      readonly node: string;
      readonly plan: Plan;
      readonly stages: readonly number[];
      /** To be given back with the answer; the same where the same is asked again. */
      readonly ask: number;
    }
  | {
      readonly type: 'release-plan';
      readonly node: string;
      readonly plan: string;
    }
  | {
      /** Something about a node that people want to know; nothing depends on it. */
      readonly type: 'node-event';
      readonly node: string;
      readonly event: NodeEventName;
      readonly text: string;
      readonly plan?: string;
    } /** This plan now serves new frames of the model: publish it. */
  | {
      readonly type: 'plan-active';
      readonly model: string;
      readonly plan: string;
    } /** No frame uses the plan any more and no node is asked for it: forget its forms. */
  | { readonly type: 'plan-retired'; readonly plan: string }
  | {
      /** The frame is accepted: journal it, decode `ref` for the model; ends in `frame-opened` or `frame-failed`. */
      readonly type: 'open-frame';
      readonly i_id: string;
      readonly ref: string;
      readonly camera: string;
      readonly model: string;
      readonly frame: string;
      readonly plan: string;
    }
  | {
      /** Not accepted by this model; `model` is null where it is for the frame as a whole. */
      readonly type: 'skip-frame';
      readonly ref: string;
      readonly camera: string;
      readonly model: string | null;
      readonly frame: string;
      readonly reason: SkipReason;
    } /** Nobody will decode the payload any more. Comes once for every ref that was offered. */
  | { readonly type: 'free-payload'; readonly ref: string }
  | {
      /** Send these parts of one stage in one message; each answers with a `part-result` or a `part-error`. */
      readonly type: 'work';
      readonly node: string;
      readonly plan: string;
      readonly i_id: string;
      readonly stage: number;
      readonly attempt: number;
      readonly t_ids: readonly number[];
      readonly budget_ms: number;
      /** It is the second request of this audit: keep the inputs until `audit-over`. */
      readonly audit?: string;
    } /** The node need not do these any more, if it has not begun. */
  | {
      readonly type: 'cancel';
      readonly node: string;
      readonly plan: string;
      readonly i_id: string;
      readonly stage: number;
      readonly t_ids: readonly number[];
    } /** Decode the outputs into the frame's tensors; ends in `pasted`. */
  | {
      readonly type: 'paste';
      readonly handle: string;
      readonly i_id: string;
      readonly stage: number;
      readonly t_id: number;
      /** An audit begins: keep the outputs until `audit-over`. */
      readonly audit?: string;
    }
  | {
      /** Compare the outputs that were kept for an audit with these; ends in `compared`. */
      readonly type: 'compare';
      readonly audit: string;
      readonly handle: string;
    }
  | {
      /** Compute the part of an audit on central's own executor and compare; ends in `judged`. */
      readonly type: 'judge';
      readonly audit: string;
    } /** Forget what was kept for an audit. */
  | { readonly type: 'audit-over'; readonly audit: string }
  | {
      /** Two nodes differ, and central could not compute the part. */
      readonly type: 'audit-undecided';
      readonly nodes: readonly string[];
      readonly plan: string;
      readonly stage: number;
      readonly t_id: number;
    }
  | {
      /** A node answered wrongly and gets no more work: say so. `frames`: the last ended ones that used its results. */
      readonly type: 'leave-out';
      readonly node: string;
      readonly plan: string;
      readonly stage: number;
      readonly t_id: number;
      readonly frames: readonly string[];
    } /** A node that was left out has been restarted and gets work again. */
  | { readonly type: 'let-in'; readonly node: string }
  | {
      readonly type: 'discard';
      readonly handle: string;
      readonly why: DiscardReason;
    } /** Make the outputs of these parts zeros. No answer. */
  | {
      readonly type: 'fill';
      readonly i_id: string;
      readonly stage: number;
      readonly t_ids: readonly number[];
    } /** All outputs are there: run the task decoder and keep what it says; ends in `finished`. */
  | {
      readonly type: 'finish';
      readonly i_id: string;
      readonly missing: FrameEnd['missing'];
      /** The tensor that stands for the model's outputs, where the frame ends early. */
      readonly exit: string | null;
    } /** The frame has ended; for `ok` and `degraded` with what `finish` said. `release-frame` follows. */
  | ({ readonly type: 'publish' } & FrameEnd) /** The last effect for a frame: free its tensors. */
  | {
      readonly type: 'release-frame';
      readonly i_id: string;
    } /** Send one `timer` event at this time; replaces what was set before. */
  | {
      readonly type: 'set-timer';
      readonly at: number;
    } /** After `drain` or `stop`: no frame is open and none will be. Once. */
  | { readonly type: 'drained' };
