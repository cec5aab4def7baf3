import type { Outcome, SkipReason } from '../../shared/protocol/messages/result.ts';
import type { CameraPolicy } from './options.ts';

/** Where frames come from. */
export interface Camera {
  readonly id: string;
  policy: CameraPolicy;
  /** Whether its policy was given; then it is never forgotten. */
  configured: boolean;
  /** Waiting frames by model, oldest first. */
  readonly waiting: Map<string, QueuedFrame[]>;
  /** When the next frame is within max_fps. */
  next_at: number;
  /** Turn in which it was last served. */
  turn: number;
  /** Bytes of its payloads that wait or are being decoded. */
  payload_bytes: number;
  /** Frames that have been, and when they were offered, oldest first; `before`: to an earlier run of central. */
  readonly recent: Map<string, { readonly at: number; readonly before: boolean }>;
  readonly counts: {
    offered: number;
    readonly outcomes: Record<Outcome, number>;
    readonly skipped: Partial<Record<SkipReason, number>>;
  };
}

/** A frame that is not accepted yet. */
export interface QueuedFrame {
  readonly ref: string;
  readonly camera: Camera;
  readonly model: string;
  readonly frame: string;
  readonly offered_at: number;
}

/** A payload that the shell holds. */
export interface Payload {
  readonly camera: Camera;
  readonly bytes: number;
  /** Waiting and opening frames that need it. */
  users: number;
}
