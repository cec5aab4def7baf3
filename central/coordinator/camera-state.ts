import type { SectionLayout } from '../../shared/model/sections.ts';
import type { CameraPolicy } from './options.ts';

/** A camera and its waiting frames. */
export interface Camera {
  readonly id: string;
  policy: CameraPolicy;
  /** Whether a `camera-config` set its policy; then the camera is not forgotten. */
  configured: boolean;
  /** Waiting frames by model, oldest first. */
  readonly waiting: Map<string, QueuedFrame[]>;
  /** When the next frame may come without exceeding max_fps. */
  next_at: number;
  /** Number of the turn in which it was last served. */
  turn: number;
  /** Bytes of its payloads that wait or are being decoded. */
  payload_bytes: number;
  /** Recent frames by id, oldest first, and when they were offered; `before`: to an earlier run of central. */
  readonly recent: Map<string, { readonly at: number; readonly before: boolean }>;
}

/** A frame that waits to be accepted. */
export interface QueuedFrame {
  readonly ref: string;
  readonly camera: Camera;
  readonly model: string;
  readonly frame: string;
  readonly offered_at: number;
  /** The node where it was born, and that node's run. */
  readonly born: { readonly node: string; readonly boot_id: string } | null;
  /** The sections of its picture that are to be frames of their own. */
  readonly layout: SectionLayout | null;
}

/** A payload that the effect runner holds. */
export interface Payload {
  readonly camera: Camera;
  readonly bytes: number;
  /** Waiting and opening frames that need it. */
  users: number;
}
